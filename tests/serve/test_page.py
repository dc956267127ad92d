"""The page at `/`, as it is sent and as a browser shows it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from fakes.browser import a_browser, contrast
from fakes.serving import KEY, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fakes.serving import Running

    from minnow.bundle import Bundle

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("serve")]

browser = pytest.mark.browser


def test_it_loads_nothing_and_may_do_little(server: Running) -> None:
    answer = server.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page = answer.body.decode()
    outside = r'(?:src|href)="(?!data:,"|openapi\.json")[^"]*"|url\(|@import|https?:'
    assert re.findall(outside, page) == []
    assert server.get("/openapi.json").status == 200
    assert "innerHTML" not in page


def test_its_question_fits_the_index(server: Running, indexed: Running) -> None:
    def question(running: Running) -> str:
        found = re.search(r'<input id="query"[^>]*value="([^"]*)"', running.get("/").body.decode())
        assert found is not None
        return found[1]

    assert question(server) == "how do fish sleep?"
    asked = question(indexed)
    hits = indexed.post("/search", {"query": asked, "mode": "keyword"}).json["hits"]
    assert asked in hits[0]["headings"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with a_browser() as browser:
        yield browser


@pytest.fixture
def complaints() -> list[str]:
    return []


@pytest.fixture
def page(chromium: Any, complaints: list[str]) -> Iterator[Any]:
    page = chromium.new_page(viewport={"width": 390, "height": 800})
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    page.close()


@browser
def test_passages_are_ranked(server: Running, page: Any, complaints: list[str]) -> None:
    page.goto(server.url)
    page.wait_for_selector("#choose:not([hidden])")
    page.select_option("#model", "pooled")
    passages = ["water and the river", "how do fish sleep", "<b>red</b> & blue"]
    page.fill("#passages", "\n\n".join(passages))
    page.fill("#query", passages[1])
    page.keyboard.press("Enter")
    page.wait_for_selector("li")
    shown = page.locator("li .text").all_inner_texts()
    assert shown[0] == passages[1]
    assert sorted(shown) == sorted(passages)
    scores = [float(text) for text in page.locator("li b").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    body = {"model": "pooled", "query": passages[1], "documents": shown}
    expected = server.post("/similarity", body).json["scores"][0]
    assert scores == pytest.approx(expected, abs=6e-4)
    assert page.inner_text("#status").startswith("3 passages in ")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert complaints == []


@browser
def test_a_reranker_ranks_passages(ranker: Bundle, page: Any, tmp_path: Path) -> None:
    passages = ["water", "fish " * 99, "how do fish sleep"]
    with serving(tmp_path, f"ranker={ranker.folder}") as server:
        page.goto(server.url)
        page.fill("#passages", "\n".join(passages))
        page.fill("#query", "how do fish sleep")
        page.click("#ask")
        page.wait_for_selector("li")
        body = {"query": "how do fish sleep", "texts": [text.strip() for text in passages]}
        wanted = server.post("/rerank", {**body, "truncate": True}).json
    assert page.locator("li b").all_inner_texts() == [f"{row['score']:.3f}" for row in wanted]
    shown = page.locator("li .text").all_inner_texts()
    assert shown == [body["texts"][row["index"]] for row in wanted]
    assert page.locator("li").filter(has_text="only its beginning counts").count() == 1


@browser
def test_what_is_too_long_is_marked(server: Running, page: Any) -> None:
    page.goto(server.url)
    page.wait_for_selector("#choose:not([hidden])")
    page.fill("#passages", "fish\n" + "fish " * 99)
    page.click("#ask")
    page.wait_for_selector("li")
    marks = page.locator("li").filter(has_text="only its beginning counts")
    assert marks.locator(".text").all_inner_texts() == [("fish " * 99).strip()]
    page.fill("#query", "fish " * 99)
    page.click("#ask")
    page.wait_for_selector("#status.bad")
    assert page.inner_text("#status") == "The question is too long for the model."


@browser
def test_errors_are_shown(server: Running, page: Any) -> None:
    """The passages of the previous question disappear, so that nobody takes them for an answer."""
    page.goto(server.url)
    page.wait_for_selector("#choose:not([hidden])")
    page.focus("#ask")
    page.keyboard.press("Enter")
    page.wait_for_selector("li")
    assert page.evaluate("document.activeElement.id") == "ask"
    page.evaluate("document.querySelector('#passages').value = 'fish\\n'.repeat(2048)")
    page.click("#ask")
    page.wait_for_selector("#status.bad")
    assert "more than the 2048 that this server takes" in page.inner_text("#status")
    assert page.locator("li").count() == 0
    page.route("**/similarity", lambda route: route.abort())
    page.click("#ask")
    page.locator("#status", has_text="not answer").wait_for()
    page.unroute("**/similarity")
    page.fill("#passages", "fish")
    page.click("#ask")
    page.wait_for_selector("li")
    assert page.inner_text("#status").startswith("1 passage in ")


@browser
def test_a_key_is_asked_for(strict: Running, page: Any) -> None:
    page.goto(strict.url)
    page.wait_for_selector("#locked:not([hidden])")
    assert page.inner_text("#status") == "This server asks for an API key: type it above."
    page.fill("#key", "wrong")
    page.keyboard.press("Enter")
    page.wait_for_selector("#status.bad")
    assert page.inner_text("#status") == "The API key is not this server's."
    page.fill("#passages", "fish")
    page.fill("#key", KEY)
    page.keyboard.press("Enter")
    page.wait_for_selector("li")


@browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out(server: Running, page: Any, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    page.goto(server.url)
    pairs = page.evaluate(
        """() => ["body", ".about", "label small", "#query", "#ask"].map(name => {
             const style = getComputedStyle(document.querySelector(name));
             const own = style.backgroundColor;
             const none = own === "rgba(0, 0, 0, 0)";
             return [style.color, none ? getComputedStyle(document.body).backgroundColor : own];
           })"""
    )
    for front, back in pairs:
        assert contrast(front, back) >= 4.5, (front, back)
