"""POST /rerank, /v1/rerank and /v2/rerank: the reranker's scores in the forms of other services."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.checkpoint import WORDS
from fakes.serving import KEY

from minnow import Reranker
from minnow.errors import ServeError
from minnow.serve.models import find_bundles

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.serving import Running

    from minnow.bundle import Bundle

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("serve")]

QUERY = "how do fish sleep"
TEXTS = ["water", "two small fish run in the river", "", "no é 鱼 !", "how do fish sleep"]
LONG = "fish " * 50


@pytest.fixture(scope="module")
def reranker(ranker: Bundle) -> Iterator[Reranker]:
    with Reranker.open(ranker, on_truncate="ignore") as reranker:
        yield reranker


def expected(reranker: Reranker, texts: list[str], **options: Any) -> list[tuple[int, float]]:
    rows = reranker.rank(QUERY, texts, activation_fn="sigmoid", **options)
    return [(row["corpus_id"], row["score"]) for row in rows]


def same(found: list[tuple[int, float]], wanted: list[tuple[int, float]]) -> None:
    assert [i for i, _ in found] == [i for i, _ in wanted]
    first, second = ([score for _, score in rows] for rows in (found, wanted))
    np.testing.assert_allclose(first, second, atol=2e-6, rtol=0)


class TestTexts:
    """The form of text-embeddings-inference."""

    def test_its_rows_are_the_rerankers_with_sigmoids(
        self, indexed: Running, reranker: Reranker
    ) -> None:
        answer = indexed.post("/rerank", {"query": QUERY, "texts": TEXTS})
        assert answer.status == 200, answer.body
        assert all(list(row) == ["index", "score"] for row in answer.json)
        same([(row["index"], row["score"]) for row in answer.json], expected(reranker, TEXTS))

    def test_logits_and_texts_where_they_are_asked_for(
        self, indexed: Running, reranker: Reranker
    ) -> None:
        body = {"query": QUERY, "texts": TEXTS, "raw_scores": True, "return_text": True}
        found = indexed.post("/rerank", body).json
        logits = reranker.predict([(QUERY, row["text"]) for row in found], activation_fn="identity")
        np.testing.assert_allclose([row["score"] for row in found], logits, atol=1e-5, rtol=0)
        assert [row["text"] for row in found] == [TEXTS[row["index"]] for row in found]

    def test_pairs_that_are_too_long_are_refused_or_marked(
        self, indexed: Running, reranker: Reranker
    ) -> None:
        body: dict[str, Any] = {"query": QUERY, "texts": ["fish", LONG]}
        error = indexed.post("/rerank", body).error(400)
        assert (error["code"], error["param"]) == ("context_length_exceeded", "texts")
        assert f"takes {reranker.max_tokens}" in error["message"]
        answer = indexed.post("/rerank", {**body, "truncate": True})
        assert answer.headers["x-minnow-truncated"] == "1"
        assert {row["index"]: row.get("truncated") for row in answer.json} == {0: None, 1: True}
        same(
            [(row["index"], row["score"]) for row in answer.json], expected(reranker, body["texts"])
        )

    @pytest.mark.parametrize(
        ("change", "status"),
        [
            ({"texts": []}, 400),
            ({"query": ""}, 400),
            ({"query": "fish " * 2500}, 400),
            ({"texts": "fish"}, 400),
            ({"top_n": 0}, 400),
            ({"truncation_direction": "Left"}, 400),
            ({"model": "nobody"}, 404),
            ({"texts": ["fish"] * 2049}, 422),
        ],
    )
    def test_what_is_refused(self, indexed: Running, change: dict[str, Any], status: int) -> None:
        indexed.post("/rerank", {"query": QUERY, "texts": ["fish"], **change}).error(status)


class TestDocuments:
    """The form of Jina and Cohere."""

    def test_strings_and_objects(self, indexed: Running, reranker: Reranker) -> None:
        documents = [TEXTS[0], *({"text": text, "id": 7} for text in TEXTS[1:])]
        body = {"query": QUERY, "documents": documents, "top_n": 3, "return_documents": True}
        found = indexed.post("/v1/rerank", {"model": "ranker", **body}).json
        rows = found["results"]
        same(
            [(row["index"], row["relevance_score"]) for row in rows],
            expected(reranker, TEXTS, top_k=3),
        )
        assert [row["document"] for row in rows] == [{"text": TEXTS[row["index"]]} for row in rows]
        tokens = sum(map(len, reranker.tokenize([(QUERY, text) for text in TEXTS])))
        assert found["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
        assert found["meta"]["tokens"] == {"input_tokens": tokens, "output_tokens": 0}
        assert found["model"] == "ranker"
        assert "truncated" not in found

    def test_no_documents_unless_asked_for(self, indexed: Running) -> None:
        found = indexed.post("/v2/rerank", {"query": QUERY, "documents": ["fish"]}).json
        assert [list(row) for row in found["results"]] == [["index", "relevance_score"]]

    def test_what_is_cut_off_is_said(self, indexed: Running, reranker: Reranker) -> None:
        body: dict[str, Any] = {"query": QUERY, "documents": ["fish", LONG]}
        answer = indexed.post("/v1/rerank", body)
        assert answer.json["truncated"] == [1]
        assert answer.headers["x-minnow-truncated"] == "1"
        (warning,) = answer.json["meta"]["warnings"]
        assert warning.startswith("1 of 2 documents are over the limit")
        error = indexed.post("/v1/rerank", {**body, "truncate": False}).error(400)
        assert (error["code"], error["param"]) == ("context_length_exceeded", "documents")

    def test_limits_that_would_change_scores_are_refused(
        self, indexed: Running, reranker: Reranker
    ) -> None:
        body: dict[str, Any] = {"query": QUERY, "documents": [{"text": "fish"}]}
        free = {"max_tokens_per_doc": reranker.max_tokens, "max_chunks_per_doc": 1, "priority": 3}
        accepted = {**body, **free, "rank_fields": ["text"]}
        assert indexed.post("/v1/rerank", accepted).status == 200
        error = indexed.post("/v1/rerank", {**body, "max_tokens_per_doc": 2}).error(400)
        assert error["param"] == "max_tokens_per_doc"
        indexed.post("/v1/rerank", {**body, "rank_fields": ["title"]}).error(400)
        indexed.post("/v1/rerank", {**body, "documents": [{"title": "fish"}]}).error(400)


def test_many_clients_at_once_each_get_their_own(indexed: Running, reranker: Reranker) -> None:
    requests = [[" ".join(WORDS[i : i + 1 + n % 9]) for i in range(n)] for n in range(1, 25)]

    def ask(texts: list[str]) -> Any:
        return indexed.post("/rerank", {"query": QUERY, "texts": texts}).json

    with ThreadPoolExecutor(12) as threads:
        answers = list(threads.map(ask, requests))
    for texts, rows in zip(requests, answers, strict=True):
        wanted = dict(expected(reranker, texts))
        found = {row["index"]: row["score"] for row in rows}
        assert found.keys() == wanted.keys()
        assert found == pytest.approx(wanted, abs=2e-6)


class TestKinds:
    def test_the_list_of_models_says_which_is_which(self, indexed: Running) -> None:
        found = {row["id"]: row for row in indexed.get("/v1/models").json["data"]}
        assert {name: row["kind"] for name, row in found.items()} == {
            "org/tiny": "embedder",
            "ranker": "reranker",
        }
        assert "dimensions" in found["org/tiny"]
        assert "dimensions" not in found["ranker"]
        assert indexed.get("/v1/models/ranker").json == found["ranker"]

    @pytest.mark.parametrize(
        ("path", "body"),
        [
            ("/v1/embeddings", {"input": "fish"}),
            ("/similarity", {"query": "fish", "documents": ["fish"]}),
            ("/tokenize", {"input": "fish"}),
        ],
    )
    def test_a_reranker_gives_no_vectors(
        self, indexed: Running, path: str, body: dict[str, Any]
    ) -> None:
        error = indexed.post(path, {"model": "ranker", **body}).error(400)
        assert error["message"] == (
            "ranker is a reranker, and this path takes an embedding model: org/tiny."
        )
        assert error["param"] == "model"

    def test_an_embedder_ranks_nothing(self, indexed: Running, server: Running) -> None:
        body = {"query": QUERY, "documents": ["fish"]}
        error = indexed.post("/v1/rerank", {"model": "org/tiny", **body}).error(400)
        assert "org/tiny is an embedding model, and this path takes a reranker" in error["message"]
        error = server.post("/v1/rerank", {"model": "tiny", **body}).error(400)
        assert "this server has none" in error["message"]

    def test_the_document_lists_each_kind_where_it_is_taken(self, indexed: Running) -> None:
        schemas = indexed.get("/openapi.json").json["components"]["schemas"]
        for name, models in (
            ("EmbeddingsRequest", ["org/tiny"]),
            ("TextsRequest", ["ranker"]),
            ("DocumentsRequest", ["ranker"]),
        ):
            asked = schemas[name]["properties"]["model"]
            assert (asked["anyOf"][0] if "anyOf" in asked else asked)["enum"] == models
        assert schemas["DocumentsRequest"]["properties"]["documents"]["maxItems"] == 2048

    def test_the_key_and_the_limits_hold(self, strict: Running) -> None:
        body = {"query": QUERY, "texts": ["fish"]}
        strict.post("/rerank", body).error(401)
        strict.post("/rerank", body, Authorization=f"Bearer {KEY}").error(400)
        big = {**body, "texts": ["fish " * 500]}
        strict.post("/rerank", big, Authorization=f"Bearer {KEY}").error(413)

    def test_metrics_count_pairs(self, indexed: Running) -> None:
        indexed.post("/rerank", {"query": QUERY, "texts": ["fish", "water"]})
        page = indexed.get("/metrics").body.decode()
        assert 'minnow_texts_total{model="ranker"}' in page
        assert 'minnow_requests_total{route="/rerank",status="200"}' in page

    def test_a_reranker_of_several_scores_is_refused_before_it_opens(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ranker: Bundle
    ) -> None:
        from minnow.records import replace

        reranking = ranker.manifest.reranking
        assert reranking is not None
        several = replace(reranking, labels=("no", "yes"))
        bundle = replace(ranker, manifest=replace(ranker.manifest, reranking=several))
        monkeypatch.setattr("minnow.serve.models.Bundle.open", lambda _: bundle)
        with pytest.raises(ServeError, match=r"gives 2 scores \(no, yes\)"):
            find_bundles(["several=x"])


class TestRecordedRequests:
    """Bodies as other projects send them, from their sources."""

    def test_litellm_to_text_embeddings_inference(self, indexed: Running) -> None:
        """litellm/llms/huggingface/rerank/transformation.py: `top_n` beside TEI's own fields."""
        body = {
            "raw_scores": False,
            "truncate": False,
            "truncation_direction": "Right",
            "query": QUERY,
            "texts": TEXTS,
            "top_n": 2,
            "return_text": True,
        }
        found = indexed.post("/rerank", body).json
        assert len(found) == 2
        assert all({"index", "score", "text"} == row.keys() for row in found)

    def test_litellm_to_jina(self, indexed: Running) -> None:
        """litellm/llms/jina_ai/rerank/transformation.py reads `usage`, `results` and `id`."""
        body = {"model": "ranker", "query": QUERY, "top_n": 2, "documents": TEXTS}
        found = indexed.post("/v1/rerank", {**body, "return_documents": True}).json
        assert isinstance(found["id"], str)
        assert found["usage"]["total_tokens"] > 0
        assert all(isinstance(row["document"]["text"], str) for row in found["results"])

    def test_difys_plugin_for_openai_compatible_servers(self, indexed: Running) -> None:
        """models/openai_api_compatible/models/rerank/rerank.py: an empty Authorization header."""
        body = {"model": "ranker", "query": QUERY, "documents": TEXTS, "top_n": len(TEXTS)}
        found = indexed.post("/v1/rerank", body, Authorization="").json["results"]
        scores = [row["relevance_score"] for row in found]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
        assert sorted(row["index"] for row in found) == list(range(len(TEXTS)))
