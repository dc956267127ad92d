"""Haystack's components: what they return is the embedder's and the reranker's own."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from minnow import Embedder, Reranker
from minnow.errors import BundleError, InputError

os.environ.setdefault("HAYSTACK_TELEMETRY_ENABLED", "False")
pytest.importorskip("haystack", reason="needs pip install 'minnow-embed[haystack]'")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from haystack import Document, Pipeline
    from haystack.components.retrievers.in_memory import InMemoryEmbeddingRetriever
    from haystack.document_stores.in_memory import InMemoryDocumentStore

    from minnow.adapters.haystack import (
        MinnowDocumentEmbedder,
        MinnowRanker,
        MinnowTextEmbedder,
    )

if TYPE_CHECKING:
    from fakes.bundles import Tiny

    from minnow.bundle import Bundle

pytestmark = [
    pytest.mark.extra("convert", "haystack"),
    pytest.mark.filterwarnings("ignore"),
]

QUERY = "small fish"
TEXTS = ("two small fish run in the river", "a red house", "the green river", "one old fish")
DOCUMENTS = [Document(id=f"d{i}", content=text, meta={"n": i}) for i, text in enumerate(TEXTS)]


def test_vectors_are_the_embedders(made: Tiny) -> None:
    documents, texts = (
        MinnowDocumentEmbedder(made.bundle.folder, meta_fields_to_embed=["n", "none"]),
        MinnowTextEmbedder(made.bundle.folder),
    )
    found = documents.run(DOCUMENTS)["documents"]
    with Embedder.open(made.bundle) as embedder:
        whole = [f"{i}\n{text}" for i, text in enumerate(TEXTS)]
        np.testing.assert_allclose(
            [each.embedding for each in found], embedder.encode_document(whole), atol=1e-6
        )
        expected = embedder.encode_query(QUERY)
    assert texts.run(QUERY)["embedding"] == pytest.approx(expected.tolist(), abs=1e-6)
    assert [each.id for each in found] == [each.id for each in DOCUMENTS]
    assert DOCUMENTS[0].embedding is None
    assert documents.run([])["documents"] == []
    for each in (documents, texts):
        each.close()


def test_the_order_is_the_rerankers(ranker: Bundle) -> None:
    with Reranker.open(ranker) as plain:
        rows = plain.rank(QUERY, TEXTS, activation_fn="sigmoid")
        logits = plain.rank(QUERY, TEXTS)
    component = MinnowRanker(ranker.folder, top_k=3)
    found = component.run(QUERY, DOCUMENTS)["documents"]
    assert [each.id for each in found] == [f"d{row['corpus_id']}" for row in rows[:3]]
    scores = [row["score"] for row in rows]
    assert [each.score for each in found] == pytest.approx(scores[:3], abs=1e-6)
    raw = component.run(QUERY, DOCUMENTS, top_k=9, scale_score=False)["documents"]
    assert [each.score for each in raw] == pytest.approx([r["score"] for r in logits], abs=1e-5)
    above = component.run(QUERY, DOCUMENTS, score_threshold=scores[1] - 1e-5)["documents"]
    assert [each.id for each in above] == [each.id for each in found[:2]]
    twice = [*DOCUMENTS, Document(id="d0", content="a red house", score=0.9)]
    kept = component.run(QUERY, twice, top_k=9)["documents"]
    assert sorted(each.id for each in kept) == ["d0", "d1", "d2", "d3"]
    assert next(each.content for each in kept if each.id == "d0") == "a red house"
    assert component.run(QUERY, [])["documents"] == []
    assert DOCUMENTS[0].score is None
    component.close()


def test_a_pipeline_runs_is_saved_and_loaded(made: Tiny, ranker: Bundle) -> None:
    store = InMemoryDocumentStore()
    embedded = MinnowDocumentEmbedder(made.bundle.folder).run(DOCUMENTS)["documents"]
    store.write_documents(embedded)
    pipeline = Pipeline()
    parts: dict[str, Any] = {
        "embedder": MinnowTextEmbedder(made.bundle.folder, threads=1),
        "retriever": InMemoryEmbeddingRetriever(store, top_k=4),
        "ranker": MinnowRanker(ranker.folder, top_k=2),
    }
    for name, part in parts.items():
        pipeline.add_component(name, part)
    pipeline.connect("embedder.embedding", "retriever.query_embedding")
    pipeline.connect("retriever.documents", "ranker.documents")
    asked = {"embedder": {"text": QUERY}, "ranker": {"query": QUERY}}
    found = pipeline.run(asked)["ranker"]["documents"]
    expected = parts["ranker"].run(QUERY, DOCUMENTS)["documents"]
    assert [each.id for each in found] == [each.id for each in expected]
    options: dict[str, Any] = {"allowed_modules": ["minnow.*"]}
    try:
        again = Pipeline.loads(pipeline.dumps(), **options)
    except TypeError:  # Haystack 2 has no such argument and allows every module
        again = Pipeline.loads(pipeline.dumps())
    loaded: Any = again.get_component("ranker")
    assert (loaded.bundle, loaded.top_k, loaded.threads) == (str(ranker.folder), 2, None)
    embedder: Any = again.get_component("embedder")
    assert embedder.threads == 1
    for part in (parts["embedder"], parts["ranker"]):
        part.close()


def test_what_is_refused(made: Tiny, ranker: Bundle) -> None:
    with pytest.raises(BundleError, match="is an embedding model"):
        MinnowRanker(made.bundle.folder).warm_up()
    with pytest.raises(BundleError, match="is a reranker"):
        MinnowTextEmbedder(ranker.folder).warm_up()
    with pytest.raises(InputError, match="top_k should be 1 or more"):
        MinnowRanker(ranker.folder, top_k=0)
    with pytest.raises(InputError, match="use MinnowDocumentEmbedder"):
        MinnowTextEmbedder(made.bundle.folder).run(DOCUMENTS)  # type: ignore[arg-type]
    long = [Document(content="fish " * 99)]
    with pytest.raises(InputError, match="Text 0 is longer than 24 tokens"):
        MinnowDocumentEmbedder(made.bundle.folder).run(long)
    with pytest.raises(InputError, match="Pair 0 is longer than 40 tokens"):
        MinnowRanker(ranker.folder, on_truncate="error").run(QUERY, long)
