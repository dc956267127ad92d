"""Writes the canonical ONNX graph of an encoder, straight from its spec and tensors.

The graph has the shape that MNN's converter turns into fused operators: LayerNormalization as
one node; GELU in the order and with the Constant nodes that the converter matches (an
initialiser in their place is not matched, and GELU then runs as five operators); the attention
scale as a node of its own after the product of queries and keys (folded into the weights it
makes the second product many times slower). It holds no ConstantOfShape, which MNN miscompiles.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.errors import MissingExtraError
from minnow.model.spec import Activation
from minnow.signals import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import ArrayLike, NDArray

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


def build_graph(spec: EncoderSpec, tensors: Mapping[str, NDArray[np.float32]]) -> Any:
    """Write the encoder as an ONNX model.

    Inputs are `spec.inputs`, int32 of shape (batch, seq), both dynamic; the output is
    `last_hidden_state`, float32 of shape (batch, seq, width).

    Args:
        spec: The network.
        tensors: Its tensors under the names of `minnow.model.checkpoint.tensor_shapes`.

    Returns:
        An `onnx.ModelProto`.

    Raises:
        MissingExtraError: The extra `convert` is not installed.
    """
    return _GraphWriter(spec, tensors).write()


class _GraphWriter:
    """Appends nodes; every method returns the name of the value that it added."""

    def __init__(self, spec: EncoderSpec, tensors: Mapping[str, NDArray[np.float32]]) -> None:
        self._onnx = import_onnx()
        self._spec = spec
        self._tensors = tensors
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
        tensors = self._tensors
        word = self._table("embeddings.word", tensors["embeddings.word"])
        states = self._node("Gather", [word, "input_ids"], "word", axis=0)
        if self._spec.token_types:
            table = self._table("embeddings.token_type", tensors["embeddings.token_type"])
            token_type = self._node("Gather", [table, "token_type_ids"], "token_type", axis=0)
            states = self._node("Add", [states, token_type], "word_and_type")
        states = self._node("Add", [states, self._positions()], "embedded")
        return self._layer_norm(states, "embeddings.norm")

    def _positions(self) -> str:
        """The first `seq` rows of the position table: float of shape (1, seq, width)."""
        rows = self._tensors["embeddings.position"][self._spec.position_offset :]
        table = self._table("embeddings.position", rows[None])
        shape = self._node("Shape", ["input_ids"], "shape")
        one = self._constant("one", [1], np.int64)
        length = self._node("Gather", [shape, one], "length", axis=0)
        zero = self._constant("zero", [0], np.int64)
        return self._node("Slice", [table, zero, length, one], "position")

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
        flat = self._constant(f"{name}.flat", [0, 0, heads * depth], np.int64)
        mixed = self._node("Reshape", [mixed, flat], f"{name}.flattened")
        return self._linear(mixed, f"{name}.attention_output")

    def _heads(self, states: str, name: str, order: list[int]) -> str:
        heads, depth = self._spec.heads, self._spec.width // self._spec.heads
        shape = self._constant(f"{name}.split", [0, 0, heads, depth], np.int64)
        split = self._node("Reshape", [self._linear(states, name), shape], f"{name}.heads")
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
