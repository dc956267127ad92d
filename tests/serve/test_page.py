"""The page at `/`, as it is sent and as a browser shows it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from fakes.browser import a_browser, contrast

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fakes.serving import Running

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("serve")]

browser = pytest.mark.browser


def test_it_loads_nothing_and_may_do_little(server: Running) -> None:
    answer = server.get("/")
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    page = answer.body.decode()
    assert re.findall(r'(?:src|href)="(?!data:,")[^"]*"|url\(|@import|https?:', page) == []
    assert "innerHTML" not in page


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
def test_what_goes_wrong_is_told(server: Running, page: Any) -> None:
    page.goto(server.url)
    page.wait_for_selector("#choose:not([hidden])")
    page.fill("#passages", "fish " * 99)
    page.click("#ask")
    page.wait_for_selector("#status.bad")
    assert "documents[0] has 103 tokens" in page.inner_text("#status")
    assert page.is_enabled("#ask")


@browser
def test_a_key_is_asked_for(strict: Running, page: Any) -> None:
    page.goto(strict.url)
    page.wait_for_selector("#locked:not([hidden])")
    assert "API key" in page.inner_text("#status")


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
