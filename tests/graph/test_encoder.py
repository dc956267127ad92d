"""The canonical graph: right in ONNX Runtime, and fused by MNN."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import CONFIGS, write_model

from minnow.convert.graph_file import write_graph
from minnow.convert.mnn import convert_to_mnn
from minnow.engines.base import TokenBatch
from minnow.engines.mnn import MnnEngine, import_mnn
from minnow.graph.encoder import build_graph
from minnow.graph.form import GraphForm
from minnow.model.checkpoint import read_tensors
from minnow.model.config import read_encoder_spec
from minnow.model.families import family_of, network_of
from minnow.model.head import Head
from minnow.model.reference import ReferenceModel
from minnow.model.source import resolve
from minnow.model.spec import Activation
from minnow.recipe import RECIPES
from minnow.records import replace
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.model.spec import EncoderSpec

pytestmark = pytest.mark.extra("convert")

ROWS = [[2, 9, 12, 3], [2, 3], [2, 40, 41, 42, 43, 44, 7, 3]]


class Model:
    """A tiny model, read."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.source = resolve(str(write_model(folder, **options)))
        self.encoder: EncoderSpec = read_encoder_spec(self.source)
        self.tensors = dict(read_tensors(self.source, self.encoder))
        self.network = network_of(self.encoder)
        self.reference = ReferenceModel(self.network, Head(Pooling.CLS), self.tensors)

    @property
    def batch(self) -> TokenBatch:
        return TokenBatch.pad(ROWS, self.encoder.pad_token_id)

    def check(self, hidden: NDArray[np.float32], tolerance: float) -> None:
        """Compare the states of real tokens with the reference's."""
        for states, row in zip(hidden, ROWS, strict=True):
            expected = self.reference.hidden_states(row)
            np.testing.assert_allclose(states[: len(row)], expected, atol=tolerance)


def to_mnn(model: Model, folder: Path, recipe: str, *, in_parts: bool = False) -> Path:
    graph = folder / "graph.onnx"
    form = GraphForm(in_parts=in_parts, for_mnn=True)
    build = partial(build_graph, model.network, model.tensors, form=form)
    write_graph(build, graph, RECIPES[recipe])
    convert_to_mnn(
        graph, folder / "encoder.mnn", RECIPES[recipe], model.encoder.inputs, log=folder / "log"
    )
    return folder / "encoder.mnn"


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu"])
@pytest.mark.extra("onnxruntime")
def test_onnx_runtime_gives_the_reference_states(
    tmp_path: Path, family: str, activation: str
) -> None:
    from minnow.engines.onnxruntime import OnnxRuntimeEngine

    row = family_of(CONFIGS[family]["model_type"], CONFIGS[family])
    assert row is not None
    if activation not in (row.activations or [activation]):
        activation = next(iter(row.activations or ()))
    key = row.config["activation"]
    model = Model(tmp_path / "model", family=family, **{key: activation})
    path = tmp_path / "graph.onnx"
    path.write_bytes(build_graph(model.network, model.tensors).SerializeToString())
    model.check(OnnxRuntimeEngine(path, model.encoder).run(model.batch), 2e-5)


@pytest.mark.parametrize("family", CONFIGS)
def test_mnn_gives_the_reference_states(tmp_path: Path, family: str) -> None:
    model = Model(tmp_path / "model", family=family)
    engine = MnnEngine(to_mnn(model, tmp_path, "fp32"), model.encoder)
    fused = model.encoder.activation is Activation.GELU_TANH  # the converter's is approximate
    model.check(engine.run(model.batch), 2e-4 if fused else 2e-5)


@pytest.mark.parametrize("units", [32, 64, 80, 24])
def test_a_feed_forward_layer_in_parts_gives_the_reference_states(
    tmp_path: Path, units: int
) -> None:
    """The width is 32: one part, two, two and a half, and less than one."""
    model = Model(tmp_path / "model", intermediate_size=units)
    engine = MnnEngine(to_mnn(model, tmp_path, "fp32", in_parts=True), model.encoder)
    model.check(engine.run(model.batch), 2e-5)


def test_no_sum_of_a_graph_in_parts_is_longer_than_a_state(tmp_path: Path) -> None:
    model = Model(tmp_path / "model", intermediate_size=128)
    longest = {}
    for in_parts in (False, True):
        form = GraphForm(in_parts=in_parts)
        graph = build_graph(model.network, model.tensors, form=form).graph
        tables = {table.name: table.dims for table in graph.initializer}
        products = [node.input[1] for node in graph.node if node.op_type == "MatMul"]
        longest[in_parts] = max(tables[name][0] for name in products if name in tables)
    assert longest == {False: 128, True: 32}


@pytest.mark.parametrize("activation", ["gelu_new", "relu"])
def test_mnn_computes_other_activations(tmp_path: Path, activation: str) -> None:
    model = Model(tmp_path / "model", hidden_act=activation)
    engine = MnnEngine(to_mnn(model, tmp_path, "fp32"), model.encoder)
    model.check(engine.run(model.batch), 2e-3)


def test_the_graph_is_valid_and_has_the_field_s_interface(tmp_path: Path) -> None:
    import onnx

    model = Model(tmp_path / "model")
    graph = build_graph(model.network, model.tensors)
    onnx.checker.check_model(graph, full_check=True)
    assert [value.name for value in graph.graph.input] == [
        "input_ids", "attention_mask", "token_type_ids",
    ]  # fmt: skip
    shapes = [
        [axis.dim_param or axis.dim_value for axis in value.type.tensor_type.shape.dim]
        for value in [*graph.graph.input, *graph.graph.output]
    ]
    assert shapes == [["batch", "seq"]] * 3 + [["batch", "seq", 32]]
    assert "ConstantOfShape" not in {node.op_type for node in graph.graph.node}


@pytest.mark.parametrize("family", CONFIGS)
def test_the_graph_has_no_node_that_mnn_reads_otherwise(tmp_path: Path, family: str) -> None:
    """Each of them computes something else in MNN, without a word (findings/mnn-*.sh)."""
    from onnx import TensorProto, numpy_helper

    model = Model(tmp_path / "model", family=family)
    graph = build_graph(model.network, model.tensors).graph
    tables = {table.name: numpy_helper.to_array(table) for table in graph.initializer}
    indices = {"Slice": 1, "GatherND": 1, "GatherElements": 1, "ScatterND": 1, "ScatterElements": 1}
    for node in graph.node:
        stated = {attribute.name: attribute.i for attribute in node.attribute}
        assert not stated.keys() & {"reduction", "select_last_index", "fmod"}
        assert not stated.get("transA")
        assert node.op_type != "Cast" or stated["to"] != TensorProto.BOOL
        assert node.op_type != "Less" or tables[node.input[1]].min() >= 0
        if node.op_type in indices:
            index = tables.get(node.input[indices[node.op_type]])
            assert index is None or index.min() >= 0, node


def operators(path: Path, spec: EncoderSpec) -> Counter[str]:
    """Return type -> count of the operators that MNN runs."""
    engine = MnnEngine(path, spec, threads=1)
    engine.run(TokenBatch.pad(ROWS, 0))
    session: Any = engine._session
    seen: Counter[str] = Counter()

    def before(_: object, info: Any) -> bool:
        seen[info.getType()] += 1
        return True

    session._interpreter.runSessionWithCallBackInfo(session._session, before, lambda *_: True)
    return seen


@pytest.mark.parametrize("recipe", RECIPES)
def test_layer_norms_and_gelus_are_fused(tmp_path: Path, recipe: str) -> None:
    """bge-small has 12 layers: 25 LayerNorms, 12 GELUs, nothing of theirs left over."""
    model = Model(tmp_path / "model", num_hidden_layers=12)
    seen = operators(to_mnn(model, tmp_path, recipe), model.encoder)
    assert seen["LayerNorm"] == 25
    assert seen["UnaryOp"] == 12
    assert seen["Convolution"] == 6 * 12
    assert seen["Softmax"] == 12
    assert "Reduction" not in seen
    # Residuals (2 a layer), scale and mask (2 a layer), embeddings (2), mask (2), shapes.
    assert seen["BinaryOp"] <= 4 * 12 + 8


@pytest.mark.parametrize(("family", "norms"), [("eurobert", 5), ("modernbert", 7)])
def test_norms_of_other_kinds_are_fused(tmp_path: Path, family: str, norms: int) -> None:
    """RMS norms, and LayerNorms without bias; a ModernBERT's first layer has one less."""
    model = Model(tmp_path / "model", family=family)
    seen = operators(to_mnn(model, tmp_path, "fp32"), model.encoder)
    assert seen["LayerNorm"] == norms
    assert "Reduction" not in seen


@pytest.mark.parametrize("activation", ["gelu", "gelu_new"])
def test_an_exact_gelu_is_not_approximated(tmp_path: Path, activation: str) -> None:
    """The converter knows GELU by the order of its nodes, and approximates it where it may."""
    model = Model(tmp_path / "model", hidden_act=activation)
    recipe = replace(RECIPES["fp32"], exact_gelu=False)
    for exact in (True, False):
        graph = tmp_path / f"exact-{exact}.onnx"
        form = GraphForm(exact_gelu=exact)
        content = build_graph(model.network, model.tensors, form=form)
        graph.write_bytes(content.SerializeToString())
        encoder = graph.with_suffix(".mnn")
        convert_to_mnn(graph, encoder, recipe, model.encoder.inputs, log=tmp_path / "log")
        states = MnnEngine(encoder, model.encoder).run(model.batch)
        if exact:
            model.check(states, 1e-5)
        elif activation == "gelu":  # the polynomial is nearer to GELU by tanh
            with pytest.raises(AssertionError):
                model.check(states, 1e-5)


MASK = "Cast Constant Unsqueeze Constant Sub Constant Mul"
EMBEDDINGS = "Gather Gather Add Shape Constant Gather Constant Slice Add LayerNormalization"
HEADS = "MatMul Add Constant Reshape Transpose"
SCORES = f"{HEADS} {HEADS} {HEADS} MatMul Constant Mul Add Softmax"
MIXED = "MatMul Transpose Constant Reshape MatMul Add Add LayerNormalization"
GELU = "Constant Div Erf Constant Add Mul Constant Mul"
FEED_FORWARD = f"MatMul Add {GELU} MatMul Add Add LayerNormalization"
LAYER = f"{SCORES} {MIXED} {FEED_FORWARD}"
BERT = f"{MASK} {EMBEDDINGS} {LAYER} {LAYER} Identity"

ROWS_FED = f"Constant Reshape Conv {GELU} Conv Shape Reshape Add LayerNormalization"
LAYER_FOR_MNN = f"{SCORES} {MIXED} {ROWS_FED}"
BERT_FOR_MNN = f"{MASK} {EMBEDDINGS} {LAYER_FOR_MNN} {LAYER_FOR_MNN} Identity"


@pytest.mark.parametrize(("for_mnn", "nodes"), [(False, BERT), (True, BERT_FOR_MNN)])
def test_the_operators_of_bert(tmp_path: Path, nodes: str, *, for_mnn: bool) -> None:
    """A change of this list changes what MNN runs, and so needs a new measurement."""
    model = Model(tmp_path / "model")
    graph = build_graph(model.network, model.tensors, form=GraphForm(for_mnn=for_mnn))
    assert [node.op_type for node in graph.graph.node] == nodes.split()


def test_products_that_follow_each_other_share_a_layout(tmp_path: Path) -> None:
    """Each operator Raster rewrites a tensor; half precision has feed-forward layers in parts."""
    model = Model(tmp_path / "model", intermediate_size=128)
    seen = operators(to_mnn(model, tmp_path, "fp16", in_parts=True), model.encoder)
    assert seen["Raster"] <= 20  # 33 where each product has the layout of its own


def values_inside(encoder: Path, batch: TokenBatch, names: tuple[str, ...]) -> dict[str, Any]:
    """Run an MNN encoder, and copy what operators of these names give."""
    mnn = import_mnn()
    interpreter = mnn.Interpreter(str(encoder))
    session = interpreter.createSession({"backend": "CPU", "numThread": 1})
    inputs = interpreter.getSessionInputAll(session)
    for tensor in inputs.values():
        interpreter.resizeTensor(tensor, batch.shape)
    interpreter.resizeSession(session)
    for name in inputs:
        values = np.ascontiguousarray(getattr(batch, name), np.int32)
        host = mnn.Tensor(batch.shape, mnn.Halide_Type_Int, values, mnn.Tensor_DimensionType_Caffe)
        interpreter.getSessionInput(session, name).copyFrom(host)
    found = {}

    def keep(tensors: Any, operator: Any) -> bool:
        if operator.getName() in names:
            found[operator.getName()] = np.array(tensors[0].getNumpyData())
        return True

    interpreter.runSessionWithCallBackInfo(session, lambda *_: True, keep)
    return found


@pytest.mark.parametrize("recipe", ["fp32", "fp16", "int8"])
def test_no_weight_of_a_decoder_is_a_subnormal_number(recipe: str, tmp_path: Path) -> None:
    """MNN's softmax gives such numbers, with which products take many times as long on x86."""
    model = Model(tmp_path / "model", family="qwen3")
    encoder = to_mnn(model, tmp_path, recipe)
    names = ("layer.0.weights", "layer.0.lifted")
    given, lifted = values_inside(encoder, model.batch, names).values()
    least = np.finfo(np.float32).smallest_normal
    assert 0 < given.min() < least, "MNN changed; the graph need not add anything any more"
    assert lifted.min() > 1e10 * least
    np.testing.assert_array_equal(lifted[given > 1e-16], given[given > 1e-16])
