"""The nodes of a new ONNX graph, and the package that writes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minnow.errors import MissingExtraError
from minnow.signals import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import ArrayLike

OPSET = 17
IR_VERSION = 8


@dataclass(frozen=True)
class Input:
    """An input of a graph.

    Attributes:
        name: Its name.
        axes: Its shape; a name stands for any length.
        floats: True for float32, False for int32.
    """

    name: str
    axes: tuple[str | int, ...] = ("batch", "seq")
    floats: bool = False


def import_onnx() -> Any:
    """Import the onnx package.

    Raises:
        MissingExtraError: The extra `convert` is not installed.
    """
    try:
        with uninterrupted():  # an exception raised by a signal could crash this import
            import onnx
    except ImportError as error:
        raise MissingExtraError("Conversion", "convert") from error
    return onnx


Outside = Callable[[str, NDArray[Any]], "Mapping[str, object] | None"]
"""Writes a tensor, by its name, beside the graph; returns its place there, or None to keep it."""


class Nodes:
    """The nodes of a new graph; a method that adds some returns the name of their value."""

    def __init__(self, outside: Outside = lambda *_: None) -> None:
        """Start without nodes.

        Args:
            outside: Takes the values of tables that need not be in the graph.

        Raises:
            MissingExtraError: The extra `convert` is not installed.
        """
        self._onnx = import_onnx()
        self._nodes: list[Any] = []
        self._tables: dict[str, Any] = {}
        self._outside = outside

    def node(self, operator: str, inputs: list[str], name: str, **attributes: object) -> str:
        """Add any operator with one output, which has the node's name."""
        self._nodes.append(
            self._onnx.helper.make_node(operator, inputs, [name], name=name, **attributes)
        )
        return name

    def table(self, name: str, values: NDArray[Any]) -> str:
        """Add values that belong to the model, an initialiser, unless that name is there."""
        if name not in self._tables:
            values = np.ascontiguousarray(values)
            place = self._outside(name, values)
            self._tables[name] = self._tensor(name, values, place)
        return name

    def _tensor(self, name: str, values: NDArray[Any], place: Mapping[str, object] | None) -> Any:
        if place is None:
            return self._onnx.numpy_helper.from_array(values, name)
        kind = self._onnx.helper.np_dtype_to_tensor_dtype(values.dtype)
        tensor = self._onnx.TensorProto(name=name, dims=values.shape, data_type=kind)
        refer(tensor, place)
        return tensor

    def constant(self, name: str, value: ArrayLike, dtype: type[np.generic]) -> str:
        """Add values that belong to an operator, a Constant node."""
        tensor = self._onnx.numpy_helper.from_array(np.asarray(value, dtype=dtype), name)
        return self.node("Constant", [], name, value=tensor)

    def scalar(self, name: str, value: float) -> str:
        """Add one float32."""
        return self.constant(name, value, np.float32)

    def with_number(self, operator: str, value: str, number: float, name: str) -> str:
        """Add an operator on a value and one float32."""
        return self.node(operator, [value, self.scalar(f"{name}.number", number)], name)

    def reshape(self, value: str, shape: list[int], name: str) -> str:
        """Add a reshape; 0 keeps an axis, -1 is as long as is left."""
        return self.node("Reshape", [value, self.constant(f"{name}.shape", shape, np.int64)], name)

    def cast(self, value: str, name: str) -> str:
        """Add a cast to float32."""
        return self.node("Cast", [value], name, to=self._onnx.TensorProto.FLOAT)

    def whole(self, value: str, name: str) -> str:
        """Add a cast to int32."""
        return self.node("Cast", [value], name, to=self._onnx.TensorProto.INT32)

    def halves(self, value: str, name: str) -> tuple[str, str]:
        """Add a split of the last axis in two."""
        first, second = self.parts(value, [f"{name}.first", f"{name}.second"], axis=-1)
        return first, second

    def parts(self, value: str, names: list[str], axis: int) -> list[str]:
        """Add a split of an axis in equal parts of these names."""
        self._nodes.append(
            self._onnx.helper.make_node("Split", [value], names, name=names[0], axis=axis)
        )
        return names

    def model(self, inputs: Iterable[Input], output: str, axes: list[str | int]) -> Any:
        """Return the whole graph as an `onnx.ModelProto`.

        Args:
            inputs: Its inputs.
            output: Name of the output, float32.
            axes: Shape of the output.
        """
        helper, types = self._onnx.helper, self._onnx.TensorProto
        given = [
            helper.make_tensor_value_info(
                value.name, types.FLOAT if value.floats else types.INT32, value.axes
            )
            for value in inputs
        ]
        result = [helper.make_tensor_value_info(output, types.FLOAT, axes)]
        graph = helper.make_graph(self._nodes, "minnow", given, result)
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="minnow"
        )
        for tensor in self._tables.values():  # the helpers would copy them twice
            model.graph.initializer.add().CopyFrom(tensor)
        return model


def refer(tensor: Any, place: Mapping[str, object]) -> None:
    """Say where the numbers of an `onnx.TensorProto` are, in place of those that it holds."""
    for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data"):
        tensor.ClearField(field)
    for key, value in place.items():
        tensor.external_data.add(key=key, value=str(value))
    tensor.data_location = type(tensor).EXTERNAL
