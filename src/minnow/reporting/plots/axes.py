"""The shared parts of plots: names of systems, axes and margins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.reporting.plots.svg import FONT, LINE, WIDTH, element, fit, line, mark, text, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.reporting.plots.scales import Scale, Tick

TOP = 52
"""Space for the title of a plot and the title of its y axis."""

RIGHT = WIDTH - 10
AXIS = 42
"""Space for the labels of an x axis and its title."""

ROW = 72
_MIN_HEIGHT = 262
_GAP = 6


@dataclass(frozen=True)
class LegendKey:
    """The name of a system and its style.

    Attributes:
        label: Its name.
        style: The number of its colour and mark, see `svg.style_of`.
    """

    label: str
    style: int


def plot_height(rows: int, row: float = ROW) -> float:
    """Return the height of a plot with a row for each system."""
    return max(_MIN_HEIGHT, TOP + AXIS + row * rows)


def x_axis(scale: Scale, ticks: Sequence[Tick], top: float, bottom: float, title: str) -> list[str]:
    """Draw lines at the ticks from `top` to `bottom`, with labels and a title below."""
    parts = [line(scale.start, bottom, scale.end, bottom, "axis")]
    widths = [width_of(tick.label) for tick in ticks]
    places = [scale(tick.value) for tick in ticks]
    centers = [min(x, WIDTH - width / 2) for x, width in zip(places, widths, strict=True)]
    labelled = _labelled(centers, [width / 2 for width in widths])
    for i, tick in enumerate(ticks):
        if top < bottom:
            parts.append(line(places[i], top, places[i], bottom, "grid"))
        if i in labelled:
            parts.append(line(places[i], bottom, places[i], bottom + 4, "axis"))
            parts.append(text(centers[i], bottom + 6 + FONT, tick.label, "quiet", "middle"))
    return [*parts, text(scale.end, bottom + AXIS - 6, title, "quiet", "end")]


def y_axis(
    scale: Scale, ticks: Sequence[Tick], left: float, title: str, right: float = RIGHT
) -> list[str]:
    """Draw lines at the ticks from `left` to `right`, with labels beside and a title above."""
    parts = [y_title(title)]
    places = [scale(tick.value) for tick in ticks]
    labelled = _labelled(places, [FONT / 2] * len(ticks))
    for i, tick in enumerate(ticks):
        parts.append(line(left, places[i], right, places[i], "grid"))
        if i in labelled:
            parts.append(text(left - _GAP, places[i] + 4, tick.label, "quiet", "end"))
    return parts


def _labelled(places: Sequence[float], halves: Sequence[float]) -> range:
    """Return which ticks are labelled: all, or every second and so on, and always the last."""
    last = len(places) - 1
    for step in range(1, len(places)):
        labelled = range(last, -1, -step)
        pairs = zip(labelled[1:], labelled, strict=False)
        if all(abs(places[a] - places[b]) >= halves[a] + halves[b] + _GAP for a, b in pairs):
            return labelled
    return range(last, last + 1)


def y_title(title: str) -> str:
    """Draw the title of a y axis above it, where it is easier to read than turned."""
    return text(0, TOP - 18, title, "quiet")


@dataclass(frozen=True)
class Band:
    """The part of a plot that belongs to one system: a line of text, and space for bars below."""

    top: float
    bars: float
    bottom: float


def split_into_bands(height: float, rows: int) -> list[Band]:
    """Divide a plot's height among its rows."""
    step = (height - AXIS - TOP + 8) / rows
    tops = [TOP - 8 + i * step for i in range(rows)]
    return [Band(top, top + LINE + 6, top + step - 6) for top in tops]


def band_header(band: Band, key: LegendKey, words: str = "") -> list[str]:
    """Draw a system's mark and name, and a fact about it at the right."""
    room = RIGHT - 16 - width_of(words) - 2 * _GAP
    y = band.top + FONT
    return [
        mark(key.style, 5, y - 4),
        text(16, y, fit(key.label, room), "halo"),
        *([text(RIGHT, y, words, "quiet halo", "end")] if words else []),
    ]


def label_margin(labels: Sequence[str]) -> float:
    """Return the width that the labels of a y axis need."""
    return 2 * _GAP + max(map(width_of, labels))


def hover_target(x: float, y: float, width: float, height: float) -> str:
    """Draw an invisible area, so that the tooltip of a small mark is easy to hit."""
    return element("rect", x=x, y=y, width=width, height=height, class_="target")
