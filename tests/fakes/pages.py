"""Pages of invented comparisons, parsed."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from fakes import comparisons
from minnow.evaluate.report import render_report

if TYPE_CHECKING:
    from minnow.evaluate.results import Comparison

    Element = ElementTree.Element


@cache
def made(kind: str) -> Comparison:
    return comparisons.KINDS[kind]()


@cache
def page(kind: str) -> Element:
    return read(render_report(made(kind)))


def read(markup: str) -> Element:
    """Parse a page as strict XML, so that no browser has to repair it."""
    return ElementTree.fromstring(markup)


def words(element: Element) -> str:
    """Return the visible text, with single spaces."""
    return " ".join("".join(element.itertext()).split())


def table(root: Element, id_: str) -> list[list[str]]:
    """Return the rows of the table whose caption has this id, without small print."""
    (found,) = (t for t in root.iter("table") for c in t.iter("caption") if c.attrib["id"] == id_)
    rows = []
    for row in found.iter("tr"):
        cells = [cell for cell in row if cell.tag in ("td", "th")]
        rows.append([words(without(cell, "small")) for cell in cells])
    return rows


def small_print(root: Element, id_: str) -> list[list[str]]:
    (found,) = (t for t in root.iter("table") for c in t.iter("caption") if c.attrib["id"] == id_)
    return [
        [words(s) for td in row.iter("td") for s in td.iter("small")] for row in found.iter("tr")
    ]


def without(element: Element, tag: str) -> Element:
    copy = ElementTree.fromstring(ElementTree.tostring(element))
    copy.tail = None
    for child in list(copy):
        if child.tag == tag:
            copy.remove(child)
    return copy
