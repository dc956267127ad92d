"""Writes the canonical ONNX graph of an encoder, straight from its spec and tensors.

The graph has the shape that MNN's converter turns into fused operators: LayerNormalization as
one node; GELU in the order and with the Constant nodes that the converter matches (an
initialiser in their place is not matched, and GELU then runs as five operators); the attention
scale as a node of its own after the product of queries and keys (folded into the weights it
makes the second product many times slower). It holds no ConstantOfShape, which MNN miscompiles.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.errors import MissingExtraError
from minnow.model.spec import Activation
from minnow.signals import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import ArrayLike, NDArray

    from minnow.model.packed import PackedTable
    from minnow.model.spec import EncoderSpec

OPSET = 17
IR_VERSION = 8
OUTPUT = "last_hidden_state"
MASKED = 10_000.0


def import_onnx() -> Any:
    """The onnx package.

    Raises:
        MissingExtraError: The extra `convert` is not installed.
    """
    try:
        with uninterrupted():  # a signal's exception within this import may crash it
            import onnx
    except ImportError as error:
        raise MissingExtraError("Conversion", "convert") from error
    return onnx


def build_graph(
    spec: EncoderSpec,
    tensors: Mapping[str, NDArray[np.float32]],
    packed: Mapping[str, PackedTable] = MappingProxyType({}),
) -> Any:
    """Write the encoder as an ONNX model.

    Inputs are `spec.inputs`, int32 of shape (batch, seq), both dynamic; the output is
    `last_hidden_state`, float32 of shape (batch, seq, width).

    Args:
        spec: The network.
        tensors: Its tensors under the names of `minnow.model.checkpoint.tensor_shapes`.
        packed: Tables to store packed, in place of the tensor of that name: embeddings.word,
            embeddings.position.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        MissingExtraError: The extra `convert` is not installed.
    """
    return _GraphWriter(spec, tensors, packed).write()


class _GraphWriter:
    """Appends nodes; every method returns the name of the value that it added."""

    def __init__(
        self,
        spec: EncoderSpec,
        tensors: Mapping[str, NDArray[np.float32]],
        packed: Mapping[str, PackedTable],
    ) -> None:
        self._onnx = import_onnx()
        self._spec = spec
        self._tensors = tensors
        self._packed = packed
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []

    def write(self) -> Any:
        helper, types = self._onnx.helper, self._onnx.TensorProto
        mask = self._mask()
        states = self._embeddings()
        for i in range(self._spec.layers):
            states = self._layer(states, mask, f"layer.{i}")
        self._node("Identity", [states], OUTPUT)
        shape = ["batch", "seq"]
        inputs = [
            helper.make_tensor_value_info(name, types.INT32, shape) for name in self._spec.inputs
        ]
        output = helper.make_tensor_value_info(OUTPUT, types.FLOAT, [*shape, self._spec.width])
        graph = helper.make_graph(self._nodes, "minnow", inputs, [output], self._initializers)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="minnow"
        )

    def _node(self, operator: str, inputs: list[str], name: str, **attributes: object) -> str:
        self._nodes.append(
            self._onnx.helper.make_node(operator, inputs, [name], name=name, **attributes)
        )
        return name

    def _table(self, name: str, values: NDArray[Any]) -> str:
        array = np.ascontiguousarray(values)
        self._initializers.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def _constant(self, name: str, value: ArrayLike, dtype: type[np.generic]) -> str:
        tensor = self._onnx.numpy_helper.from_array(np.asarray(value, dtype=dtype), name)
        return self._node("Constant", [], name, value=tensor)

    def _scalar(self, name: str, value: float) -> str:
        return self._constant(name, value, np.float32)

    def _mask(self) -> str:
        """0 for a token, -MASKED for padding: float of shape (batch, 1, 1, seq)."""
        mask = self._node("Cast", ["attention_mask"], "mask.float", to=self._onnx.TensorProto.FLOAT)
        mask = self._node(
            "Unsqueeze", [mask, self._constant("mask.axes", [1, 2], np.int64)], "mask.4d"
        )
        mask = self._node("Sub", [mask, self._scalar("mask.one", 1.0)], "mask.shifted")
        return self._node("Mul", [mask, self._scalar("mask.scale", MASKED)], "mask")

    def _embeddings(self) -> str:
        states = self._rows("embeddings.word", self._words)
        if self._spec.token_types:
            name = "embeddings.token_type"
            table = self._table(name, self._tensors[name])
            token_type = self._node("Gather", [table, "token_type_ids"], "token_type", axis=0)
            states = self._node("Add", [states, token_type], "word_and_type")
        positions = self._rows("embeddings.position", self._positions())
        states = self._node("Add", [states, positions], "embedded")
        return self._layer_norm(states, "embeddings.norm")

    def _words(self, name: str, table: NDArray[Any]) -> str:
        """The table's rows of the batch's ids: shape (batch, seq, columns)."""
        return self._node("Gather", [self._table(name, table), "input_ids"], f"{name}.rows", axis=0)

    def _positions(self) -> Callable[[str, NDArray[Any]], str]:
        """A function from a table to its first `seq` rows: shape (1, seq, columns)."""
        shape = self._node("Shape", ["input_ids"], "shape")
        one = self._constant("one", [1], np.int64)
        length = self._node("Gather", [shape, one], "length", axis=0)
        zero = self._constant("zero", [0], np.int64)

        def first_rows(name: str, table: NDArray[Any]) -> str:
            rows = self._table(name, table[None, self._spec.position_offset :])
            return self._node("Slice", [rows, zero, length, one], f"{name}.rows")

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
        middle = self._scalar(f"{name}.middle", packed.middle)
        centred = self._node("Sub", [codes, middle], f"{name}.centred")
        scales = self._unsigned(fetch(f"{name}.scales", packed.scales), f"{name}.scales")
        unit = self._scalar(f"{name}.unit", packed.unit)
        steps = self._node("Mul", [scales, unit], f"{name}.steps")
        values = self._in_steps(centred, steps, packed, name)
        if packed.turn is None:
            return values
        stretches = self._reshape(values, [0, -1, len(packed.turn)], f"{name}.stretches")
        turn = self._table(f"{name}.turn", packed.turn)
        turned = self._node("MatMul", [stretches, turn], f"{name}.turned")
        return self._reshape(turned, [0, -1, packed.width], f"{name}.joined")

    def _in_steps(self, codes: str, steps: str, packed: PackedTable, name: str) -> str:
        """Codes times the step of their group."""
        if packed.groups == 1:
            return self._node("Mul", [codes, steps], f"{name}.values")
        grouped = [0, 0, packed.groups, packed.width // packed.groups]
        codes = self._reshape(codes, grouped, f"{name}.groups")
        steps = self._reshape(steps, [0, 0, packed.groups, 1], f"{name}.group_steps")
        values = self._node("Mul", [codes, steps], f"{name}.group_values")
        return self._reshape(values, [0, 0, packed.width], f"{name}.values")

    def _unsigned(self, stored: str, name: str) -> str:
        """An int8 as the byte that it stands for, a float from 0 to 255."""
        number = self._node("Cast", [stored], f"{name}.float", to=self._onnx.TensorProto.FLOAT)
        return self._node("Add", [number, self._scalar(f"{name}.least", 128.0)], f"{name}.bytes")

    def _parts(self, stored: str, bits: int, name: str) -> str:
        """The parts of each byte, the highest first, side by side on the last axis."""
        rest, parts = stored, []
        for shift in range(8 - bits, 0, -bits):
            low = self._scalar(f"{name}.low{shift}", 2.0**-shift)
            part = self._node("Mul", [rest, low], f"{name}.shifted{shift}")
            part = self._node("Floor", [part], f"{name}.part{shift}")
            high = self._scalar(f"{name}.high{shift}", 2.0**shift)
            taken = self._node("Mul", [part, high], f"{name}.taken{shift}")
            rest = self._node("Sub", [rest, taken], f"{name}.rest{shift}")
            parts.append(part)
        return self._node("Concat", [*parts, rest], f"{name}.parts", axis=-1) if parts else rest

    def _after(self, codes: str, part: str, bits: int, name: str) -> str:
        shifted = self._node(
            "Mul", [codes, self._scalar(f"{name}.room", 2.0**bits)], f"{name}.shifted"
        )
        return self._node("Add", [shifted, part], name)

    def _reshape(self, value: str, shape: list[int], name: str) -> str:
        return self._node(
            "Reshape", [value, self._constant(f"{name}.shape", shape, np.int64)], name
        )

    def _layer(self, states: str, mask: str, name: str) -> str:
        attended = self._attention(states, mask, name)
        states = self._node("Add", [attended, states], f"{name}.attended")
        states = self._layer_norm(states, f"{name}.attention_norm")
        inner = self._activate(self._linear(states, f"{name}.inner"), f"{name}.activation")
        output = self._linear(inner, f"{name}.output")
        states = self._node("Add", [output, states], f"{name}.summed")
        return self._layer_norm(states, f"{name}.output_norm")

    def _linear(self, states: str, name: str) -> str:
        weight = self._table(f"{name}.weight", self._tensors[f"{name}.weight"].T)
        bias = self._table(f"{name}.bias", self._tensors[f"{name}.bias"])
        product = self._node("MatMul", [states, weight], f"{name}.product")
        return self._node("Add", [product, bias], name)

    def _layer_norm(self, states: str, name: str) -> str:
        weight = self._table(f"{name}.weight", self._tensors[f"{name}.weight"])
        bias = self._table(f"{name}.bias", self._tensors[f"{name}.bias"])
        return self._node(
            "LayerNormalization",
            [states, weight, bias],
            name,
            axis=-1,
            epsilon=self._spec.layer_norm_eps,
        )

    def _attention(self, states: str, mask: str, name: str) -> str:
        heads, depth = self._spec.heads, self._spec.width // self._spec.heads
        query = self._heads(states, f"{name}.query", [0, 2, 1, 3])
        key = self._heads(states, f"{name}.key", [0, 2, 3, 1])
        value = self._heads(states, f"{name}.value", [0, 2, 1, 3])
        scores = self._node("MatMul", [query, key], f"{name}.query_key")
        scale = self._scalar(f"{name}.scale", depth**-0.5)
        scores = self._node("Mul", [scores, scale], f"{name}.scaled")
        scores = self._node("Add", [scores, mask], f"{name}.masked")
        weights = self._node("Softmax", [scores], f"{name}.weights", axis=-1)
        mixed = self._node("MatMul", [weights, value], f"{name}.mixed")
        mixed = self._node("Transpose", [mixed], f"{name}.joined", perm=[0, 2, 1, 3])
        mixed = self._reshape(mixed, [0, 0, heads * depth], f"{name}.flattened")
        return self._linear(mixed, f"{name}.attention_output")

    def _heads(self, states: str, name: str, order: list[int]) -> str:
        heads, depth = self._spec.heads, self._spec.width // self._spec.heads
        split = self._reshape(self._linear(states, name), [0, 0, heads, depth], f"{name}.heads")
        return self._node("Transpose", [split], f"{name}.turned", perm=order)

    def _activate(self, x: str, name: str) -> str:
        if self._spec.activation is Activation.RELU:
            return self._node("Relu", [x], name)
        if self._spec.activation is Activation.GELU_TANH:
            return self._gelu_tanh(x, name)
        root = self._node("Div", [x, self._scalar(f"{name}.root2", 2**0.5)], f"{name}.div")
        error = self._node("Erf", [root], f"{name}.erf")
        shifted = self._node("Add", [error, self._scalar(f"{name}.one", 1.0)], f"{name}.add")
        product = self._node("Mul", [x, shifted], f"{name}.mul")
        return self._node("Mul", [product, self._scalar(f"{name}.half", 0.5)], name)

    def _gelu_tanh(self, x: str, name: str) -> str:
        cube = self._node("Pow", [x, self._scalar(f"{name}.three", 3.0)], f"{name}.cube")
        small = self._node("Mul", [cube, self._scalar(f"{name}.c", 0.044715)], f"{name}.small")
        inner = self._node("Add", [x, small], f"{name}.inner")
        slope = self._scalar(f"{name}.slope", (2 / np.pi) ** 0.5)
        tanh = self._node(
            "Tanh", [self._node("Mul", [inner, slope], f"{name}.arg")], f"{name}.tanh"
        )
        shifted = self._node("Add", [tanh, self._scalar(f"{name}.one", 1.0)], f"{name}.add")
        gate = self._node("Mul", [shifted, self._scalar(f"{name}.half", 0.5)], f"{name}.gate")
        return self._node("Mul", [x, gate], name)
