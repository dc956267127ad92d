"""The ONNX file that MNN's converter reads, with numbers that half precision keeps.

With `--fp16` the converter drops the digits that a half has no room for, which moves every weight
towards zero. So minnow rounds to the nearest half before; such numbers pass unchanged.

Source of what becomes half: `SaveHalfFloat.cpp` of MNN's converter, which casts the weights of
convolutions (a product with a weight is one) and constants that are operators of their own. Biases
of products, and weights, biases and epsilons of norms are parameters and stay float32. The numbers
of a GELU that the converter fuses must be as they are, or it does not know the GELU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.errors import ConversionError
from minnow.graph.nodes import import_onnx, refer
from minnow.recipe import Precision

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.recipe import Recipe

_LEAST_NORMAL = float(np.finfo(np.float16).smallest_normal)
_PRODUCTS = ("MatMul", "Gemm", "Conv")
_OUTSIDE = 65536
"""Bytes from which a tensor lies beside the graph."""


def write_graph(build: Callable[..., Any], path: Path, recipe: Recipe) -> None:
    """Write a graph as MNN's converter should read it.

    Large tensors lie in a file beside it, which the converter reads ten times as fast. Those that
    `build` passes on go straight into that file, so that they are not all in memory at once.

    Args:
        build: Returns an `onnx.ModelProto`, given `outside`, a `minnow.graph.nodes.Outside`; the
            large tensors that it has all the same are moved out of it.
        path: The ONNX file; the tensors' file has its name and the suffix `.tensors`.
        recipe: At fp16 all numbers that become half are rounded to the nearest.

    Raises:
        ConversionError: A number is too large for half precision.
        MissingExtraError: The extra `convert` is not installed.
    """
    onnx = import_onnx()
    halves = recipe.precision is Precision.FP16
    outside = path.with_suffix(".tensors")
    with outside.open("wb") as file:

        def put(values: NDArray[Any]) -> Mapping[str, object]:
            place = {"location": outside.name, "offset": file.tell(), "length": values.nbytes}
            file.write(values.data)
            return place

        def write(name: str, values: NDArray[Any]) -> Mapping[str, object] | None:
            """Write a table if it is large, as no parameter of a norm is."""
            if values.nbytes < _OUTSIDE:
                return None
            rounds = halves and values.dtype == np.float32
            return put(nearest_halves(values, name) if rounds else values)

        model = build(outside=write)
        kept = _parameters(model.graph) if halves else set()
        if halves and not recipe.exact_gelu:
            kept |= _gelu_numbers(model.graph)
        for name, tensor in _tensors(model.graph):
            if tensor.data_location == onnx.TensorProto.EXTERNAL:
                continue
            values = onnx.numpy_helper.to_array(tensor)
            rounds = halves and values.dtype == np.float32 and name not in kept
            if values.nbytes >= _OUTSIDE:
                refer(tensor, put(nearest_halves(values, name) if rounds else values))
            elif rounds:
                tensor.ClearField("float_data")
                tensor.raw_data = nearest_halves(values, name).tobytes()
    path.write_bytes(model.SerializeToString())


def remove_graph(path: Path) -> None:
    """Remove what `write_graph` wrote."""
    path.unlink()
    path.with_suffix(".tensors").unlink()


def nearest_halves(values: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """Round numbers to the nearest float16, ties to even.

    A single number is left as it is where half precision has no place for it: the converter makes
    the mask of an author's graph, float32's lowest number, half's lowest; and a tiny number is an
    epsilon.

    Args:
        values: float32 of any shape.
        name: Their name in messages.

    Raises:
        ConversionError: One of several numbers is too large.
    """
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16).astype(np.float32)
    if values.size == 1:
        size = float(np.abs(values).reshape(()))
        fits = size >= _LEAST_NORMAL and bool(np.isfinite(halves).all())
        return halves if fits else values
    lost = values[np.isinf(halves) & np.isfinite(values)]
    if lost.size:
        raise ConversionError(
            f"{name} holds {lost[0]:.6g}; half precision ends at 65504. Take `precision=fp32`."
        )
    return halves


def _tensors(graph: Any) -> Iterator[tuple[str, Any]]:
    """Yield every stored tensor of a graph with its name."""
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            yield node.output[0], node.attribute[0].t


def _parameters(graph: Any) -> set[str]:
    """Return the names of tensors that the converter makes parameters of products and norms."""
    made_by = {name: node for node in graph.node for name in node.output}
    roots = {node.input[0] for node in graph.node if node.op_type == "Sqrt"}

    def comes_from(name: str, *operators: str) -> bool:
        return name in made_by and made_by[name].op_type in operators

    found = set()
    for node in graph.node:
        if node.op_type == "LayerNormalization":
            found.update(node.input[1:])
        elif node.op_type in ("Gemm", "Conv"):
            found.update(node.input[2:])
        elif node.op_type == "Add":
            first, second = node.input
            epsilon = node.output[0] in roots
            found |= {first} if epsilon or comes_from(second, *_PRODUCTS) else set()
            found |= {second} if epsilon or comes_from(first, *_PRODUCTS) else set()
        elif node.op_type == "Mul":
            for own, other in (node.input, reversed(node.input)):
                if comes_from(other, "Div") and not comes_from(made_by[other].input[0], "Sub"):
                    found.add(own)
    return found


def _gelu_numbers(graph: Any) -> set[str]:
    """Return the names of the numbers by which the converter knows a GELU, by erf or by tanh."""
    curves = {node.input[0] for node in graph.node if node.op_type in ("Erf", "Tanh")}
    powers = {node.output[0] for node in graph.node if node.op_type == "Pow"}
    found = set()
    for node in graph.node:
        if node.op_type in ("Div", "Mul") and (
            curves & set(node.output) or powers & set(node.input)
        ):
            found.update(node.input)
    return found
