"""Attention for long texts gives the vectors of attention for short ones, at a smaller size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.checkpoint import CONFIGS, source_of, write_model

from minnow.convert import convert, encoders
from minnow.engines.base import TokenBatch
from minnow.graph.encoder import build_graph
from minnow.graph.form import GraphForm
from minnow.model import spec
from minnow.model.checkpoint import read_tensors
from minnow.model.config import read_encoder_spec
from minnow.model.families import network_of
from minnow.model.head import Head
from minnow.model.reference import ReferenceModel
from minnow.model.spec import EMBEDDING_INTERFACES, EmbeddingSpec, Interface
from minnow.recipe import RECIPES
from minnow.records import replace
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.extra("convert")

LENGTHS = (1, 4, 5, 40, 17, 33, 36)
"""Texts shorter than a block of 4 tokens, as long, one longer, and to the limit of 40."""


@pytest.mark.parametrize("family", CONFIGS)
@pytest.mark.parametrize("window", [None, 1, 10, 39])
@pytest.mark.extra("onnxruntime")
def test_onnx_runtime_gives_the_reference_states(
    tmp_path: Path, family: str, window: int | None
) -> None:
    from minnow.engines.onnxruntime import OnnxRuntimeEngine

    source = source_of(write_model(tmp_path / "model", family=family))
    encoder = read_encoder_spec(source)
    network, tensors = network_of(encoder), dict(read_tensors(source, encoder))
    if window is not None:
        first = network.blocks[0]
        windowed = replace(first, attention=replace(first.attention, window=window))
        network = replace(network, blocks=(windowed, *network.blocks[1:]))
    graph = build_graph(network, tensors, form=GraphForm(long=True))
    (tmp_path / "graph.onnx").write_bytes(graph.SerializeToString())
    engine = OnnxRuntimeEngine(tmp_path / "graph.onnx", encoder)
    reference = ReferenceModel(network, Head(Pooling.CLS), tensors)
    random = np.random.default_rng(0)
    texts = [random.integers(5, 40, length).tolist() for length in LENGTHS]
    expected = [reference.hidden_states(ids) for ids in texts]
    for some in ([0], [3], [0, 1, 2], range(len(texts))):
        batch = [texts[n] for n in some]
        states = engine.run(TokenBatch.pad(batch, encoder.pad_token_id))
        for found, n in zip(states, some, strict=True):
            np.testing.assert_allclose(found[: len(texts[n])], expected[n], rtol=0, atol=2e-5)


@pytest.mark.transformers_5
@pytest.mark.parametrize(
    ("family", "pooling"), [("modernbert", "cls"), ("modernbert", "mean"), ("mpnet", "cls")]
)
@pytest.mark.parametrize("interface", EMBEDDING_INTERFACES)
@pytest.mark.extra("sentence-transformers")
@pytest.mark.filterwarnings("ignore")
def test_a_bundle_for_long_texts_gives_the_vectors_of_sentence_transformers(
    family: str,
    pooling: str,
    interface: Interface,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One by one and in padded batches, with a fixed shape of long texts and one of short ones."""
    monkeypatch.setattr(spec, "LONG", 20)
    monkeypatch.setattr(encoders, "LONG", 20)
    bundle = convert(
        str(write_model(tmp_path / "model", family=family, pooling=pooling, max_tokens=38)),
        tmp_path / "bundle",
        recipe=replace(RECIPES["fp32"], interface=interface),
        reference="sentence-transformers",
        shapes=[(2, 30), (2, 12)],
    )
    worst = [bundle.manifest.parity.worst, *(f.parity.worst for f in bundle.manifest.fixed_shapes)]
    assert min(run.worst for run in worst) >= 0.999999


def test_the_limit_of_texts_decides(tmp_path: Path) -> None:
    source = source_of(write_model(tmp_path / "model", family="modernbert"))
    encoder = read_encoder_spec(source)
    network, tensors = network_of(encoder), read_tensors(source, encoder)
    operators = {
        limit: [
            node.op_type
            for node in build_graph(
                network,
                tensors,
                form=GraphForm(long=EmbeddingSpec(Pooling.CLS, True, limit).is_long),
            ).graph.node
        ]
        for limit in (512, 2047, 2048, 8192)
    }
    assert operators[512] == operators[2047] != operators[2048] == operators[8192]
    assert operators[512].count("Pad") == 0
    assert operators[8192].count("Pad") == 3 + 1
    layers = network.blocks
    heads = sum(block.attention.heads for block in layers if block.attention.window is None)
    local = sum(block.attention.window is not None for block in layers)
    assert operators[8192].count("Softmax") == heads + local
