"""POST /search: the index's own answers, in a server that has one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from fakes.browser import a_browser
from fakes.programs import refused, run_minnow

from minnow.search import Index

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


def test_a_condition_in_sql(indexed: Running) -> None:
    body = {"query": "water", "where": "source LIKE ?", "params": ["%fish%"]}
    sources = [hit["source"] for hit in indexed.post("/search", body).json["hits"]]
    assert sources
    assert all("fish" in source for source in sources)


@pytest.mark.parametrize(
    "wrong",
    [{"query": ""}, {"query": "fish " * 99}, {"k": 0}, {"k": 101}, {"mode": "both"},
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
    with a_browser() as browser:
        page = browser.new_page()
        page.goto(indexed.url)
        page.wait_for_selector("#paste[hidden]", state="attached")
        page.fill("#query", "minnows schools")
        page.click("#ask")
        page.wait_for_selector("li")
        shown = page.locator("li .text").all_inner_texts()
        origin = page.locator("li .from").first.inner_text()
    hits = indexed.post("/search", {"query": "minnows schools", "k": 30}).json["hits"]
    texts = [hit["passage"] for hit in hits]
    body = {"query": "minnows schools", "texts": texts, "truncate": True}
    order = [row["index"] for row in indexed.post("/rerank", body).json][:10]
    assert shown == [" ".join(texts[i].split()) for i in order]
    best = hits[order[0]]
    assert origin.startswith(f"{best['source']} › ")
    assert f"similarity {best['vector_score']:.3f} · found as {order[0] + 1}" in origin


def test_files_that_are_no_index_of_the_bundle(served: Tiny, tmp_path: Path) -> None:
    bundle = served.bundle.folder
    (tmp_path / "no.index").write_bytes(b"fish" * 999)
    for name, code in (("none.index", 8), ("no.index", 11)):
        options = ("--index", tmp_path / name, "--port", "0")
        refused(run_minnow("serve", bundle, *options), code)


def test_an_index_needs_the_embedder_beside_a_reranker(ranker: Bundle, index_file: Path) -> None:
    done = run_minnow("serve", ranker.folder, "--index", index_file, "--port", "0")
    assert "needs the embedding model that it was made with" in refused(done, 12)
