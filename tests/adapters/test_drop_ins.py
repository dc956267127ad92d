"""Libraries that take an embedding model, with an embedder in its place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from minnow import Embedder
from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.bundles import Tiny

pytestmark = [
    pytest.mark.extra("convert"),
    pytest.mark.dropins,
    pytest.mark.filterwarnings("ignore"),
]

DOCUMENTS = [
    "two small fish run in the river", "the big ship", "red fish", "the deep river of fish",
    "what is a ship?", "big red ship", "small river", "how do fish sleep?",
]  # fmt: skip


@pytest.fixture(scope="module")
def embedder(made: Tiny) -> Iterator[Embedder]:
    with Embedder.open(made.bundle) as opened:
        yield opened


@pytest.fixture(scope="module")
def vectors(embedder: Embedder) -> Any:
    return embedder.encode(DOCUMENTS)


def nearest(embedder: Embedder, vectors: Any, query: str, count: int) -> list[int]:
    scores = embedder.similarity(embedder.encode(query), vectors)[0]
    return [int(place) for place in np.argsort(-scores)[:count]]


def test_keybert(embedder: Embedder) -> None:
    from keybert import KeyBERT

    from minnow.adapters.topics import keybert_backend

    found = KeyBERT(model=keybert_backend(embedder)).extract_keywords(DOCUMENTS[0], top_n=2)
    words = ["fish", "river", "run", "small", "two"]
    scores = embedder.similarity(embedder.encode(DOCUMENTS[:1]), embedder.encode(words))[0]
    best = sorted(zip(words, scores, strict=True), key=lambda row: -row[1])[:2]
    assert [word for word, _ in found] == [word for word, _ in best]
    assert [score for _, score in found] == pytest.approx([s for _, s in best], abs=1e-3)


def test_bertopic(embedder: Embedder, vectors: Any) -> None:
    from bertopic import BERTopic
    from bertopic.dimensionality import BaseDimensionalityReduction
    from sklearn.cluster import KMeans

    from minnow.adapters.topics import bertopic_backend

    def topics(**given: Any) -> list[int]:
        model = BERTopic(
            umap_model=BaseDimensionalityReduction(),
            hdbscan_model=KMeans(n_clusters=2, random_state=0, n_init=1),
            embedding_model=given.pop("embedding_model", None),
        )
        found, _ = model.fit_transform(DOCUMENTS, **given)
        return [int(topic) for topic in found]

    found = topics(embedding_model=bertopic_backend(embedder))
    assert set(found) == {0, 1}
    assert found == topics(embedding_model=bertopic_backend(embedder), embeddings=vectors)


def test_chroma(embedder: Embedder, vectors: Any, made: Tiny, tmp_path: Path) -> None:
    import chromadb
    from chromadb.config import Settings
    from chromadb.utils.embedding_functions import register_embedding_function

    from minnow.adapters.chroma import MinnowEmbeddingFunction

    register_embedding_function(MinnowEmbeddingFunction)
    settings = Settings(anonymized_telemetry=False)
    client = chromadb.PersistentClient(str(tmp_path / "db"), settings=settings)
    function: Any = MinnowEmbeddingFunction(str(made.bundle.folder))
    collection = client.create_collection("notes", embedding_function=function)
    collection.add(ids=[str(n) for n in range(len(DOCUMENTS))], documents=DOCUMENTS)
    found = collection.query(query_texts=["deep river"], n_results=3)
    documents = embedder.encode_document(DOCUMENTS)
    scores = embedder.similarity(embedder.encode_query("deep river"), documents)[0]
    assert found["ids"] == [[str(place) for place in np.argsort(-scores)[:3]]]
    assert found["distances"][0] == pytest.approx(np.sort(1 - scores)[:3], abs=1e-4)
    again = client.get_collection("notes")
    assert again.query(query_texts=["deep river"], n_results=3)["ids"] == found["ids"]
    plain: Any = client.create_collection("plain", embedding_function=None)
    plain.add(ids=["a", "b"], embeddings=vectors[:2], documents=DOCUMENTS[:2])
    assert plain.query(query_embeddings=vectors[1:2], n_results=1)["ids"] == [["b"]]
    with pytest.raises(InputError, match="The collection was made with"):
        function.validate_config_update({"model": "a"}, {"model": "b"})


def test_qdrant(embedder: Embedder, vectors: Any) -> None:
    from qdrant_client import QdrantClient, models

    client = QdrantClient(":memory:")
    client.create_collection(
        "notes",
        vectors_config=models.VectorParams(
            size=embedder.get_embedding_dimension(), distance=models.Distance.COSINE
        ),
    )
    client.upload_points(
        "notes",
        points=[
            models.PointStruct(id=n, vector=embedder.encode(text).tolist(), payload={"text": text})
            for n, text in enumerate(DOCUMENTS)
        ],
    )
    found = client.query_points("notes", query=embedder.encode("deep river").tolist(), limit=3)
    assert [point.id for point in found.points] == nearest(embedder, vectors, "deep river", 3)
    client.close()


def test_txtai(embedder: Embedder, vectors: Any) -> None:
    from txtai import Embeddings

    index = Embeddings(
        method="external", transform=lambda texts: embedder.encode(texts), backend="numpy"
    )
    index.index(DOCUMENTS)
    found = index.search("deep river", 3)
    assert [number for number, _ in found] == nearest(embedder, vectors, "deep river", 3)
    scores = embedder.similarity(embedder.encode("deep river"), vectors)[0]
    assert [score for _, score in found] == pytest.approx(np.sort(scores)[::-1][:3], abs=1e-4)
