"""The graph that the converter reads: rounded to the nearest half, large tensors beside it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from minnow.convert.graph_file import nearest_halves, write_graph
from minnow.convert.mnn import convert_to_mnn
from minnow.engines.mnn import import_mnn
from minnow.errors import ConversionError
from minnow.graph.nodes import Input, Nodes
from minnow.recipe import RECIPES
from minnow.records import replace

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

pytestmark = pytest.mark.extra("convert")

WIDTH = 160  # a weight of 102 400 bytes lies outside the graph


def numbers(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def graph(scale: float = 27.7128) -> tuple[Any, dict[str, NDArray[np.float32]]]:
    """Return a product with a bias, a norm without epsilon to speak of, a table and a number."""
    tensors = {
        "weight": numbers(WIDTH, WIDTH),
        "bias": numbers(WIDTH),
        "gain": numbers(WIDTH),
        "table": numbers(7, WIDTH),
    }
    nodes = Nodes()
    named = {name: nodes.table(name, values) for name, values in tensors.items()}
    rows = nodes.node("Gather", [named["table"], "x"], "rows", axis=0)
    product = nodes.node("MatMul", [rows, named["weight"]], "product")
    biased = nodes.node("Add", [product, named["bias"]], "biased")
    square = nodes.node("Mul", [biased, biased], "square")
    mean = nodes.node("ReduceMean", [square], "mean", axes=[-1], keepdims=1)
    root = nodes.node("Sqrt", [nodes.with_number("Add", mean, 1e-2 / 3, "eps")], "root")
    scaled = nodes.node("Div", [biased, root], "scaled")
    normed = nodes.node("Mul", [scaled, named["gain"]], "normed")
    nodes.with_number("Mul", normed, scale, "y")
    model = nodes.model([Input("x")], "y", ["batch", "seq", WIDTH])
    return model, tensors


def stored(path: Path) -> dict[str, NDArray[Any]]:
    import onnx

    model = onnx.load(str(path))
    found = {each.name: each for each in model.graph.initializer}
    found |= {n.output[0]: n.attribute[0].t for n in model.graph.node if n.op_type == "Constant"}
    return {name: onnx.numpy_helper.to_array(each) for name, each in found.items()}


def given(model: Any, outside: object) -> Any:
    """Build nothing: the graph is there, with all its tensors."""
    del outside
    return model


def half(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values.astype(np.float16).astype(np.float32)


def test_what_becomes_half_is_the_nearest_and_the_rest_as_it_was(tmp_path: Path) -> None:
    model, tensors = graph()
    write_graph(partial(given, model), tmp_path / "graph.onnx", RECIPES["fp16"])
    found = stored(tmp_path / "graph.onnx")
    for name in ("weight", "table"):
        np.testing.assert_array_equal(found[name], half(tensors[name]))
    for name in ("bias", "gain"):
        np.testing.assert_array_equal(found[name], tensors[name])
    assert found["y.number"] == np.float16(27.7128)
    assert found["eps.number"] == np.float32(1e-2 / 3)


def test_another_precision_changes_no_number(tmp_path: Path) -> None:
    for name in ("fp32", "int8"):
        model, tensors = graph()
        write_graph(partial(given, model), tmp_path / "graph.onnx", RECIPES[name])
        found = stored(tmp_path / "graph.onnx")
        for tensor, values in tensors.items():
            np.testing.assert_array_equal(found[tensor], values)


def test_the_encoder_computes_with_the_nearest_halves(tmp_path: Path) -> None:
    """A formula over rounded numbers, in float64, gives MNN's result; the cut ones do not."""
    mnn = import_mnn()
    model, tensors = graph()
    path, encoder = tmp_path / "graph.onnx", tmp_path / "encoder.mnn"
    write_graph(partial(given, model), path, RECIPES["fp16"])
    convert_to_mnn(path, encoder, RECIPES["fp16"], ["x"], log=tmp_path / "log")
    interpreter = mnn.Interpreter(str(encoder))
    session = interpreter.createSession()
    rows = interpreter.getSessionInput(session, "x")
    interpreter.resizeTensor(rows, (1, 7))
    interpreter.resizeSession(session)
    kind = mnn.Tensor_DimensionType_Caffe
    rows.copyFrom(mnn.Tensor((1, 7), mnn.Halide_Type_Int, tuple(range(7)), kind))
    interpreter.runSession(session)
    found = interpreter.getSessionOutput(session, "y")
    copy = mnn.Tensor((1, 7, WIDTH), mnn.Halide_Type_Float, (0.0,) * (7 * WIDTH), kind)
    found.copyToHostTensor(copy)
    x = half(tensors["table"]).astype(float) @ half(tensors["weight"]) + tensors["bias"]
    root = np.sqrt((x * x).mean(-1, keepdims=True) + np.float32(1e-2 / 3))
    expected = x / root * tensors["gain"] * float(np.float16(27.7128))
    result = np.array(copy.getData()).reshape(7, WIDTH)
    np.testing.assert_allclose(result, expected, rtol=0, atol=2e-6 * np.abs(expected).max())


def test_too_large_for_half_is_refused_by_name() -> None:
    values = np.array([1.0, -65520.0], np.float32)
    with pytest.raises(ConversionError, match=r"words holds -65520; .*65504.*`precision=fp32`"):
        nearest_halves(values, "words")
    assert nearest_halves(np.array([65519.0, 1.0], np.float32), "words")[0] == 65504
    mask = np.array([-np.inf, 1.0], np.float32)
    np.testing.assert_array_equal(nearest_halves(mask, "mask"), mask)


@pytest.mark.parametrize("number", [1e-12, float(np.finfo(np.float32).min)])
def test_a_single_number_outside_of_half_is_left_to_the_converter(number: float) -> None:
    value = np.array(number, np.float32)
    assert nearest_halves(value, "number") == value


def test_a_gelu_is_still_fused(tmp_path: Path) -> None:
    """The converter knows it by its numbers, which half precision would change."""
    from minnow.graph.activations import activate
    from minnow.model.spec import Activation

    for activation, names in [
        (Activation.GELU, {"gelu.div.number": 2**0.5}),
        (Activation.GELU_TANH, {"gelu.small.number": 0.044715, "gelu.argument.number": 0.7978846}),
    ]:
        for exact in (False, True):
            nodes = Nodes()
            activate(nodes, "x", "gelu", activation, exact=exact)
            model = nodes.model([Input("x", floats=True)], "gelu", ["batch", "seq"])
            recipe = replace(RECIPES["fp16"], exact_gelu=exact)
            write_graph(partial(given, model), tmp_path / "graph.onnx", recipe)
            found = stored(tmp_path / "graph.onnx")
            for name in names.keys() & found.keys():
                number = np.float32(names[name])
                assert found[name] == (np.float16(number) if exact else number)
