"""The page as a browser shows it: narrow and wide, light and dark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes import comparisons
from fakes.browser import PLOTS, Shown, a_browser, check_colours, check_page, opened

from minnow.evaluate.report import render_report

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.extra("evaluate"), pytest.mark.browser]

every_kind = pytest.mark.parametrize("kind", comparisons.KINDS)
every_width = pytest.mark.parametrize("width", [320, 390, 1280])
schemes = pytest.mark.parametrize("scheme", ["light", "dark"])


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Shown]]:
    """Every kind of comparison as a page, opened once; tests change how wide it is."""
    folder = tmp_path_factory.mktemp("reports")
    for kind, make in comparisons.KINDS.items():
        (folder / f"{kind}.html").write_text(render_report(make()), encoding="utf-8")
    with a_browser() as browser:
        yield opened(browser, folder, comparisons.KINDS)


@pytest.fixture
def shown(pages: dict[str, Shown], kind: str, width: int) -> Shown:
    pages[kind].page.set_viewport_size({"width": width, "height": 800})
    return pages[kind]


@every_kind
@every_width
def test_the_page(shown: Shown, kind: str, width: int) -> None:
    check_page(shown, width, plots=4)


@every_width
@pytest.mark.parametrize("kind", ["seven"])
def test_words_of_plots_are_large_enough(shown: Shown, width: int) -> None:
    for plot in shown.page.evaluate(PLOTS):
        size = 12 * plot["shown"]["width"] / plot["width"]
        assert 10 <= size <= 16


@schemes
@pytest.mark.parametrize("kind", ["two", "seven", "mixed"])
@pytest.mark.parametrize("width", [390])
def test_words_stand_out(shown: Shown, scheme: str) -> None:
    check_colours(shown, scheme)


@pytest.mark.parametrize("kind", ["two"])
@pytest.mark.parametrize("width", [320])
def test_the_first_column_stays(shown: Shown) -> None:
    """Of a table that is wider than a phone, which is scrolled by itself."""
    region = shown.page.locator(".scroll").first
    name = region.locator("tbody th").first
    before = name.bounding_box()
    region.evaluate("e => { e.scrollLeft = 200; }")
    assert region.evaluate("e => e.scrollLeft") > 100
    assert name.bounding_box() == before
