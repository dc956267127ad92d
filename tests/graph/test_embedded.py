"""The graph whose words are embedded before it, on a runtime that is not MNN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import CONFIGS, write_model
from fakes.pairs import pairwise

from minnow.graph.embedded import OUTPUT, build_embedded_graph, embedded_inputs
from minnow.graph.form import GraphForm
from minnow.graph.packed import pack_table
from minnow.model.original import read_original
from minnow.model.reference import ReferenceModel
from minnow.model.source import resolve
from minnow.records import replace
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from minnow.model.original import Original

pytestmark = pytest.mark.extra("convert")

ROWS = ([5], [2, 9, 12, 3], [2, 40, 41, 42, 43, 44, 7, 3])


@pytest.fixture(scope="module", params=[*CONFIGS])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Original:
    folder = tmp_path_factory.mktemp("model")
    return read_original(resolve(str(write_model(folder / "model", family=request.param))))


@pytest.mark.parametrize(
    ("original", "pooling", "packs", "long"),
    pairwise([*CONFIGS], [*Pooling], [False, True], [False, True]),
    indirect=["original"],
)
def test_it_gives_the_references_vectors(
    original: Original, pooling: Pooling, packs: bool, long: bool
) -> None:
    from onnx.reference import ReferenceEvaluator

    head = replace(original.head, pooling=pooling)
    tensors, packed = dict(original.tensors), {}
    if packs and original.network.positions:
        packed = {"embeddings.position": pack_table(tensors["embeddings.position"], 8)}
        tensors["embeddings.position"] = packed["embeddings.position"].unpack()
    model = build_embedded_graph(original.network, tensors, head, packed, GraphForm(long=long))
    runtime, expected = ReferenceEvaluator(model), ReferenceModel(
        original.network, head, tensors
    )  # fmt: skip
    for ids in ROWS:
        words = tensors["embeddings.word"][ids][:, None]
        mask = np.ones((1, 1, len(ids), len(ids)), np.float32)
        positions = np.arange(len(ids), dtype=np.int32)[None]
        given = {"input_ids": words, "attention_mask": mask, "position_ids": positions}
        found: Any = runtime.run([OUTPUT], given)
        np.testing.assert_allclose(found[0][0], expected.vector(ids), atol=1e-5)


def test_the_word_table_is_not_in_it(original: Original) -> None:
    model = build_embedded_graph(original.network, original.tensors, original.head)
    assert not [table.name for table in model.graph.initializer if "embeddings.word" in table.name]
    named = [text.split(":")[0] for text in embedded_inputs(original.network.width)]
    assert named == [value.name for value in model.graph.input]
