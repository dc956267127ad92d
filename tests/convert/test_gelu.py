"""The mean error of MNN's fast GELU: its formula, and the biases that take it up."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.checkpoint import source_of, write_model

from minnow.convert.gelu import corrected_biases, stored_model
from minnow.convert.mnn import convert_to_mnn
from minnow.convert.quantize import quantize
from minnow.engines.mnn import import_mnn
from minnow.graph.activations import activate as add_activation
from minnow.graph.nodes import Input, Nodes
from minnow.model.formulas import activate
from minnow.model.network import Placement
from minnow.model.original import read_original
from minnow.model.spec import Activation
from minnow.recipe import RECIPES

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.model.original import Original

pytestmark = pytest.mark.extra("convert")


def test_the_formula_is_the_one_that_mnn_computes(tmp_path: Path) -> None:
    import onnx

    mnn = import_mnn()
    grid = (np.arange(-1152, 1153, dtype=np.float32) / 128)[:, None]  # halves
    nodes = Nodes()
    rows = nodes.node("Gather", [nodes.table("grid", grid), "x"], "rows", axis=0)
    add_activation(nodes, rows, "y", Activation.GELU, exact=False)
    onnx.save(nodes.model([Input("x")], "y", ["batch", "seq", 1]), tmp_path / "graph.onnx")
    encoder = tmp_path / "encoder.mnn"
    convert_to_mnn(tmp_path / "graph.onnx", encoder, RECIPES["fp16"], ["x"], log=tmp_path / "log")
    interpreter = mnn.Interpreter(str(encoder))
    session = interpreter.createSession()
    given = interpreter.getSessionInput(session, "x")
    interpreter.resizeTensor(given, (1, len(grid)))
    interpreter.resizeSession(session)
    kind = mnn.Tensor_DimensionType_Caffe
    ids = tuple(range(len(grid)))
    given.copyFrom(mnn.Tensor((1, len(grid)), mnn.Halide_Type_Int, ids, kind))
    interpreter.runSession(session)
    copy = mnn.Tensor((1, len(grid), 1), mnn.Halide_Type_Float, (0.0,) * len(grid), kind)
    interpreter.getSessionOutput(session, "y").copyToHostTensor(copy)
    found, exact = np.array(copy.getData()), activate(grid[:, 0].astype(float), Activation.GELU)
    assert np.abs(found - exact).max() > 4e-4
    formula = activate(grid[:, 0].astype(float), Activation.GELU_QUOTIENT)
    np.testing.assert_allclose(formula, found, rtol=0, atol=4e-6)


def original_of(tmp_path: Path, family: str) -> Original:
    return read_original(source_of(write_model(tmp_path / family, family=family)))


@pytest.mark.parametrize("placement", Placement)
def test_the_mean_error_is_gone_where_inputs_are_normal(
    placement: Placement, tmp_path: Path
) -> None:
    original = original_of(tmp_path, "bert")
    block = replace(original.network.blocks[0], placement=placement)
    norm = "output_norm" if placement is Placement.PRE else "attention_norm"
    random, tensors = np.random.default_rng(0), dict(original.tensors)
    weight, bias = (random.normal(mean, size=32).astype(np.float32) for mean in (1, -1))
    tensors |= {f"layer.0.{norm}.weight": weight, f"layer.0.{norm}.bias": bias}
    states = random.normal(size=(40_000, 32)) * weight + bias
    inputs = states @ tensors["layer.0.inner.weight"].T + tensors["layer.0.inner.bias"]
    errors = activate(inputs, Activation.GELU_QUOTIENT) - activate(inputs, Activation.GELU)
    added = (errors @ tensors["layer.0.output.weight"].T).mean(0)
    network = replace(original.network, blocks=(block,))
    change = corrected_biases(network, tensors)["layer.0.output.bias"]
    change = change - tensors["layer.0.output.bias"]
    assert np.linalg.norm(added + change) < 0.05 * np.linalg.norm(added)


def test_only_recipes_with_the_fast_gelu_change_biases(tmp_path: Path) -> None:
    original = original_of(tmp_path, "mpnet")
    changed = corrected_biases(original.network, original.tensors)
    assert set(changed) == {"layer.0.output.bias", "layer.1.output.bias"}
    halves, floats = (quantize(original, RECIPES[name]).tensors for name in ("fp16", "fp32"))
    for name, tensor in original.tensors.items():
        np.testing.assert_array_equal(floats[name], tensor)
        np.testing.assert_array_equal(halves[name], changed.get(name, tensor))


@pytest.mark.parametrize(
    ("family", "precision", "computed"),
    [
        ("bert", "int8", Activation.GELU_QUOTIENT),
        ("gemma3", "int8", Activation.GELU_QUOTIENT),
        ("eurobert", "int8", Activation.SILU),
        ("bert", "fp32", Activation.GELU),
    ],
)
def test_the_proof_computes_the_gelu_of_the_recipe(
    family: str, precision: str, computed: Activation, tmp_path: Path
) -> None:
    original = original_of(tmp_path, family)
    stored = stored_model(original, original.tensors, RECIPES[precision])
    assert {block.feed_forward.activation for block in stored.network.blocks} == {computed}


@pytest.mark.parametrize("family", ["gte", "modernbert", "eurobert", "t5"])
def test_gates_and_other_activations_have_no_such_error(family: str, tmp_path: Path) -> None:
    original = original_of(tmp_path, family)
    assert corrected_biases(original.network, original.tensors) == {}
