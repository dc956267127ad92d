"""The page of a frontier as a browser shows it: narrow and wide, light and dark."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes import frontiers
from fakes.browser import Shown, a_browser, check_colours, check_page, opened

from minnow.frontier.report import render_report

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.extra("convert"),
    pytest.mark.extra("evaluate"),
    pytest.mark.browser,
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Shown]]:
    """Every kind of frontier as a page, opened once; tests change how wide it is."""
    folder = tmp_path_factory.mktemp("reports")
    for kind, make in frontiers.KINDS.items():
        (folder / f"{kind}.html").write_text(render_report(make()), encoding="utf-8")
    with a_browser() as browser:
        yield opened(browser, folder, frontiers.KINDS)


@pytest.fixture
def shown(pages: dict[str, Shown], kind: str, width: int) -> Shown:
    pages[kind].page.set_viewport_size({"width": width, "height": 800})
    return pages[kind]


@pytest.mark.parametrize("kind", frontiers.KINDS)
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_the_page(shown: Shown, width: int) -> None:
    check_page(shown, width, plots=2)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("kind", ["usual", "alone"])
@pytest.mark.parametrize("width", [390])
def test_words_stand_out(shown: Shown, scheme: str) -> None:
    check_colours(shown, scheme)
