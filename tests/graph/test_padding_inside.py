"""Padding tokens inside a text, which RoBERTa's and MPNet's learned positions skip."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.checkpoint import source_of, write_model

from minnow.convert.mnn import convert_to_mnn
from minnow.engines.base import TokenBatch
from minnow.engines.mnn import MnnEngine
from minnow.graph.encoder import build_graph
from minnow.model.formulas import places_of
from minnow.model.original import Original, read_original
from minnow.model.reference import ReferenceModel
from minnow.recipe import RECIPES

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.extra("convert", "sentence-transformers"),
    pytest.mark.filterwarnings("ignore"),
]

PAD = 1
ROWS = [[2, PAD, 12, PAD, PAD, 40, 3], [2, 9, 3], [PAD, PAD, 3, 41], [2, 41, 42, 43, 44, 3, PAD]]


@pytest.fixture(scope="module", params=["roberta", "mpnet"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Original:
    folder = tmp_path_factory.mktemp(request.param) / "model"
    return read_original(source_of(write_model(folder, family=request.param)))


def test_the_reference_gives_the_states_of_transformers(original: Original) -> None:
    import torch
    from transformers import AutoModel

    model = AutoModel.from_pretrained(original.source.folder).eval()
    reference = ReferenceModel(original.network, original.head, original.tensors)

    for row in ROWS:
        with torch.no_grad():
            theirs = model(torch.tensor([row]), torch.ones(1, len(row))).last_hidden_state[0]
        np.testing.assert_allclose(reference.hidden_states(row), theirs.numpy(), atol=2e-5)


def test_the_encoder_gives_those_of_the_reference_in_batches(
    original: Original, tmp_path: Path
) -> None:
    graph = build_graph(original.network, original.tensors)
    (tmp_path / "graph.onnx").write_bytes(graph.SerializeToString())
    convert_to_mnn(
        tmp_path / "graph.onnx", tmp_path / "encoder.mnn", RECIPES["fp32"], original.encoder.inputs,
        log=tmp_path / "log",
    )  # fmt: skip
    engine = MnnEngine(tmp_path / "encoder.mnn", original.encoder, threads=1)
    states = engine.run(TokenBatch.pad(ROWS, original.encoder.pad_token_id))
    engine.close()

    reference = ReferenceModel(original.network, original.head, original.tensors)
    for row, found in zip(ROWS, states, strict=True):
        np.testing.assert_allclose(found[: len(row)], reference.hidden_states(row), atol=2e-5)


def test_places_count_what_is_not_padding(original: Original) -> None:
    assert places_of(ROWS[0], original.network).tolist() == [0, -1, 1, -1, -1, 2, 3]
    assert places_of(ROWS[1], original.network).tolist() == [0, 1, 2]
