"""POST /search: the index's own answers, in a server that has one."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from fakes.browser import a_browser
from fakes.programs import refused, run_minnow
from fakes.searching import write_documents

from minnow import Reranker
from minnow.datasets import Dataset
from minnow.engines import EngineOptions
from minnow.search import Index, index_paths, open_index, open_model
from minnow.serve.requests import SearchRequest
from minnow.serve.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import Tiny
    from fakes.serving import Running

    from minnow.bundle import Bundle

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("serve")]


@pytest.mark.parametrize("mode", ["hybrid", "vector", "keyword"])
def test_hits_are_the_indexs(indexed: Running, served: Tiny, index_file: Path, mode: Any) -> None:
    answer = indexed.post("/search", {"query": "minnows schools", "k": 3, "mode": mode})
    with Index.open(index_file, served.bundle) as index:
        expected = [hit.facts() for hit in index.search("minnows schools", 3, mode=mode)]
    assert answer.status == 200, answer.body
    assert expected
    assert len(answer.json["hits"]) == len(expected)
    for found, hit in zip(answer.json["hits"], expected, strict=True):
        assert found["score"] == pytest.approx(hit["score"], abs=1e-5)
        for name in ("rank", "source", "number", "headings", "passage", "text", "metadata"):
            assert found[name] == hit[name]
    assert (answer.json["usage"]["total_tokens"] == 0) is (mode == "keyword")


def test_an_index_of_truncated_vectors_belongs_to_its_model(
    served: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = Dataset("one", {"d": "fish"}, {"q": "fish"}, {"q": {"d": 1}})
    monkeypatch.setattr("minnow.datasets.builtin.builtin_dataset", lambda: data)
    options, file = EngineOptions(engine="mnn"), tmp_path / "a.index"
    with open_model(served.bundle, options) as model:
        store = open_index(file, model, dim=model.fingerprint.width // 2)
        index_paths([write_documents(tmp_path / "docs")], store, model)
        store.close()

    async def search() -> str:
        from minnow.serve.service import Service  # it imports the extra `serve`

        service = Service(Settings(), {"tiny": served.bundle}, options, file)
        await service.start()
        assert service.searcher is not None
        question = SearchRequest(query="minnows live in schools", mode="vector")
        hits = await service.searcher.search(question, 1)
        await service.close()
        return hits[0].source

    assert asyncio.run(search())


def test_a_first_chunk_under_a_heading_is_no_first_document(
    served: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page begins with a heading of the index; text files before it have none."""
    monkeypatch.chdir(tmp_path)
    names = {"a.txt": "fish sleep\n\n" * 300, "b.md": "# Minnows\n\nfish\n", "c.txt": "fish"}
    docs = write_documents(tmp_path / "docs", {**names, **{f"d{n}.txt": "fish" for n in range(9)}})
    done = run_minnow("index", docs.name, "-b", served.bundle.folder, "-o", "a.index", cwd=tmp_path)
    assert done.code == 0, done.stderr

    async def example() -> str:
        from minnow.serve.service import Service  # it imports the extra `serve`

        bundles, options = {"tiny": served.bundle}, EngineOptions(engine="mnn")
        service = Service(Settings(), bundles, options, tmp_path / "a.index")
        await service.start()
        assert service.searcher is not None
        await service.close()
        return service.searcher.example

    assert asyncio.run(example()) == "Minnows"


def test_a_condition_in_sql(indexed: Running) -> None:
    body = {"query": "water", "where": "source LIKE ?", "params": ["%fish%"]}
    sources = [hit["source"] for hit in indexed.post("/search", body).json["hits"]]
    assert sources
    assert all("fish" in source for source in sources)


@pytest.mark.parametrize(
    ("query", "mode"), [("minnows schools", "vector"), ("minnows fish schools " * 4, "keyword")]
)
def test_a_reranker_orders_the_hits_as_the_indexs_own_search(
    query: str, mode: Any, indexed: Running, served: Tiny, ranker: Bundle, index_file: Path
) -> None:
    body = {"query": query, "k": 3, "mode": mode, "reranker": "ranker", "candidates": 8}
    answer = indexed.post("/search", body)
    assert answer.status == 200, answer.body
    with (
        Reranker.open(ranker, on_truncate="ignore") as reranker,
        Index.open(index_file, served.bundle) as index,
    ):
        plain = index.search(query, 8, mode=mode)
        expected = index.search(query, 3, mode=mode, reranker=reranker, candidates=8)
        logits = reranker.predict([(query, hit.text) for hit in expected], activation_fn="sigmoid")
        rows = reranker.tokenize([(query, hit.text) for hit in plain])
    found = answer.json["hits"]
    assert [(hit["id"], hit["rank"], hit["first_rank"]) for hit in found] == [
        (hit.id, hit.rank, hit.first_rank) for hit in expected
    ]
    moved = [hit["id"] for hit in found] != [hit.id for hit in plain[:3]]
    assert moved or mode == "keyword"
    assert [hit["score"] for hit in found] == pytest.approx(logits.tolist(), abs=2e-6)
    cut = {hit.id for hit, row in zip(plain, rows, strict=True) if row.truncated}
    assert all(hit.get("truncated", False) == (hit["id"] in cut) for hit in found)
    assert bool(cut) == (mode == "keyword")
    assert answer.headers.get("x-minnow-truncated", "0") == str(len(cut))
    once = indexed.post("/search", {"query": query, "k": 3, "mode": mode}).json
    assert answer.json["usage"]["total_tokens"] == once["usage"]["total_tokens"] + sum(
        map(len, rows)
    )
    assert "first_rank" not in once["hits"][0]


@pytest.mark.parametrize(
    ("asked", "status", "param", "message"),
    [
        ({"reranker": "none"}, 404, "reranker", "The model `none` does not exist"),
        ({"reranker": "org/tiny"}, 400, "reranker", "and `reranker` takes a reranker: ranker"),
        ({"candidates": 20}, 400, "candidates", "name a `reranker`"),
        ({"reranker": "ranker", "candidates": 5}, 400, "candidates", "from 10, the number of hits"),
        ({"reranker": "ranker", "candidates": 0}, 400, "candidates", ">= 1"),
        ({"reranker": "ranker", "where": "1; DROP TABLE chunks"}, 400, None, ""),
    ],
)
def test_rerankings_that_cannot_be_asked(
    indexed: Running, asked: dict[str, Any], status: int, param: str | None, message: str
) -> None:
    error = indexed.post("/search", {"query": "fish", **asked}).error(status)
    assert error["param"] == param
    assert message in error["message"]
    assert "\n" not in error["message"]


def test_a_search_that_finds_nothing_needs_no_reranking(indexed: Running) -> None:
    body = {"query": "fish", "reranker": "ranker", "where": "number > 999"}
    assert indexed.post("/search", body).json["hits"] == []


@pytest.mark.parametrize(
    "wrong",
    [{"query": ""}, {"query": " \n"}, {"query": "fish " * 99}, {"k": 0}, {"k": 101},
     {"mode": "both"},
     {"where": "1; DROP TABLE chunks"}, {"where": "no_such_column = 1"},
     {"where": "source = ?", "params": []}, {"where": "load_extension('x')"},
     {"params": [[1]]}, {"where": "number = ?", "params": [2**70]},
     {"query": "fish " * 9999, "mode": "keyword"}, {"where": "1 " * 9999}],
)  # fmt: skip
def test_what_cannot_be_asked(indexed: Running, wrong: dict[str, Any]) -> None:
    indexed.post("/search", {"query": "fish", **wrong}).error(400)
    assert indexed.post("/search", {"query": "fish"}).status == 200


def test_half_of_a_surrogate_pair_in_a_question(indexed: Running) -> None:
    found, meant = (
        indexed.post("/search", {"query": f"fish {half}"}).json["hits"] for half in "\ud83d\ufffd"
    )
    assert found == meant


def test_many_at_once(indexed: Running) -> None:
    with ThreadPoolExecutor(8) as threads:
        answers = list(
            threads.map(lambda i: indexed.post("/search", {"query": f"fish {i}"}), range(24))
        )
    assert {answer.status for answer in answers} == {200}


def test_the_document_has_it_where_there_is_an_index(indexed: Running, server: Running) -> None:
    assert "/search" in indexed.get("/openapi.json").json["paths"]
    assert "/search" not in server.get("/openapi.json").json["paths"]
    server.post("/search", {"query": "fish"}).error(404)


@pytest.mark.browser
def test_the_page_searches_it_and_shows_the_order_of_the_reranker(indexed: Running) -> None:
    query = "minnows schools"
    with a_browser() as browser:
        page = browser.new_page()
        page.goto(indexed.url)
        page.wait_for_selector("#paste[hidden]", state="attached")
        page.fill("#query", query)
        page.click("#ask")
        page.wait_for_selector("li")
        shown = page.locator("li .text").all_inner_texts()
        origin = page.locator("li .from").first.inner_text()
        page.select_option("#reranker", "")
        page.click("#ask")
        page.wait_for_selector("li .from:not(:has-text('found as'))")
        plain = page.locator("li .text").all_inner_texts()
    for texts, options in ((shown, {"reranker": "ranker"}), (plain, {})):
        hits = indexed.post("/search", {"query": query, **options}).json["hits"]
        assert texts == [" ".join(hit["passage"].split()) for hit in hits]
    assert shown != plain
    best = indexed.post("/search", {"query": query, "reranker": "ranker"}).json["hits"][0]
    assert origin.startswith(f"{best['source']} › ")
    assert f"similarity {best['vector_score']:.3f} · found as {best['first_rank']}" in origin


def test_files_that_are_no_index_of_the_bundle(served: Tiny, tmp_path: Path) -> None:
    bundle = served.bundle.folder
    (tmp_path / "no.index").write_bytes(b"fish" * 999)
    for name, code in (("none.index", 8), ("no.index", 11)):
        options = ("--index", tmp_path / name, "--port", "0", "--engine", "mnn")
        refused(run_minnow("serve", bundle, *options), code)


def test_an_index_needs_the_embedder_beside_a_reranker(ranker: Bundle, index_file: Path) -> None:
    options = ("--index", index_file, "--port", "0", "--engine", "mnn")
    done = run_minnow("serve", ranker.folder, *options)
    assert "needs the embedding model that it was made with" in refused(done, 12)
