"""Reports as a browser shows them: narrow and wide, light and dark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes import benchmarks, comparisons, frontiers
from fakes.browser import PLOTS, Shown, a_browser, check_colours, check_page, opened

from minnow.bench.report import render_report as render_benchmark
from minnow.evaluate.report import render_report as render_comparison
from minnow.frontier.report import render_report as render_frontier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = [
    pytest.mark.extra("convert"),
    pytest.mark.extra("evaluate"),
    pytest.mark.browser,
]

COMPARISONS = [f"comparison {kind}" for kind in comparisons.KINDS]
FRONTIERS = [f"frontier {kind}" for kind in frontiers.KINDS]
PAGES: dict[str, Callable[[], str]] = {
    "benchmark": lambda: render_benchmark(benchmarks.make()),
    **{
        name: lambda make=make: render_comparison(make())  # type: ignore[misc]
        for name, make in zip(COMPARISONS, comparisons.KINDS.values(), strict=True)
    },
    **{
        name: lambda make=make: render_frontier(make())  # type: ignore[misc]
        for name, make in zip(FRONTIERS, frontiers.KINDS.values(), strict=True)
    },
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Shown]]:
    """Every page, opened once; tests change how wide it is."""
    folder = tmp_path_factory.mktemp("reports")
    for name, render in PAGES.items():
        (folder / f"{name}.html").write_text(render(), encoding="utf-8")
    with a_browser() as browser:
        yield opened(browser, folder, PAGES)


@pytest.fixture
def shown(pages: dict[str, Shown], name: str, width: int) -> Shown:
    pages[name].page.set_viewport_size({"width": width, "height": 800})
    return pages[name]


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [320, 1280])
def test_the_page(shown: Shown, name: str, width: int) -> None:
    check_page(shown, width, plots=2 if name in FRONTIERS else 4)


@pytest.mark.parametrize("name", ["comparison seven"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_words_of_plots_are_large_enough(shown: Shown) -> None:
    for plot in shown.page.evaluate(PLOTS):
        size = 12 * plot["shown"]["width"] / plot["width"]
        assert 10 <= size <= 16


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    "name", ["comparison two", "comparison seven", "comparison mixed", "frontier alone"]
)
@pytest.mark.parametrize("width", [390])
def test_words_stand_out(shown: Shown, scheme: str) -> None:
    check_colours(shown, scheme)


@pytest.mark.parametrize("name", ["comparison two"])
@pytest.mark.parametrize("width", [320])
def test_the_first_column_stays(shown: Shown) -> None:
    """Of a table that is wider than a phone, which is scrolled by itself."""
    region = shown.page.locator(".scroll").first
    name = region.locator("tbody th").first
    before = name.bounding_box()
    region.evaluate("e => { e.scrollLeft = 200; }")
    assert region.evaluate("e => e.scrollLeft") > 100
    assert name.bounding_box() == before
