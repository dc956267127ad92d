"""SVG elements, and the width of text.

Lengths are in units of the viewBox. It is as wide as a plot on a phone, so that text has the same
size there as in the rest of the page.
"""

from __future__ import annotations

import math
import unicodedata
from html import escape
from typing import TYPE_CHECKING

from minnow.reporting.numbers import shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH = 340
FONT = 12
LINE = 15

STYLES = 8
"""The number of different colours and marks; the first is the baseline's."""

_MARKS = (
    "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
    "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
    "M-4-4h8v8h-8z",
    "M0-5.5L5.2 4h-10.4z",
    "M0-5.8L5.8 0L0 5.8L-5.8 0z",
    "M0 5.5L5.2-4h-10.4z",
    "M-2-5.5h4v3.5h3.5v4h-3.5v3.5h-4v-3.5h-3.5v-4h3.5z",
    "M-5.5-2L0-5.8L5.5-2L3.4 4.7h-6.8z",
)

# Widths of letters in units of the font size, for the widest of the usual fonts.
_NARROW, _WIDE = 0.42, 1.0
_UPPER, _LOWER = 0.74, 0.64


# --- elements ----------------------------------------------------------------------------


def element(name: str, *children: str, **attributes: float | str) -> str:
    """Return the markup of an element.

    Args:
        name: Its name.
        children: Markup, already escaped.
        attributes: Numbers and strings, not escaped; `class_` becomes class, `text_anchor`
            text-anchor.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"'
        for key, value in attributes.items()
    )
    return f"<{name}{written}>{''.join(children)}</{name}>" if children else f"<{name}{written}/>"


def _value(value: float | str) -> str:
    return escape(value) if isinstance(value, str) else coordinate(value)


def coordinate(value: float) -> str:
    """Format a coordinate to a tenth of a unit, which is finer than a screen.

    Raises:
        ValueError: It is NaN or infinite; browsers would not draw it.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a coordinate.")
    return f"{round(value, 1) + 0.0:g}" if abs(value) < 1e5 else f"{value:.0f}"


def tooltip(words: str) -> str:
    """Return the tooltip of the element that has this child."""
    return element("title", escape(words))


def text(x: float, y: float, words: str, class_: str = "", anchor: str = "start") -> str:
    """Draw a line of text with its base line at y."""
    attributes = {"class_": class_} if class_ else {}
    return element("text", escape(words), x=x, y=y, text_anchor=anchor, **attributes)


def text_lines(x: float, y: float, lines: Sequence[str], anchor: str = "start") -> str:
    """Draw lines of text, vertically centred at y."""
    first = y + 4 - (len(lines) - 1) * LINE / 2
    spans = [
        element("tspan", escape(words), x=x, y=first + i * LINE) for i, words in enumerate(lines)
    ]
    return element("text", *spans, text_anchor=anchor, class_="halo")


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> str:
    """Draw a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def mark(style: int, x: float, y: float, size: float = 1.0) -> str:
    """Draw the mark of a system; its shape identifies it where colours do not."""
    place = f"translate({coordinate(x)} {coordinate(y)})"
    if size != 1:
        place += f" scale({size:g})"
    return element("path", d=_MARKS[style], class_=f"mark s{style}", transform=place)


def style_of(position: int) -> int:
    """Return the style of the system at a position; the baseline is at 0."""
    return 1 + (position - 1) % (STYLES - 1) if position else 0


def legend_mark(style: int) -> str:
    """Return a mark as a picture of its own, to stand beside a name."""
    return element(
        "svg", mark(style, 0, 0), viewBox="-7 -7 14 14", class_="key", aria_hidden="true"
    )


def plot(title: str, facts: Sequence[str], height: float, *parts: str) -> str:
    """Return a plot with its title, and its facts for readers who cannot see it."""
    return element(
        "svg",
        element("title", escape(title)),
        element("desc", escape("; ".join(facts) + ".")),
        text(0, 14, title, "title"),
        *parts,
        viewBox=f"0 0 {WIDTH} {coordinate(height)}",
        role="img",
        class_="plot",
    )


# --- words -------------------------------------------------------------------------------


def width_of(words: str) -> float:
    """Estimate the width of text, rather too wide than too narrow."""
    return FONT * sum(map(_letter_width, words))


def _letter_width(letter: str) -> float:
    if unicodedata.combining(letter):
        return 0
    if unicodedata.east_asian_width(letter) in "WF" or letter in "mwMW@%—…":
        return _WIDE
    if letter in "ijltfrI.,:;'|!()[]- ":
        return _NARROW
    return _LOWER if letter.islower() or letter.isdigit() else _UPPER


def wrap(words: str, room: float) -> list[str]:
    """Return text on one line, or on two, broken between the parts of a name."""
    words = one_line(words)
    if width_of(words) <= room:
        return [words]
    fitting = next(n for n in range(len(words), 0, -1) if n == 1 or width_of(words[:n]) <= room)
    breaks = [n for n in range(fitting // 3, fitting + 1) if n and words[n - 1] in " -_/:."]
    cut = breaks[-1] if breaks else fitting
    return [words[:cut].rstrip(), fit(words[cut:].lstrip(), room)]


def one_line(words: str) -> str:
    """Return text without line breaks, and no longer than could ever be shown."""
    return " ".join(shorten(words, 200).split())


def fit(words: str, room: float) -> str:
    """Return as much of a text as fits, the middle left out."""
    words = one_line(words)
    limit = len(words)
    while width_of(fitted := shorten(words, limit)) > room and limit > 1:
        limit -= 1
    return fitted
