"""Writer of a network's canonical ONNX graph, straight from its description and tensors.

The graph has the shape that MNN's converter turns into fused operators: LayerNormalization as
one node; GELU in the order and with the Constant nodes that the converter matches (an
initialiser in their place is not matched, and GELU then runs as five operators); the attention
scale as a node of its own after the product of queries and keys (folded into the weights it
makes the second product many times slower). It holds no ConstantOfShape, which MNN miscompiles.

A feed-forward part can be split into parts as wide as a state. Phones compute in float16, and MNN
sums in it too: a longer sum loses more, above all in large batches, which it multiplies by
Strassen's method.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.graph.nodes import Input, Nodes
from minnow.graph.packed import unpack_rows
from minnow.graph.pooled import MASK, one_token, several_tokens, unit_length
from minnow.model.network import Activation, Placement
from minnow.model.spec import Interface

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from minnow.graph.packed import PackedTable
    from minnow.model.head import Head
    from minnow.model.network import Attention, Block, FeedForward, LayerNorm, Network

OUTPUT = Interface.LAST_HIDDEN_STATE.value
MASKED = 10_000.0


def build_graph(
    network: Network,
    tensors: Mapping[str, NDArray[np.float32]],
    packed: Mapping[str, PackedTable] = MappingProxyType({}),
    head: Head | None = None,
    shape: tuple[int, int] | None = None,
    *,
    in_parts: bool = False,
) -> Any:
    """Write a network as an ONNX model.

    Inputs are `network.inputs`, int32 of shape (batch, seq), both dynamic. The output is
    `last_hidden_state`, float32 of shape (batch, seq, width); with a head it is
    `sentence_embedding`, float32 of shape (batch, width).

    Args:
        network: The network.
        tensors: Its tensors under the names of `minnow.model.checkpoint.tensor_shapes`.
        packed: Tables to store packed, in place of the tensor of that name: embeddings.word,
            embeddings.position.
        head: What follows the token states, to have the graph do that too.
        shape: The only (batch, seq) of the graph, for accelerators that need a fixed shape.
        in_parts: Write feed-forward layers in parts, for sums in half precision.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        MissingExtraError: The extra `convert` is not installed.
    """
    return GraphWriter(network, tensors, packed, shape, in_parts=in_parts).write(head)


class GraphWriter(Nodes):
    """The nodes of a network; a method that adds some returns the name of their value.

    Attributes:
        pooled_name: Name of the output of pooled vectors.
        token_mask: The value that pooling reads: 1 for a token, 0 for padding; (batch, seq).
    """

    pooled_name = Interface.SENTENCE_EMBEDDING.value
    token_mask = MASK

    def __init__(
        self,
        network: Network,
        tensors: Mapping[str, NDArray[np.float32]],
        packed: Mapping[str, PackedTable],
        shape: tuple[int, int] | None = None,
        *,
        in_parts: bool = False,
    ) -> None:
        super().__init__()
        self._in_parts = in_parts
        self._shape = shape
        self._network = network
        self._tensors = tensors
        self._packed = packed

    def write(self, head: Head | None) -> Any:
        """Write all nodes, from the inputs to the output, as an `onnx.ModelProto`."""
        width, mask, states = self._network.width, self._mask(), self._embeddings()
        *blocks, last = [(f"layer.{i}", block) for i, block in enumerate(self._network.blocks)]
        for name, block in blocks:
            states = self._block(states, states, mask, name, block)
        if head is None:
            seq = self._shape[1] if self._shape else "seq"
            return self._end(self._last(states, states, mask, *last), OUTPUT, [seq, width])
        longest = self._network.positions.longest
        token = one_token(self, states, head.pooling, longest, self.token_mask)
        pooled = self._last(token or states, states, mask, *last)
        if token is None:
            pooled = several_tokens(self, pooled, mask, head.pooling, longest, self.token_mask)
        vectors = self.reshape(pooled, [0, width], "vectors")
        if head.normalize:
            vectors = unit_length(self, vectors)
        return self._end(vectors, self.pooled_name, [width])

    def _end(self, value: str, output: str, axes: list[str | int]) -> Any:
        self.node("Identity", [value], output)
        batch = self._shape[0] if self._shape else "batch"
        return self.model(self._inputs(), output, [batch, *axes])

    def _inputs(self) -> list[Input]:
        return [Input(name, self._shape or ("batch", "seq")) for name in self._network.inputs]

    def _mask(self) -> str:
        """Add 0 for a token, -MASKED for padding: float of shape (batch, 1, 1, seq)."""
        mask = self.cast("attention_mask", "mask.float")
        axes = self.constant("mask.axes", [1, 2], np.int64)
        return self._far_below(self.node("Unsqueeze", [mask, axes], "mask.4d"))

    def _far_below(self, mask: str) -> str:
        """Turn a mask of 1 and 0 into 0 and -MASKED."""
        mask = self.with_number("Sub", mask, 1.0, "mask.shifted")
        return self.with_number("Mul", mask, MASKED, "mask")

    def _embeddings(self) -> str:
        states = self._word_states()
        if self._network.words.token_types:
            states = self.node("Add", [states, self._token_type()], "word_and_type")
        positions = self._rows("embeddings.position", self._positions())
        states = self.node("Add", [states, positions], "embedded")
        return self._norm(states, self._network.embedding_norm, "embeddings.norm")

    def _word_states(self) -> str:
        return self._rows("embeddings.word", self._words)

    def _token_type(self) -> str:
        name = "embeddings.token_type"
        table = self.table(name, self._tensors[name])
        return self.node("Gather", [table, "token_type_ids"], "token_type", axis=0)

    def _words(self, name: str, table: NDArray[Any]) -> str:
        """Fetch a table's rows of the batch's ids: shape (batch, seq, columns)."""
        return self.node("Gather", [self.table(name, table), "input_ids"], f"{name}.rows", axis=0)

    def _positions(self) -> Callable[[str, NDArray[Any]], str]:
        """Return a function that fetches a table's first `seq` rows: shape (1, seq, columns)."""
        start = self._network.positions.offset
        if self._shape is not None:
            end = start + self._shape[1]
            return lambda name, table: self.table(name, table[None, start:end])
        shape = self.node("Shape", ["input_ids"], "shape")
        one = self.constant("one", [1], np.int64)
        length = self.node("Gather", [shape, one], "length", axis=0)
        zero = self.constant("zero", [0], np.int64)

        def first_rows(name: str, table: NDArray[Any]) -> str:
            rows = self.table(name, table[None, start:])
            return self.node("Slice", [rows, zero, length, one], f"{name}.rows")

        return first_rows

    def _rows(self, name: str, fetch: Callable[[str, NDArray[Any]], str]) -> str:
        """Fetch rows of a table, packed or not: float of shape (.., seq, width)."""
        packed = self._packed.get(name)
        return (
            unpack_rows(self, packed, name, fetch) if packed else fetch(name, self._tensors[name])
        )

    def _last(self, states: str, context: str, mask: str, name: str, block: Block) -> str:
        states = self._block(states, context, mask, name, block)
        return self._norm(states, self._network.final_norm, "final_norm")

    def _block(self, states: str, context: str, mask: str, name: str, block: Block) -> str:
        """Compute new states of some tokens, which attend to the whole context."""

        def norm(states: str, part: str, tail: str = "") -> str:
            return self._norm(states, block.norm, f"{name}.{part}_norm", tail)

        if block.placement is Placement.PRE:
            read = norm(context, "attention")
            asking = read if states == context else norm(states, "attention", ".asking")
            attended = self._attention(asking, read, mask, name, block.attention)
            states = self.node("Add", [attended, states], f"{name}.attended")
            return self._feed_forward(norm(states, "output"), states, name, block.feed_forward)
        attended = self._attention(states, context, mask, name, block.attention)
        states = norm(self.node("Add", [attended, states], f"{name}.attended"), "attention")
        return norm(self._feed_forward(states, states, name, block.feed_forward), "output")

    def _feed_forward(self, states: str, total: str, layer: str, part: FeedForward) -> str:
        """Add a feed-forward part's output to a total, a part of its units after another."""
        inner, output = f"{layer}.inner", f"{layer}.output"
        step = self._network.width if self._in_parts else part.width
        for start in range(0, part.width, step):
            units = slice(start, start + step)
            tail = f".{start}" if start else ""
            weight = self._tensors[f"{output}.weight"][:, units]
            bias = None if start else self._tensors[f"{output}.bias"]
            some = self._product(
                states, f"{inner}{tail}",
                self._tensors[f"{inner}.weight"][units], self._tensors[f"{inner}.bias"][units],
            )  # fmt: skip
            some = self._activate(some, f"{layer}.activation{tail}", part.activation)
            some = self._product(some, f"{output}{tail}", weight, bias)
            total = self.node("Add", [some, total], f"{layer}.summed{tail}")
        return total

    def _linear(self, states: str, name: str) -> str:
        weight, bias = self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]
        return self._product(states, name, weight, bias)

    def _product(
        self, states: str, name: str, weight: NDArray[Any], bias: NDArray[Any] | None
    ) -> str:
        """Multiply states of shape (.., inputs) by a weight (outputs, inputs), and add a bias."""
        table = self.table(f"{name}.weight", weight.T)
        if bias is None:
            return self.node("MatMul", [states, table], name)
        product = self.node("MatMul", [states, table], f"{name}.product")
        return self.node("Add", [product, self.table(f"{name}.bias", bias)], name)

    def _norm(self, states: str, norm: LayerNorm | None, name: str, tail: str = "") -> str:
        """Normalise states; a norm that is applied a second time needs a tail for its name."""
        if norm is None:
            return states
        tables = [
            self.table(full, self._tensors[full]) for full in (f"{name}.weight", f"{name}.bias")
        ]
        return self.node(
            "LayerNormalization", [states, *tables], f"{name}{tail}", axis=-1, epsilon=norm.eps
        )

    def _attention(
        self, states: str, context: str, mask: str, name: str, attention: Attention
    ) -> str:
        def heads(states: str, part: str, order: list[int]) -> str:
            shape = [0, 0, attention.heads, attention.head_size]
            split = self.reshape(self._linear(states, part), shape, f"{part}.heads")
            return self.node("Transpose", [split], f"{part}.turned", perm=order)

        query = heads(states, f"{name}.query", [0, 2, 1, 3])
        key = heads(context, f"{name}.key", [0, 2, 3, 1])
        value = heads(context, f"{name}.value", [0, 2, 1, 3])
        scores = self.node("MatMul", [query, key], f"{name}.query_key")
        scores = self.with_number("Mul", scores, attention.scale, f"{name}.scaled")
        scores = self.node("Add", [scores, mask], f"{name}.masked")
        weights = self.node("Softmax", [scores], f"{name}.weights", axis=-1)
        mixed = self.node("MatMul", [weights, value], f"{name}.mixed")
        mixed = self.node("Transpose", [mixed], f"{name}.joined", perm=[0, 2, 1, 3])
        mixed = self.reshape(mixed, [0, 0, attention.width], f"{name}.flattened")
        return self._linear(mixed, f"{name}.attention_output")

    def _activate(self, x: str, name: str, activation: Activation) -> str:
        if activation is Activation.RELU:
            return self.node("Relu", [x], name)
        if activation is Activation.GELU_TANH:
            return self._gelu_tanh(x, name)
        root = self.with_number("Div", x, 2**0.5, f"{name}.div")
        error = self.node("Erf", [root], f"{name}.erf")
        shifted = self.with_number("Add", error, 1.0, f"{name}.add")
        product = self.node("Mul", [x, shifted], f"{name}.mul")
        return self.with_number("Mul", product, 0.5, name)

    def _gelu_tanh(self, x: str, name: str) -> str:
        cube = self.with_number("Pow", x, 3.0, f"{name}.cube")
        small = self.with_number("Mul", cube, 0.044715, f"{name}.small")
        inner = self.node("Add", [x, small], f"{name}.inner")
        argument = self.with_number("Mul", inner, (2 / np.pi) ** 0.5, f"{name}.argument")
        tanh = self.node("Tanh", [argument], f"{name}.tanh")
        shifted = self.with_number("Add", tanh, 1.0, f"{name}.add")
        gate = self.with_number("Mul", shifted, 0.5, f"{name}.gate")
        return self.node("Mul", [x, gate], name)
