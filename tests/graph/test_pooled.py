"""Pooling in the graph: the vectors of `minnow.vectors`, on every runtime, and no more work."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import write_model

from minnow.convert.mnn import convert_to_mnn
from minnow.engines.base import TokenBatch
from minnow.engines.mnn import MnnEngine
from minnow.graph.encoder import build_graph
from minnow.model.original import read_original
from minnow.model.reference import ReferenceModel
from minnow.model.source import resolve
from minnow.model.spec import Interface
from minnow.recipe import RECIPES
from minnow.records import replace
from minnow.vectors import Pooling, normalize, pool

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.model.original import Original

    Floats = NDArray[np.float32]
    Rows = Sequence[Sequence[int]]

pytestmark = pytest.mark.extra("convert")

CLOSE = 1e-5
LONG = [2, *[9, 17, 40, 8, 21] * 7, 3]
ROWS: dict[str, Rows] = {
    "one token": [[5]],
    "texts of one token": [[5], [2], [9]],
    "one text": [[2, 9, 12, 3]],
    "alike": [[2, 9, 12, 3], [2, 44, 7, 3]],
    "unlike": [[2, 9, 12, 3], [2, 3], [2, 40, 41, 42, 43, 44, 7, 3]],
    "heavy padding": [LONG, [5], [2, 3], [2, 8, 3], LONG[5:], [7]],
}
HALF = float(np.finfo(np.float16).max)

every_pooling = pytest.mark.parametrize("pooling", list(Pooling), ids=lambda p: p.value)


@pytest.fixture(scope="module", params=["bert", "roberta"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Original:
    folder = tmp_path_factory.mktemp("model")
    found = read_original(resolve(str(write_model(folder / "model", family=request.param))))
    return replace(found, tensors=dict(found.tensors))


def chosen(original: Original, pooling: Pooling, *, normalized: bool = False) -> Original:
    embedding = replace(original.embedding, pooling=pooling, normalize=normalized)
    return replace(original, embedding=embedding)


def changed(original: Original, **tensors: Floats) -> Original:
    """Return the model with other values in its last norm, which produces the states."""
    last = f"layer.{original.encoder.layers - 1}.output_norm"
    new = {f"{last}.{name}": values for name, values in tensors.items()}
    return replace(original, tensors={**original.tensors, **new})


def expected(original: Original, rows: Rows) -> Floats:
    """Each text's states alone, and garbage for padding, pooled as everywhere in minnow."""
    embedding = original.embedding
    model = ReferenceModel(original.network, original.head, original.tensors)
    batch = TokenBatch.pad(rows, 0)
    states = np.full((*batch.shape, original.encoder.width), 999, np.float32)
    for i, row in enumerate(rows):
        states[i, : len(row)] = model.hidden_states(row)
    vectors = pool(states, batch.attention_mask, embedding.pooling)
    return normalize(vectors) if embedding.normalize else vectors


def graph_of(original: Original) -> Any:
    return build_graph(original.network, original.tensors, head=original.head)


def on_onnx_runtime(graph: Any, rows: Rows) -> dict[str, NDArray[Any]]:
    """Return all outputs by name."""
    import onnxruntime

    session = onnxruntime.InferenceSession(graph.SerializeToString())
    batch = TokenBatch.pad(rows, 0)
    feeds = {one.name: getattr(batch, one.name) for one in session.get_inputs()}
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def showing(graph: Any, names: Sequence[str]) -> Any:
    """Return the graph with more values among its outputs."""
    import onnx

    for name in names:
        value = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        graph.graph.output.append(value)
    return graph


def mnn_runner(
    original: Original, folder: Path, interface: Interface, recipe: str = "fp32"
) -> Callable[[Rows], Floats]:
    """Return a function from rows of ids to MNN's outputs."""
    pools = interface is Interface.SENTENCE_EMBEDDING
    head = original.head if pools else None
    model = build_graph(original.network, original.tensors, head=head)
    graph, encoder, spec = (
        folder / "graph.onnx",
        folder / f"{interface.value}.mnn",
        original.encoder,
    )
    graph.write_bytes(model.SerializeToString())
    convert_to_mnn(graph, encoder, RECIPES[recipe], spec.inputs, log=folder / "log")
    engine = MnnEngine(encoder, spec, threads=1, interface=interface)
    return lambda rows: engine.run(TokenBatch.pad(rows, 0))


vectors_of = partial(mnn_runner, interface=Interface.SENTENCE_EMBEDDING)
states_of = partial(mnn_runner, interface=Interface.LAST_HIDDEN_STATE)


@every_pooling
@pytest.mark.parametrize("normalized", [True, False])
@pytest.mark.extra("onnxruntime")
def test_onnx_runtime_gives_the_vectors(
    original: Original, pooling: Pooling, normalized: bool
) -> None:
    model = chosen(original, pooling, normalized=normalized)
    graph = graph_of(model)
    for name, rows in ROWS.items():
        found = on_onnx_runtime(graph, rows)["sentence_embedding"]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected(model, rows), atol=CLOSE, err_msg=name)


@every_pooling
@pytest.mark.parametrize("normalized", [True, False])
def test_mnn_gives_the_vectors(
    original: Original, tmp_path: Path, pooling: Pooling, normalized: bool
) -> None:
    model = chosen(original, pooling, normalized=normalized)
    run = vectors_of(model, tmp_path)
    for name, rows in ROWS.items():
        np.testing.assert_allclose(run(rows), expected(model, rows), atol=CLOSE, err_msg=name)


@every_pooling
def test_they_are_the_token_states_pooled_outside(
    original: Original, tmp_path: Path, pooling: Pooling
) -> None:
    """In half precision too, and where the last layer was pruned to one token."""
    model = chosen(original, pooling, normalized=True)
    run, states = (
        vectors_of(model, tmp_path, recipe="fp16"),
        states_of(model, tmp_path, recipe="fp16"),
    )
    for rows in ROWS.values():
        mask = TokenBatch.pad(rows, 0).attention_mask
        outside = normalize(pool(states(rows), mask, pooling))
        np.testing.assert_allclose(run(rows), outside, atol=CLOSE)


@every_pooling
def test_the_graph_is_valid_and_names_its_output(original: Original, pooling: Pooling) -> None:
    import onnx

    graph = graph_of(chosen(original, pooling, normalized=True))
    onnx.checker.check_model(graph, full_check=True)
    assert [value.name for value in graph.graph.input] == list(original.encoder.inputs)
    (output,) = graph.graph.output
    axes = output.type.tensor_type.shape.dim
    assert output.name == "sentence_embedding"
    assert [axis.dim_param or axis.dim_value for axis in axes] == ["batch", 32]
    assert "ConstantOfShape" not in {node.op_type for node in graph.graph.node}


@every_pooling
@pytest.mark.extra("onnxruntime")
def test_the_last_layer_computes_what_is_pooled(original: Original, pooling: Pooling) -> None:
    """Of one token, where one is taken; but all are attended to."""
    of_all = [f"layer.0.{part}" for part in ("query", "inner", "output_norm")]
    of_all += ["layer.1.key", "layer.1.value"]
    asked = [f"layer.1.{part}" for part in ("query", "attention_output", "inner", "output_norm")]
    graph = showing(graph_of(chosen(original, pooling)), [*of_all, *asked])
    values = on_onnx_runtime(graph, ROWS["unlike"])
    one = pooling in (Pooling.CLS, Pooling.LAST_TOKEN)
    assert {name: values[name].shape[:2] for name in of_all} == dict.fromkeys(of_all, (3, 8))
    shape = (3, 1 if one else 8)
    assert {name: values[name].shape[:2] for name in asked} == dict.fromkeys(asked, shape)


@pytest.mark.parametrize("pooling", [Pooling.CLS, Pooling.MEAN])
def test_a_vector_of_zeros_stays_one(original: Original, tmp_path: Path, pooling: Pooling) -> None:
    zeros = np.zeros(original.encoder.width, np.float32)
    model = changed(chosen(original, pooling, normalized=True), weight=zeros, bias=zeros)
    found = vectors_of(model, tmp_path)(ROWS["unlike"])
    np.testing.assert_array_equal(found, np.zeros((3, 32)))


@every_pooling
@pytest.mark.parametrize("size", [1e-4, 1e3])
def test_small_and_large_states_have_length_1(
    original: Original, tmp_path: Path, pooling: Pooling, size: float
) -> None:
    factor = np.full(original.encoder.width, size, np.float32)
    model = changed(chosen(original, pooling, normalized=True), weight=factor, bias=factor * 0)
    found = vectors_of(model, tmp_path)(ROWS["unlike"])
    np.testing.assert_allclose(found, expected(model, ROWS["unlike"]), atol=CLOSE)


@every_pooling
@pytest.mark.extra("onnxruntime")
def test_nothing_on_the_way_is_too_large_for_half_precision(
    tmp_path: Path, pooling: Pooling
) -> None:
    """512 tokens, whose states all are about 1000: neither their sum nor a square of one fits."""
    import onnx

    folder = write_model(tmp_path / "model", max_position_embeddings=512)
    original = chosen(read_original(resolve(str(folder))), pooling, normalized=True)
    bias = np.full(original.encoder.width, 1000, np.float32)
    graph = graph_of(changed(original, bias=bias))
    kinds = {
        value.name: value.type.tensor_type.elem_type
        for value in onnx.shape_inference.infer_shapes(graph).graph.value_info
    }
    added = [name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT
             and name.startswith(("pooling", "unit", "vectors"))]  # fmt: skip
    values = on_onnx_runtime(showing(graph, added), [[2, *[9] * 510, 3], [5]])
    largest = {name: float(np.abs(values[name]).max()) for name in added}
    assert len(added) > 8
    assert largest["vectors"] > 900
    assert {name for name, value in largest.items() if value > HALF} == set()
