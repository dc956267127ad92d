"""Requests for vectors and ranks as other projects send them, from their sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from fakes.serving import Running

    from minnow import Embedder

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("serve")]

TEXTS = ["how do fish sleep", "two small fish run in the river"]
USER = {"X-OpenWebUI-User-Name": "Zo%C3%AB Fish", "X-OpenWebUI-User-Role": "admin"}


class TestOpenWebUi:
    """backend/open_webui/retrieval/utils.py and models/external.py."""

    @pytest.mark.parametrize("base", ["", "/v1"])
    def test_its_engine_openai(self, server: Running, embedder: Embedder, base: str) -> None:
        """An empty key is sent as `Bearer`; the user's name and role go into headers."""
        body = {"input": TEXTS, "model": "tiny"}
        found = server.post(f"{base}/embeddings", body, Authorization="Bearer ", **USER)
        vectors = [row["embedding"] for row in found.json["data"]]
        np.testing.assert_allclose(vectors, embedder.encode(TEXTS), atol=1e-6, rtol=0)

    def test_its_engine_openai_with_a_field_for_the_prefix(
        self, server: Running, embedder: Embedder
    ) -> None:
        """`RAG_EMBEDDING_PREFIX_FIELD_NAME` names the field; one that we do not know is named."""
        body = {"input": TEXTS, "model": "tiny", "prefix": "query: "}
        found = server.post("/v1/embeddings", body)
        vectors = [row["embedding"] for row in found.json["data"]]
        np.testing.assert_allclose(vectors, embedder.encode(TEXTS), atol=1e-6, rtol=0)
        assert found.headers["x-minnow-ignored"] == "prefix"

    def test_its_engine_ollama(self, server: Running, embedder: Embedder) -> None:
        body = {"input": TEXTS, "model": "tiny"}
        found = server.post("/api/embed", body, Authorization="Bearer ", **USER).json
        np.testing.assert_allclose(found["embeddings"], embedder.encode(TEXTS), atol=1e-6, rtol=0)

    def test_its_external_reranker(self, indexed: Running) -> None:
        """It sorts the results by `index` and takes `relevance_score` of each document."""
        body = {"model": "ranker", "query": TEXTS[0], "documents": TEXTS, "top_n": len(TEXTS)}
        found = indexed.post("/v1/rerank", body, **USER).json["results"]
        ordered = sorted(found, key=lambda row: row["index"])
        assert [row["index"] for row in ordered] == [0, 1]
        assert all(0 <= row["relevance_score"] <= 1 for row in ordered)


class TestDify:
    """models/openai_api_compatible/models/text_embedding/text_embedding.py."""

    def test_what_it_asks_when_a_model_is_added(self, server: Running) -> None:
        found = server.post("/v1/embeddings", {"input": "ping", "model": "tiny"})
        assert found.status == 200

    def test_its_vectors(self, server: Running, embedder: Embedder) -> None:
        body = {"input": TEXTS, "model": "tiny", "user": "u-1", "encoding_format": "float"}
        found = server.post("/v1/embeddings", body).json
        vectors = [row["embedding"] for row in found["data"]]
        np.testing.assert_allclose(vectors, embedder.encode(TEXTS), atol=1e-6, rtol=0)
        assert found["usage"]["total_tokens"] > 0
