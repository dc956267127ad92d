"""What plots have in common: names of systems, axes, and room around what is plotted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.reporting.plots.svg import FONT, LINE, WIDTH, element, fit, line, mark, text, width_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.reporting.plots.scales import Scale, Tick

TOP = 52
"""Room for the title of a plot, and that of its upright axis."""

RIGHT = WIDTH - 10
AXIS = 42
"""Room for the labels of a level axis, and its title."""

ROW = 72
_LEAST = 262
_GAP = 6


@dataclass(frozen=True)
class Key:
    """What a system is called, and how it looks.

    Attributes:
        label: Its name.
        look: Its colour and mark, see `svg.look_of`.
    """

    label: str
    look: int


def height_for(rows: int, row: float = ROW) -> float:
    """How high a plot with a row for each system is; others beside it may be as high."""
    return max(_LEAST, TOP + AXIS + row * rows)


def x_axis(scale: Scale, ticks: Sequence[Tick], top: float, bottom: float, title: str) -> list[str]:
    """Lines at the ticks from `top` to `bottom`, with labels and a title below."""
    parts = [line(scale.start, bottom, scale.end, bottom, "axis")]
    widths = [width_of(tick.label) for tick in ticks]
    places = [scale(tick.value) for tick in ticks]
    centers = [min(x, WIDTH - width / 2) for x, width in zip(places, widths, strict=True)]
    named = _named(centers, [width / 2 for width in widths])
    for i, tick in enumerate(ticks):
        if top < bottom:
            parts.append(line(places[i], top, places[i], bottom, "grid"))
        if i in named:
            parts.append(line(places[i], bottom, places[i], bottom + 4, "axis"))
            parts.append(text(centers[i], bottom + 6 + FONT, tick.label, "quiet", "middle"))
    return [*parts, text(scale.end, bottom + AXIS - 6, title, "quiet", "end")]


def y_axis(
    scale: Scale, ticks: Sequence[Tick], left: float, title: str, right: float = RIGHT
) -> list[str]:
    """Lines at the ticks from `left` to `right`, with labels beside and a title above."""
    parts = [y_title(title)]
    places = [scale(tick.value) for tick in ticks]
    named = _named(places, [FONT / 2] * len(ticks))
    for i, tick in enumerate(ticks):
        parts.append(line(left, places[i], right, places[i], "grid"))
        if i in named:
            parts.append(text(left - _GAP, places[i] + 4, tick.label, "quiet", "end"))
    return parts


def _named(places: Sequence[float], halves: Sequence[float]) -> range:
    """Which ticks have their label: all, or every second and so on, as there is room; the last."""
    last = len(places) - 1
    for step in range(1, len(places)):
        named = range(last, -1, -step)
        pairs = zip(named[1:], named, strict=False)
        if all(abs(places[a] - places[b]) >= halves[a] + halves[b] + _GAP for a, b in pairs):
            return named
    return range(last, last + 1)


def y_title(title: str) -> str:
    """The title of an upright axis, level and above it: easier to read than turned."""
    return text(0, TOP - 18, title, "quiet")


@dataclass(frozen=True)
class Band:
    """The part of a plot that one system has: a line of words, and room for bars below."""

    top: float
    bars: float
    bottom: float


def bands(height: float, rows: int) -> list[Band]:
    """A plot's room, divided among its rows."""
    step = (height - AXIS - TOP + 8) / rows
    tops = [TOP - 8 + i * step for i in range(rows)]
    return [Band(top, top + LINE + 6, top + step - 6) for top in tops]


def band_head(band: Band, key: Key, words: str = "") -> list[str]:
    """A system's mark and name, and a fact about it at the right."""
    room = RIGHT - 16 - width_of(words) - 2 * _GAP
    y = band.top + FONT
    return [
        mark(key.look, 5, y - 4),
        text(16, y, fit(key.label, room), "halo"),
        *([text(RIGHT, y, words, "quiet halo", "end")] if words else []),
    ]


def room_for(labels: Sequence[str]) -> float:
    """Where a plot begins, right of the labels of its upright axis."""
    return 2 * _GAP + max(map(width_of, labels))


def target(x: float, y: float, width: float, height: float) -> str:
    """A place without a look, so that a small thing's tooltip is easy to hit."""
    return element("rect", x=x, y=y, width=width, height=height, class_="target")
