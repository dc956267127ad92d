"""Pages as a browser shows them."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")

# Boxes of words are taken in the units of their plot: a scale does not matter then.
PLOTS = """
() => [...document.querySelectorAll("svg.plot")].map(svg => ({
  title: svg.querySelector("title").textContent,
  shown: svg.getBoundingClientRect().toJSON(),
  box: svg.viewBox.baseVal,
  texts: [...svg.querySelectorAll("text")].map(text => {
    const {x, y, width, height} = text.getBBox();
    return {words: text.textContent, x, y, width, height};
  }),
})).map(({title, shown, box, texts}) =>
  ({title, shown, width: box.width, height: box.height, texts}))
"""

# Words and what is behind them; there are no pictures or gradients.
COLOURS = """
() => {
  const opaque = "rgba(0, 0, 0, 0)";
  const behind = element => {
    for (let e = element; e; e = e.parentElement) {
      const colour = getComputedStyle(e).backgroundColor;
      if (colour !== opaque) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  const own = element => [...element.childNodes].some(
    node => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
  return [...document.body.querySelectorAll("*")]
    .filter(element => own(element) && element.checkVisibility())
    .map(element => {
      const drawn = element instanceof SVGElement;
      const style = getComputedStyle(element);
      return {
        words: element.textContent.slice(0, 40),
        front: drawn ? style.fill : style.color,
        back: behind(element),
      };
    });
}
"""


@dataclass(frozen=True)
class Box:
    """The rectangle of some words on a page."""

    words: str
    x: float
    y: float
    width: float
    height: float

    def shared(self, other: Box) -> float:
        """Return the overlap of two boxes, along the shorter side."""
        level = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        upright = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(0.0, min(level, upright))


@dataclass(frozen=True)
class Shown:
    """An open page, with its requests and console messages."""

    page: Any
    requests: list[str]
    complaints: list[str]


@contextmanager
def a_browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    with playwright.sync_playwright() as driver:
        # A sandbox is refused to root, as whom containers run; all that is opened is our own.
        browser = driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


def opened(browser: Browser, folder: Path, kinds: Iterable[str]) -> dict[str, Shown]:
    """Open every page once; tests change its width."""
    found = {}
    for kind in kinds:
        shown = found[kind] = Shown(browser.new_page(), [], [])
        shown.page.on("request", lambda request, to=shown.requests: to.append(request.url))
        shown.page.on("console", lambda message, to=shown.complaints: to.append(message.text))
        shown.page.on("pageerror", lambda error, to=shown.complaints: to.append(str(error)))
        shown.page.goto((folder / f"{kind}.html").as_uri())
        shown.page.evaluate("document.querySelectorAll('details').forEach(d => { d.open = true; })")
    return found


def check_words(title: str, texts: list[Box], plot: dict[str, float]) -> None:
    """Check that all words are within their plot, and that none overlap."""
    assert len(texts) >= 4
    for i, box in enumerate(texts):
        level = box.x >= -2 and box.x + box.width <= plot["width"] + 2
        upright = box.y >= -2 and box.y + box.height <= plot["height"] + 2
        assert level, f"{title}: {box} is cut off"
        assert upright, f"{title}: {box} is cut off"
        for other in texts[:i]:
            assert box.shared(other) <= 1, f"{title}: {box} overlaps {other}"


def check_page(shown: Shown, width: int, plots: int) -> None:
    """Check that it loads nothing, fits the window's width, and has legible plots."""
    assert shown.requests == [shown.page.url]
    assert shown.complaints == []
    page = shown.page
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    tables = page.locator(".scroll")
    for box in (table.bounding_box() for table in tables.all()):
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
    found = page.evaluate(PLOTS)
    assert len(found) >= plots
    for plot in found:
        assert plot["shown"]["width"] >= min(270, width)
        assert plot["shown"]["height"] >= 60
        check_words(plot["title"], [Box(**text) for text in plot["texts"]], plot)


def check_colours(shown: Shown, scheme: str) -> None:
    """Check that all words contrast with their background, light or dark."""
    shown.page.emulate_media(color_scheme=scheme)
    found = shown.page.evaluate(COLOURS)
    assert len(found) > 100
    behind = {luminance(row["back"]) > 0.5 for row in found}
    assert behind == {scheme == "light"}
    for row in found:
        assert contrast(row["front"], row["back"]) >= 4.5, row


def luminance(colour: str) -> float:
    numbers = colour.removeprefix("rgb(").removesuffix(")").split(",")
    parts = [int(number) / 255 for number in numbers]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)
