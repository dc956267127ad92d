"""The graph of a network that takes embedded words as input, for MNN's own engine.

MNN-LLM reads the rows of a text's tokens from a file, and gives the graph one text at a time. The
rest is as in `minnow.graph.encoder`; the graph pools the vector.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.errors import InputError
from minnow.graph.encoder import GraphWriter
from minnow.graph.form import GraphForm
from minnow.graph.multiplied import Multiplied
from minnow.graph.nodes import Input

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from minnow.graph.nodes import Outside
    from minnow.graph.packed import StoredTable
    from minnow.model.head import Head
    from minnow.model.network import Network

WORDS, MASK, POSITIONS = "input_ids", "attention_mask", "position_ids"
"""The inputs, under the names that MNN's engine gives them."""
OUTPUT = "sentence_embeddings"


def build_embedded_graph(
    network: Network,
    tensors: Mapping[str, NDArray[np.float32]],
    head: Head,
    packed: Mapping[str, StoredTable] = MappingProxyType({}),
    form: GraphForm = GraphForm(),
    *,
    multiplied: Multiplied | None = None,
    outside: Outside = lambda *_: None,
) -> Any:
    """Write a network as an ONNX model that takes embedded words.

    Inputs are `input_ids`, float32 of shape (seq, 1, columns): the rows of the word table;
    `attention_mask`, float32 of shape (1, 1, seq, seq), of which the first row is read, 1 for a
    token; `position_ids`, int32 of shape (1, seq), counted from 0. The output is
    `sentence_embeddings`, float32 of shape (1, width).

    Args:
        network: The network.
        tensors: Its tensors under the names of `minnow.model.parameters.tensor_shapes`. The word
            table is read only where padding takes no position: it must be the one of the file.
        head: What follows the token states.
        packed: Tables to store packed: embeddings.position.
        form: What the graph is written for, besides MNN's engine.
        multiplied: Matrices whose inputs the graph multiplies.
        outside: Takes the values of tables that need not be in the graph.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        InputError: Padding takes no position, and another token has the same row.
        MissingExtraError: The extra `convert` is not installed.
    """
    form = replace(form, for_mnn=True)
    multiplied = multiplied or Multiplied()
    writer = _EmbeddedWriter(network, tensors, packed, form, multiplied, outside)
    return writer.write(head, OUTPUT)


def embedded_inputs(width: int) -> tuple[str, ...]:
    """Return the graph's inputs for a text of three tokens, as the converter's child takes them.

    Args:
        width: Columns of the word table.
    """
    shapes = {WORDS: f"float:3x1x{width}", MASK: "float:1x1x3x3", POSITIONS: "int:1x3"}
    return tuple(f"{name}:{shape}" for name, shape in shapes.items())


class _EmbeddedWriter(GraphWriter):
    """Writer that replaces the nodes that read an input."""

    token_mask = "mask.tokens"  # noqa: S105  no secret

    def _inputs(self) -> list[Input]:
        return [
            Input(WORDS, ("seq", 1, self._network.table_width), floats=True),
            Input(MASK, (1, 1, "seq", "seq"), floats=True),
            Input(POSITIONS, (1, "seq")),
        ]

    def _padding(self) -> str:
        """Take the first row: every token attends to the same tokens."""
        first = self.constant("mask.first", [0], np.int64)
        second = self.constant("mask.second", [1], np.int64)
        axis = self.constant("mask.axis", [2], np.int64)
        row = self.node("Slice", [MASK, first, second, axis], "mask.row")
        self.reshape(row, [1, -1], self.token_mask)
        return self._far_below(row)

    def _word_states(self) -> str:
        name, shape = "embeddings.word.rows", [1, -1, self._network.table_width]
        return self._once(name, lambda: self.reshape(WORDS, shape, name))

    def _token_type(self) -> str:
        name = "embeddings.token_type"
        return self.table(name, self._tensors[name][0])

    def _position_rows(self, name: str, table: NDArray[Any]) -> str:
        positions = self._network.positions
        if positions and positions.padding is not None:
            return super()._position_rows(name, table)
        start = positions.offset if positions else 0
        return self._read_rows(name, table[start:])

    def _kept(self, padding: int) -> str:
        """Count the tokens that are not padding from 1, and padding as 0: int32, (1, seq)."""
        left_out = self.whole(self._is_padding(padding), "kept.padding")
        one, axis = (self.constant(f"kept.{name}", 1, np.int32) for name in ("one", "axis"))
        before = self.node("CumSum", [left_out, axis], "kept.before")
        number = self.node("Add", [POSITIONS, one], "kept.number")
        counted = self.node("Sub", [number, before], "kept.counted")
        return self.node("Mul", [counted, self.node("Sub", [one, left_out], "kept.tokens")], "kept")

    def _is_padding(self, padding: int) -> str:
        """Find the rows that are nearer to padding's than half of the way to the next: (1, seq)."""
        words = self._tensors["embeddings.word"]
        away = np.abs(words - words[padding]).max(-1)
        away[padding] = np.inf
        nearest = int(away.argmin())
        if not away[nearest] > 0:
            raise InputError(
                f"The word table has the same row for padding (token {padding}) and for token "
                f"{nearest}, so MNN's engine cannot tell which of them takes a position."
            )
        row = self.constant("kept.row", words[padding], np.float32)
        apart = self.node("Sub", [self._word_states(), row], "kept.apart")
        apart = self.with_number("Mul", apart, 1 / float(away[nearest]), "kept.scaled")
        sizes = self.node("Abs", [apart], "kept.sizes")
        largest = self.node("ReduceMax", [sizes], "kept.largest", axes=[-1], keepdims=0)
        return self.with_number("Less", largest, 0.5, "kept.near")

    def _rotary_rows(self, name: str, table: NDArray[np.float32]) -> str:
        axis = self.constant(f"{name}.axis", [1], np.int64)
        return self.node("Unsqueeze", [self._read_rows(name, table), axis], f"{name}.4d")

    def _read_rows(self, name: str, table: NDArray[Any]) -> str:
        return self.node("Gather", [self.table(name, table), POSITIONS], f"{name}.rows", axis=0)

    def _places(self) -> str:
        return self.reshape(POSITIONS, [-1], "places")
