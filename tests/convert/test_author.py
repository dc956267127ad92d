"""The author's own graph: cleaned of what MNN miscompiles, or refused."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import write_model

from minnow.convert import convert
from minnow.convert.author import (
    add_lengths_up,
    adopt_graph,
    compare_with_zero,
    drop_nan_guards,
    fold_constant_shapes,
    transpose_before_products,
    turn_less_round,
)
from minnow.errors import MinnowError, ParityError, SourceNotFoundError, UnsupportedModelError
from minnow.graph.encoder import build_graph
from minnow.graph.nodes import import_onnx
from minnow.graph.positions import MASKED
from minnow.model.checkpoint import read_tensors
from minnow.model.config import read_encoder_spec
from minnow.model.families import network_of
from minnow.model.source import resolve
from minnow.recipe import RECIPES, Graph
from minnow.records import replace

if TYPE_CHECKING:
    from pathlib import Path

onnx: Any = import_onnx() if find_spec("onnx") else None
pytestmark = pytest.mark.extra("convert")

RECIPE = replace(RECIPES["fp32"], graph=Graph.AUTHOR)


def constant(name: str, values: Any) -> Any:
    tensor = onnx.numpy_helper.from_array(np.asarray(values), name)
    return onnx.helper.make_node("Constant", [], [name], value=tensor)


def constant_of_shape(shape: str, output: str, value: float) -> Any:
    fill = onnx.numpy_helper.from_array(np.array([value], dtype=np.float32))
    return onnx.helper.make_node("ConstantOfShape", [shape], [output], name=output, value=fill)


def write_author_graph(folder: Path, *, fault: bool = True) -> Path:
    """A graph as authors export it: int64 inputs, a pooler, the mask from a rank-0 constant."""
    source = resolve(str(folder))
    spec = read_encoder_spec(source)
    model = build_graph(network_of(spec), read_tensors(source, spec))
    graph = model.graph
    for value in graph.input:
        value.type.tensor_type.elem_type = onnx.TensorProto.INT64
    extra = [
        onnx.helper.make_node("ReduceMean", ["last_hidden_state"], ["pooler_output"], axes=[1]),
    ]
    if fault:
        at = next(i for i, node in enumerate(graph.node) if node.output[0] == "mask")
        graph.node[at].input[1] = "mask.scale"
        graph.node.insert(at, constant_of_shape("empty", "mask.scale", MASKED))
        graph.node.insert(at, constant("empty", np.zeros(0, dtype=np.int64)))
    graph.node.extend(extra)
    graph.output.append(
        onnx.helper.make_tensor_value_info("pooler_output", onnx.TensorProto.FLOAT, None)
    )
    path = folder / "onnx/model.onnx"
    path.parent.mkdir(exist_ok=True)
    onnx.save(model, path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model", pooling="mean")


def operators(graph: Any) -> list[str]:
    return [node.op_type for node in graph.graph.node]


def test_the_rank_0_fault_is_cleaned_and_the_bundle_proven(model: Path, tmp_path: Path) -> None:
    path = write_author_graph(model)
    assert "ConstantOfShape" in operators(onnx.load(path))
    bundle = convert(str(model), tmp_path / "out", recipe=RECIPE)
    assert bundle.manifest.recipe.graph is Graph.AUTHOR
    assert bundle.manifest.parity.worst.worst >= RECIPE.bar


def test_uncleaned_it_is_refused_or_right_but_never_sealed_wrong(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The converter's garbage differs from run to run, so both outcomes are possible."""
    write_author_graph(model)
    monkeypatch.setattr("minnow.convert.author.fold_constant_shapes", lambda *_: 0)
    try:
        bundle = convert(str(model), tmp_path / "out", recipe=RECIPE)
    except MinnowError:
        assert not (tmp_path / "out").exists()
    else:
        assert bundle.manifest.parity.worst.worst >= RECIPE.bar


def test_adopting_keeps_one_output_and_what_it_reads(model: Path) -> None:
    path = write_author_graph(model)
    spec = read_encoder_spec(resolve(str(model)))
    adopted = adopt_graph(path, spec)
    assert [value.name for value in adopted.graph.output] == ["last_hidden_state"]
    assert "ReduceMean" not in operators(adopted)
    assert "ConstantOfShape" not in operators(adopted)
    onnx.checker.check_model(adopted, full_check=True)


def test_an_output_of_another_name_is_renamed(model: Path) -> None:
    path = write_author_graph(model, fault=False)
    graph = onnx.load(path)
    for node in graph.graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                names[i] = "token_embeddings" if name == "last_hidden_state" else name
    graph.graph.output[0].name = "token_embeddings"
    onnx.save(graph, path)
    adopted = adopt_graph(path, read_encoder_spec(resolve(str(model))))
    assert [value.name for value in adopted.graph.output] == ["last_hidden_state"]
    onnx.checker.check_model(adopted, full_check=True)


def graph_with(nodes: list[Any], inputs: list[Any] | None = None) -> Any:
    output = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph(nodes, "g", inputs or [], [output])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])


def test_a_known_shape_of_any_rank_is_folded(tmp_path: Path) -> None:
    graph = graph_with([constant("s", np.array([2, 3])), constant_of_shape("s", "y", 7.0)])
    assert fold_constant_shapes(graph, tmp_path) == 1
    (values,) = [n for n in graph.graph.node if n.output[0] == "y"]
    assert values.op_type == "Constant"
    np.testing.assert_array_equal(
        onnx.numpy_helper.to_array(values.attribute[0].t), np.full((2, 3), 7.0, np.float32)
    )


def test_a_shape_of_known_rank_at_run_time_is_left(tmp_path: Path) -> None:
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["a", "b"])
    shape = onnx.helper.make_node("Shape", ["x"], ["s"])
    graph = graph_with([shape, constant_of_shape("s", "y", 1.0)], [x])
    assert fold_constant_shapes(graph, tmp_path) == 0


def test_rank_0_through_the_shape_of_a_scalar_is_folded(tmp_path: Path) -> None:
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [])
    shape = onnx.helper.make_node("Shape", ["x"], ["s"])
    graph = graph_with([shape, constant_of_shape("s", "y", 1.0)], [x])
    assert fold_constant_shapes(graph, tmp_path) == 1


def test_an_unknown_rank_is_refused(tmp_path: Path) -> None:
    s = onnx.helper.make_tensor_value_info("s", onnx.TensorProto.INT64, ["rank"])
    with pytest.raises(UnsupportedModelError, match="rank is computed at run time"):
        fold_constant_shapes(graph_with([constant_of_shape("s", "y", 1.0)], [s]), tmp_path)


def test_nan_guards_are_dropped_and_other_choices_kept() -> None:
    nodes = [
        onnx.helper.make_node("IsNaN", ["x"], ["bad"]),
        onnx.helper.make_node("Where", ["bad", "zero", "x"], ["y"]),
        onnx.helper.make_node("Where", ["cond", "zero", "x"], ["z"]),
    ]
    graph = graph_with(nodes)
    assert drop_nan_guards(graph) == 1
    assert [(n.op_type, list(n.input)) for n in graph.graph.node[1:]] == [
        ("Identity", ["x"]),
        ("Where", ["cond", "zero", "x"]),
    ]


def make_mask(folder: Path, steps: list[Any]) -> None:
    """Put steps before the author's graph that make the mask which it reads, named "seen"."""
    path = write_author_graph(folder, fault=False)
    graph = onnx.load(path)
    for node in graph.graph.node:
        node.input[:] = ["seen" if name == "attention_mask" else name for name in node.input]
    nodes = [*steps, *graph.graph.node]
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    onnx.save(graph, path)


def mask_of_ids(folder: Path) -> None:
    """Make the author's mask `(ids + 1).bool() & mask.bool()`, which is the mask again."""
    make, number = onnx.helper.make_node, onnx.TensorProto
    steps = [
        constant("one", np.int64(1)),
        make("Add", ["input_ids", "one"], ["number"]),
        make("Cast", ["number"], ["real"], to=number.BOOL),
        make("Cast", ["attention_mask"], ["asked"], to=number.BOOL),
        make("And", ["real", "asked"], ["both"]),
        make("Cast", ["both"], ["seen"], to=number.INT64),
    ]
    make_mask(folder, steps)


def test_a_mask_made_of_ids_is_compared_with_zero(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MNN keeps the ids in a cast to bool, so the graph as it is fails its proof."""
    mask_of_ids(model)
    bundle = convert(str(model), tmp_path / "out", recipe=RECIPE)
    assert bundle.manifest.parity.worst.worst >= RECIPE.bar
    monkeypatch.setattr("minnow.convert.author.compare_with_zero", lambda _: 0)
    with pytest.raises(ParityError):
        convert(str(model), tmp_path / "as it is", recipe=RECIPE)


@pytest.mark.extra("onnxruntime")
@pytest.mark.parametrize("kind", ["FLOAT", "INT32", "INT64", "BOOL"])
def test_comparing_with_zero_changes_no_result(kind: str) -> None:
    import onnxruntime

    number = getattr(onnx.TensorProto, kind)
    x = onnx.helper.make_tensor_value_info("x", number, ["n"])
    make = onnx.helper.make_node
    nodes = [
        make("Cast", ["x"], ["true"], to=onnx.TensorProto.BOOL),
        make("Cast", ["true"], ["y"], to=onnx.TensorProto.FLOAT),
    ]
    graph = graph_with(nodes, [x])
    graph.ir_version = 8
    values = np.array([0, 1, -3, 256, 0.25]).astype(onnx.helper.tensor_dtype_to_np_dtype(number))

    def run() -> Any:
        return onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"x": values})[0]

    before = run()
    assert compare_with_zero(graph) == 1
    assert operators(graph) == ["Cast", "Constant", "Equal", "Not", "Cast"]
    np.testing.assert_array_equal(run(), before)


def mask_of_scores(folder: Path) -> None:
    """Make the author's mask `not (scores < -1)`, of scores 0 and -10000: the mask again."""
    make, number = onnx.helper.make_node, onnx.TensorProto
    steps = [
        constant("one", np.float32(1)),
        constant("least", np.float32(10000)),
        constant("bound", np.float32(-1)),
        make("Cast", ["attention_mask"], ["ones"], to=number.FLOAT),
        make("Sub", ["ones", "one"], ["zeros"]),
        make("Mul", ["zeros", "least"], ["scores"]),
        make("Less", ["scores", "bound"], ["padding"]),
        make("Not", ["padding"], ["kept"]),
        make("Cast", ["kept"], ["seen"], to=number.INT64),
    ]
    make_mask(folder, steps)


def test_a_mask_made_of_negative_scores_is_compared_by_greater(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MNN's Less finds no padding in such scores, so the graph as it is fails its proof."""
    mask_of_scores(model)
    bundle = convert(str(model), tmp_path / "out", recipe=RECIPE)
    assert bundle.manifest.parity.worst.worst >= RECIPE.bar
    monkeypatch.setattr("minnow.convert.author.turn_less_round", lambda _: 0)
    with pytest.raises(ParityError):
        convert(str(model), tmp_path / "as it is", recipe=RECIPE)


@pytest.mark.extra("onnxruntime")
def test_less_turned_round_changes_no_result() -> None:
    import onnxruntime

    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n"])
    make = onnx.helper.make_node
    nodes = [
        constant("bound", np.float32(-1)),
        make("Less", ["x", "bound"], ["below"]),
        make("Cast", ["below"], ["y"], to=onnx.TensorProto.FLOAT),
    ]
    graph = graph_with(nodes, [x])
    graph.ir_version = 8
    values = np.array([-3, -1, -0.5, 0, 2, np.nan], np.float32)

    def run() -> Any:
        return onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"x": values})[0]

    before = run()
    assert turn_less_round(graph) == 1
    assert operators(graph) == ["Constant", "Greater", "Cast"]
    np.testing.assert_array_equal(run(), before)
    assert before.tolist() == [1, 0, 0, 0, 0, 0]


@pytest.mark.extra("onnxruntime")
@pytest.mark.parametrize("operator", ["ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceMax"])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_lengths_added_up_change_no_result(operator: str, keepdims: int) -> None:
    """Of these nodes MNN drops the axes, which are an input since opset 18."""
    import onnxruntime

    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["texts", "tokens", 4])
    make = onnx.helper.make_node
    nodes = [
        constant("axes", np.array([-1])),
        make(operator, ["x", "axes"], ["y"], keepdims=keepdims),
    ]
    graph = graph_with(nodes, [x])
    graph.ir_version = 8
    graph.opset_import[0].version = 18
    values = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)

    def run() -> Any:
        return onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"x": values})[0]

    before, own = run(), operator != "ReduceMax"
    assert add_lengths_up(graph) == own
    assert ("ReduceSum" in operators(graph), operator in operators(graph)) == (own, not own)
    np.testing.assert_allclose(run(), before, atol=1e-6)
    graph.opset_import[0].version = 17
    assert add_lengths_up(graph) == 0


@pytest.mark.extra("onnxruntime")
@pytest.mark.parametrize("turned", [0, 1])
def test_products_of_transposed_inputs_change_no_result(turned: int) -> None:
    import onnxruntime

    shape = (4, 3) if turned else (3, 4)
    x = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)
    weights = np.arange(8, dtype=np.float32).reshape(4, 2)
    product = onnx.helper.make_node("Gemm", ["x", "weights"], ["y"], transA=turned, alpha=0.5)
    graph = graph_with([constant("weights", weights), product], [x])
    graph.ir_version = 8
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)

    def run() -> Any:
        return onnxruntime.InferenceSession(graph.SerializeToString()).run(None, {"x": values})[0]

    before = run()
    assert transpose_before_products(graph) == turned
    assert operators(graph) == ["Constant", *["Transpose"] * turned, "Gemm"]
    assert not next(a.i for a in graph.graph.node[-1].attribute if a.name == "transA")
    np.testing.assert_allclose(run(), before, atol=1e-6)


def test_no_graph_foreign_graph_and_garbage_are_named(model: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no ONNX graph"):
        convert(str(model), tmp_path / "out", recipe=RECIPE)
    path = write_author_graph(model)
    graph = onnx.load(path)
    graph.graph.input[1].name = "pixels"
    onnx.save(graph, path)
    with pytest.raises(UnsupportedModelError, match="pixels"):
        convert(str(model), tmp_path / "out", recipe=RECIPE)
    path.write_bytes(b"garbage")
    with pytest.raises(UnsupportedModelError, match="not an ONNX model"):
        convert(str(model), tmp_path / "out", recipe=RECIPE)
    assert not (tmp_path / "out").exists()


@pytest.mark.extra("onnxruntime")
def test_the_author_s_graph_as_the_reference(model: Path, tmp_path: Path) -> None:
    write_author_graph(model)
    bundle = convert(str(model), tmp_path / "out", reference="author-onnx")
    assert "onnx/model.onnx in ONNX Runtime" in bundle.manifest.parity.reference
