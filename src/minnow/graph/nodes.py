"""The nodes of an ONNX graph that is being written, and the package that writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.errors import MissingExtraError
from minnow.signals import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import ArrayLike, NDArray

OPSET = 17
IR_VERSION = 8


@dataclass(frozen=True)
class Input:
    """An input of a graph.

    Attributes:
        name: Its name.
        axes: Its shape; a name stands for any length.
        floats: Whether it is float32; else int32.
    """

    name: str
    axes: tuple[str | int, ...] = ("batch", "seq")
    floats: bool = False


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


class Nodes:
    """Appends nodes; every method that does returns the name of the value that it added."""

    def __init__(self) -> None:
        """Begin with none.

        Raises:
            MissingExtraError: The extra `convert` is not installed.
        """
        self._onnx = import_onnx()
        self._nodes: list[Any] = []
        self._initializers: list[Any] = []

    def node(self, operator: str, inputs: list[str], name: str, **attributes: object) -> str:
        """Any operator with one output, which is called as the node is."""
        self._nodes.append(
            self._onnx.helper.make_node(operator, inputs, [name], name=name, **attributes)
        )
        return name

    def table(self, name: str, values: NDArray[Any]) -> str:
        """Values that belong to the model: an initialiser."""
        array = np.ascontiguousarray(values)
        self._initializers.append(self._onnx.numpy_helper.from_array(array, name))
        return name

    def constant(self, name: str, value: ArrayLike, dtype: type[np.generic]) -> str:
        """Values that belong to an operator: a Constant node."""
        tensor = self._onnx.numpy_helper.from_array(np.asarray(value, dtype=dtype), name)
        return self.node("Constant", [], name, value=tensor)

    def scalar(self, name: str, value: float) -> str:
        """One float32."""
        return self.constant(name, value, np.float32)

    def reshape(self, value: str, shape: list[int], name: str) -> str:
        """The value in another shape; 0 keeps an axis, -1 is what is left."""
        return self.node("Reshape", [value, self.constant(f"{name}.shape", shape, np.int64)], name)

    def cast(self, value: str, name: str) -> str:
        """The value as float32."""
        return self.node("Cast", [value], name, to=self._onnx.TensorProto.FLOAT)

    def model(self, inputs: Iterable[Input], output: str, axes: list[str | int]) -> Any:
        """All of it as an `onnx.ModelProto`.

        Args:
            inputs: Its inputs.
            output: Name of the output, float32.
            axes: Its shape.
        """
        helper, types = self._onnx.helper, self._onnx.TensorProto
        given = [
            helper.make_tensor_value_info(
                value.name, types.FLOAT if value.floats else types.INT32, value.axes
            )
            for value in inputs
        ]
        result = [helper.make_tensor_value_info(output, types.FLOAT, axes)]
        graph = helper.make_graph(self._nodes, "minnow", given, result, self._initializers)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="minnow"
        )
