"""Ollama's API for embeddings: its own forms, with the vectors of the embedder."""

from __future__ import annotations

from datetime import datetime, timezone
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.serving import KEY

from minnow import Embedder

if TYPE_CHECKING:
    from fakes.bundles import Tiny
    from fakes.serving import Answer, Running

    from minnow.bundle import Bundle

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("serve")]

TEXTS = ["how do fish sleep", "two small fish run in the river"]
LONG = "fish " * 50


def ask(server: Running, **body: Any) -> Answer:
    return server.post("/api/embed", {"model": "tiny", **body})


class TestEmbed:
    @pytest.mark.parametrize("name", ["tiny", "tiny:latest"])
    def test_vectors_are_the_embedders(
        self, server: Running, embedder: Embedder, name: str
    ) -> None:
        """The fields without effect are those that LangChain sends."""
        found = ask(server, model=name, input=TEXTS, keep_alive=300, options={"num_ctx": 64}).json
        np.testing.assert_allclose(found["embeddings"], embedder.encode(TEXTS), atol=1e-6, rtol=0)
        assert found["model"] == name
        assert found["prompt_eval_count"] == sum(map(len, embedder.token_ids(TEXTS)))
        assert found["total_duration"] > 0
        assert found["load_duration"] == 0

    def test_of_questions_and_shorter(self, server: Running, embedder: Embedder) -> None:
        found = ask(server, input=TEXTS[0], dimensions=4, input_type="query").json["embeddings"]
        expected = embedder.encode_query(TEXTS[:1], truncate_dim=4, normalize_embeddings=True)
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0)

    def test_they_have_length_1_whatever_the_model_says(
        self, raw: Running, unscaled: Bundle
    ) -> None:
        with Embedder.open(unscaled) as embedder:
            vectors = embedder.encode(TEXTS)
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        assert np.abs(lengths - 1).min() > 0.1
        found = ask(raw, model="raw", input=TEXTS).json["embeddings"]
        np.testing.assert_allclose(found, vectors / lengths, atol=1e-5, rtol=0)
        older = raw.post("/api/embeddings", {"model": "raw", "prompt": TEXTS[0]}).json
        np.testing.assert_allclose(older["embedding"], vectors[0], atol=1e-5, rtol=1e-5)

    def test_texts_that_are_too_long_are_cut_off_and_marked(
        self, server: Running, embedder: Embedder
    ) -> None:
        answer = ask(server, input=["water", LONG])
        np.testing.assert_allclose(
            answer.json["embeddings"], embedder.encode(["water", LONG]), atol=1e-6, rtol=0
        )
        assert answer.json["truncated"] == [1]
        assert answer.headers["x-minnow-truncated"] == "1"
        error = ask(server, input=LONG, truncate=False).error(400)
        assert (error["code"], error["param"]) == ("context_length_exceeded", "input")

    @pytest.mark.parametrize("empty", [{}, {"input": ""}, {"input": []}])
    def test_a_request_to_load_a_model(self, server: Running, empty: dict[str, Any]) -> None:
        assert ask(server, **empty).json["embeddings"] == []

    @pytest.mark.parametrize(
        ("body", "status", "param"),
        [({"input": ["fish", ""]}, 400, "input"), ({"input": [1]}, 400, "input"),
         ({"model": "other", "input": "fish"}, 404, "model"),
         ({"input": "fish", "dimensions": 999}, 400, "dimensions"),
         ({"input": ["fish"] * 2049}, 422, "input")],
    )  # fmt: skip
    def test_what_is_refused(
        self, server: Running, body: dict[str, Any], status: int, param: str
    ) -> None:
        assert ask(server, **body).error(status)["param"] == param


class TestPrompt:
    def test_one_text(self, server: Running, embedder: Embedder) -> None:
        body = {"model": "tiny", "prompt": TEXTS[0]}
        found = server.post("/api/embeddings", body).json
        assert list(found) == ["embedding"]
        np.testing.assert_allclose(found["embedding"], embedder.encode(TEXTS[0]), atol=1e-6, rtol=0)
        answer = server.post("/api/embeddings", {**body, "prompt": LONG})
        assert answer.headers["x-minnow-truncated"] == "1"
        assert server.post("/api/embeddings", {"model": "tiny"}).json == {"embedding": []}


class TestFacts:
    def test_tags_are_the_embedding_models(self, indexed: Running, served: Tiny) -> None:
        (found,) = indexed.get("/api/tags").json["models"]
        assert found["name"] == found["model"] == "org/tiny:latest"
        assert found["size"] == served.bundle.size
        assert len(bytes.fromhex(found["digest"])) == 32
        assert datetime.fromisoformat(found["modified_at"]) < datetime.now(timezone.utc)
        assert found["details"]["quantization_level"] == "fp32"
        assert found["details"]["families"] == [found["details"]["family"]]

    def test_the_version_is_minnows(self, server: Running) -> None:
        assert server.get("/api/version").json == {"version": version("minnow-embed")}

    def test_the_key_is_asked_for(self, strict: Running) -> None:
        strict.get("/api/tags").error(401)
        strict.post("/api/embed", {"model": "tiny", "input": "fish"}).error(401)
        body = {"model": "tiny", "input": "fish"}
        assert strict.post("/api/embed", body, Authorization=f"Bearer {KEY}").status == 200
