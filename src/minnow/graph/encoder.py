"""Writes the canonical ONNX graph of a network, straight from its description and tensors.

The graph has the shape that MNN's converter turns into fused operators: LayerNormalization as
one node; GELU in the order and with the Constant nodes that the converter matches (an
initialiser in their place is not matched, and GELU then runs as five operators); the attention
scale as a node of its own after the product of queries and keys (folded into the weights it
makes the second product many times slower). It holds no ConstantOfShape, which MNN miscompiles.

A feed-forward layer may be written in parts as wide as a state. Phones compute in float16, and
MNN adds up in it too: the longer a sum, the more is lost, above all in large batches, which it
multiplies by Strassen's method.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.graph.nodes import Input, Nodes
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
        shape: The only (batch, seq) that the graph shall take, for accelerators that need that.
        in_parts: Write feed-forward layers in parts, for sums in half precision.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        MissingExtraError: The extra `convert` is not installed.
    """
    return GraphWriter(network, tensors, packed, shape, in_parts=in_parts).write(head)


class GraphWriter(Nodes):
    """Appends a network's nodes; every method returns the name of the value that it added.

    Attributes:
        pooled_name: What the output of pooled vectors is called.
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
        """0 for a token, -MASKED for padding: float of shape (batch, 1, 1, seq)."""
        mask = self.cast("attention_mask", "mask.float")
        mask = self.node(
            "Unsqueeze", [mask, self.constant("mask.axes", [1, 2], np.int64)], "mask.4d"
        )
        return self._far_below(mask)

    def _far_below(self, mask: str) -> str:
        """0 where a mask is 1, -MASKED where it is 0."""
        mask = self.node("Sub", [mask, self.scalar("mask.one", 1.0)], "mask.shifted")
        return self.node("Mul", [mask, self.scalar("mask.scale", MASKED)], "mask")

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
        """The table's rows of the batch's ids: shape (batch, seq, columns)."""
        return self.node("Gather", [self.table(name, table), "input_ids"], f"{name}.rows", axis=0)

    def _positions(self) -> Callable[[str, NDArray[Any]], str]:
        """A function from a table to its first `seq` rows: shape (1, seq, columns)."""
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
        """Rows of a table, unpacked where it is packed: float of shape (.., seq, width)."""
        packed = self._packed.get(name)
        if packed is None:
            return fetch(name, self._tensors[name])
        codes = ""
        for bits, plane in packed.planes:
            stored = self._unsigned(fetch(f"{name}.plane{bits}", plane), f"{name}.plane{bits}")
            part = self._parts(stored, bits, f"{name}.plane{bits}")
            codes = self._after(codes, part, bits, f"{name}.codes{bits}") if codes else part
        middle = self.scalar(f"{name}.middle", packed.middle)
        centred = self.node("Sub", [codes, middle], f"{name}.centred")
        scales = self._unsigned(fetch(f"{name}.scales", packed.scales), f"{name}.scales")
        unit = self.scalar(f"{name}.unit", packed.unit)
        steps = self.node("Mul", [scales, unit], f"{name}.steps")
        values = self._in_steps(centred, steps, packed, name)
        if packed.turn is None:
            return values
        stretches = self.reshape(values, [0, -1, len(packed.turn)], f"{name}.stretches")
        turn = self.table(f"{name}.turn", packed.turn)
        turned = self.node("MatMul", [stretches, turn], f"{name}.turned")
        return self.reshape(turned, [0, -1, packed.width], f"{name}.joined")

    def _in_steps(self, codes: str, steps: str, packed: PackedTable, name: str) -> str:
        """Codes times the step of their group."""
        if packed.groups == 1:
            return self.node("Mul", [codes, steps], f"{name}.values")
        grouped = [0, 0, packed.groups, packed.width // packed.groups]
        codes = self.reshape(codes, grouped, f"{name}.groups")
        steps = self.reshape(steps, [0, 0, packed.groups, 1], f"{name}.group_steps")
        values = self.node("Mul", [codes, steps], f"{name}.group_values")
        return self.reshape(values, [0, 0, packed.width], f"{name}.values")

    def _unsigned(self, stored: str, name: str) -> str:
        """An int8 as the byte that it stands for, a float from 0 to 255."""
        number = self.cast(stored, f"{name}.float")
        return self.node("Add", [number, self.scalar(f"{name}.least", 128.0)], f"{name}.bytes")

    def _parts(self, stored: str, bits: int, name: str) -> str:
        """The parts of each byte, the highest first, side by side on the last axis."""
        rest, parts = stored, []
        for shift in range(8 - bits, 0, -bits):
            low = self.scalar(f"{name}.low{shift}", 2.0**-shift)
            part = self.node("Mul", [rest, low], f"{name}.shifted{shift}")
            part = self.node("Floor", [part], f"{name}.part{shift}")
            high = self.scalar(f"{name}.high{shift}", 2.0**shift)
            taken = self.node("Mul", [part, high], f"{name}.taken{shift}")
            rest = self.node("Sub", [rest, taken], f"{name}.rest{shift}")
            parts.append(part)
        return self.node("Concat", [*parts, rest], f"{name}.parts", axis=-1) if parts else rest

    def _after(self, codes: str, part: str, bits: int, name: str) -> str:
        shifted = self.node(
            "Mul", [codes, self.scalar(f"{name}.room", 2.0**bits)], f"{name}.shifted"
        )
        return self.node("Add", [shifted, part], name)

    def _last(self, states: str, context: str, mask: str, name: str, block: Block) -> str:
        states = self._block(states, context, mask, name, block)
        return self._norm(states, self._network.final_norm, "final_norm")

    def _block(self, states: str, context: str, mask: str, name: str, block: Block) -> str:
        """New states of some tokens, which attend to the whole context."""
        pre, norms = (
            block.placement is Placement.PRE,
            (f"{name}.attention_norm", f"{name}.output_norm"),
        )
        some, everything = states, context
        if pre:
            everything = self._norm(context, block.norm, norms[0])
            some = (
                everything
                if states == context
                else self._norm(states, block.norm, norms[0], ".some")
            )
        attended = self._attention(some, everything, mask, name, block.attention)
        states = self.node("Add", [attended, states], f"{name}.attended")
        if pre:
            normed = self._norm(states, block.norm, norms[1])
            return self._feed_forward(normed, states, name, block.feed_forward)
        states = self._norm(states, block.norm, norms[0])
        states = self._feed_forward(states, states, name, block.feed_forward)
        return self._norm(states, block.norm, norms[1])

    def _feed_forward(self, states: str, total: str, layer: str, part: FeedForward) -> str:
        """A total and a feed-forward part's output, summed; its units in parts, if so wanted."""
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
        """States of shape (.., inputs) times a weight of shape (outputs, inputs), and a bias."""
        table = self.table(f"{name}.weight", weight.T)
        if bias is None:
            return self.node("MatMul", [states, table], name)
        product = self.node("MatMul", [states, table], f"{name}.product")
        return self.node("Add", [product, self.table(f"{name}.bias", bias)], name)

    def _norm(self, states: str, norm: LayerNorm | None, name: str, tail: str = "") -> str:
        """Normalised states; a norm that is applied once more has a tail behind its name."""
        if norm is None:
            return states
        weight, bias = f"{name}.weight", f"{name}.bias"
        if not tail:
            self.table(weight, self._tensors[weight])
            self.table(bias, self._tensors[bias])
        return self.node(
            "LayerNormalization", [states, weight, bias], f"{name}{tail}", axis=-1, epsilon=norm.eps
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
        scale = self.scalar(f"{name}.scale", attention.scale)
        scores = self.node("Mul", [scores, scale], f"{name}.scaled")
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
        root = self.node("Div", [x, self.scalar(f"{name}.root2", 2**0.5)], f"{name}.div")
        error = self.node("Erf", [root], f"{name}.erf")
        shifted = self.node("Add", [error, self.scalar(f"{name}.one", 1.0)], f"{name}.add")
        product = self.node("Mul", [x, shifted], f"{name}.mul")
        return self.node("Mul", [product, self.scalar(f"{name}.half", 0.5)], name)

    def _gelu_tanh(self, x: str, name: str) -> str:
        cube = self.node("Pow", [x, self.scalar(f"{name}.three", 3.0)], f"{name}.cube")
        small = self.node("Mul", [cube, self.scalar(f"{name}.c", 0.044715)], f"{name}.small")
        inner = self.node("Add", [x, small], f"{name}.inner")
        slope = self.scalar(f"{name}.slope", (2 / np.pi) ** 0.5)
        tanh = self.node("Tanh", [self.node("Mul", [inner, slope], f"{name}.arg")], f"{name}.tanh")
        shifted = self.node("Add", [tanh, self.scalar(f"{name}.one", 1.0)], f"{name}.add")
        gate = self.node("Mul", [shifted, self.scalar(f"{name}.half", 0.5)], f"{name}.gate")
        return self.node("Mul", [x, gate], name)
