"""Systems by size, and by how good or how close to the baseline they are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from minnow.reporting.numbers import cosine, measure, megabytes
from minnow.reporting.plots.axes import AXIS, RIGHT, TOP, Key, height_for, room_for, x_axis, y_axis
from minnow.reporting.plots.scales import Scale, Tick, log_ticks, nines, nines_ticks, part_ticks
from minnow.reporting.plots.svg import (
    LINE,
    WIDTH,
    coordinate,
    element,
    fit,
    line,
    mark,
    plot,
    text_lines,
    tooltip,
    width_of,
    wrap,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEPS = sorted(range(-10, 11), key=lambda step: (abs(step), -step))
_NAMES = 118


@dataclass(frozen=True)
class Point:
    """A system in a plot against size.

    Attributes:
        key: Which.
        size: Bytes, above 0.
        value: A mean.
        worst: The least of what the mean is of; None where that is not shown.
    """

    key: Key
    size: float
    value: float
    worst: float | None = None


def fidelity_plot(points: Sequence[Point], baseline: Point, height: float = height_for(1)) -> str:
    """How near to the baseline's vectors systems are, and how large.

    Cosines are on a scale of nines, on which .99 and .99999 are both readable, with a whisker from
    the mean to the worst text. The baseline, whose cosine is 1, is a line at its size.
    """
    spots = []
    for point in points:
        worst = point.value if point.worst is None else point.worst
        words = f"{words_of(point)}, mean cosine {cosine(point.value)}, worst {cosine(worst)}"
        spots.append(Spot(point.key, point.size, nines(point.value), nines(worst), words))
    words = f"{words_of(baseline)}, the baseline"
    drawing = against_size(
        spots,
        nines_ticks([y for spot in spots for y in (spot.y, spot.end)]),
        "Mean cosine to the baseline; whisker: worst text",
        height,
        Spot(baseline.key, baseline.size, 0, 0, words),
    )
    return plot(
        "Closeness against size", [*(spot.words for spot in spots), words], height, *drawing
    )


def quality_plot(points: Sequence[Point], name: str, height: float = height_for(1)) -> str:
    """How good systems are by a measure, and how large; for those of different models."""
    spots = []
    for point in points:
        words = f"{words_of(point)}, {name} {measure(point.value)}"
        spots.append(Spot(point.key, point.size, point.value, point.value, words))
    values = [point.value for point in points]
    ticks = part_ticks(min(values), max(values), least=0.02)
    drawing = against_size(spots, ticks, f"{name}, from 0 to 1", height)
    return plot(f"{name} against size", [spot.words for spot in spots], height, *drawing)


def words_of(point: Point) -> str:
    """A system and its size."""
    return f"{point.key.label}: {megabytes(point.size)}"


@dataclass(frozen=True)
class Spot:
    """A mark and its whisker.

    Attributes:
        key: Which system.
        size: Bytes.
        y: The value, on the upright axis.
        end: The end of the whisker there; the same where there is none.
        words: What it stands for.
    """

    key: Key
    size: float
    y: float
    end: float
    words: str

    @property
    def x(self) -> float:
        """The place on the level axis."""
        return math.log10(self.size / 1e6)


# --- drawing -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Box:
    """A place that is taken, or may be."""

    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: _Box) -> bool:
        level = self.left < other.right and other.left < self.right
        return level and self.top < other.bottom and other.top < self.bottom

    def holds(self, other: _Box) -> bool:
        level = self.left <= other.left and other.right <= self.right
        return level and self.top <= other.top and other.bottom <= self.bottom


def _words_box(x: float, y: float, lines: Sequence[str], anchor: str) -> _Box:
    width, half = max(map(width_of, lines)), LINE * len(lines) / 2
    left = x - width if anchor == "end" else x
    return _Box(left, y - half, left + width, y + half)


def against_size(
    spots: Sequence[Spot],
    ticks: Sequence[Tick],
    title: str,
    height: float,
    baseline: Spot | None = None,
    stairs: Sequence[Spot] = (),
) -> list[str]:
    """Axes, marks with their names, and what is behind them: a baseline's line, and stairs.

    Args:
        spots: The marks.
        ticks: Of the upright axis.
        title: Of the upright axis.
        height: Of the plot.
        baseline: Where its line is.
        stairs: From the left to the right; a step is at each.
    """
    left, bottom = room_for([tick.label for tick in ticks]), height - AXIS
    sizes = [spot.size / 1e6 for spot in (*spots, *([baseline] if baseline else []))]
    size_ticks = log_ticks(min(sizes), max(sizes))
    x = Scale(size_ticks[0].value, size_ticks[-1].value, left, RIGHT)
    y = Scale(ticks[0].value, ticks[-1].value, bottom, TOP)
    parts = [
        *y_axis(y, ticks, left, title),
        *x_axis(x, size_ticks, bottom, bottom, "Size, MB (log scale)"),
    ]
    taken: list[_Box] = []
    crossed: list[_Box] = []
    if baseline:
        at = x(baseline.x)
        crossed.append(_Box(at, TOP, at, bottom))
        parts += _baseline(baseline, at, bottom, taken)
    parts += _stairs([(x(spot.x), y(spot.y)) for spot in stairs], crossed)
    for spot in spots:
        at, mean, end = x(spot.x), y(spot.y), y(spot.end)
        taken += [_Box(at - 6, mean - 6, at + 6, mean + 6), _Box(at - 5, mean, at + 5, end)]
        parts.append(_mark(spot, at, mean, end))
    frame = _Box(left, TOP, WIDTH, bottom)
    for spot in spots:
        parts += _name(spot.key.label, x(spot.x), y(spot.y), frame, taken, crossed)
    return parts


def _baseline(spot: Spot, x: float, bottom: float, taken: list[_Box]) -> list[str]:
    anchor, side = ("end", -1) if x > WIDTH / 2 else ("start", 1)
    at_x, at_y = x + 5 * side, bottom - 10
    taken.append(_words_box(at_x, at_y, ["baseline"], anchor))
    return [
        element("g", tooltip(spot.words), line(x, TOP, x, bottom, "baseline")),
        text_lines(at_x, at_y, ["baseline"], anchor),
    ]


def _stairs(corners: Sequence[tuple[float, float]], crossed: list[_Box]) -> list[str]:
    """What can be had at each size: as much as at the next smaller corner."""
    if len(corners) < 2:
        return []
    path = "M{} {}".format(*map(coordinate, corners[0]))
    for (left, low), (right, high) in pairwise(corners):
        path += f"H{coordinate(right)}V{coordinate(high)}"
        crossed += [_Box(left, low, right, low), _Box(right, high, right, low)]
    return [element("path", d=path, class_="stairs")]


def _mark(spot: Spot, x: float, mean: float, end: float) -> str:
    whisker = [line(x, mean, x, end, "range"), line(x - 4, end, x + 4, end, "range")]
    return element(
        "g",
        tooltip(spot.words),
        *(whisker if end > mean else []),
        mark(spot.key.look, x, mean),
        class_=f"s{spot.key.look}",
    )


def _name(
    label: str, x: float, y: float, frame: _Box, taken: list[_Box], crossed: Sequence[_Box]
) -> list[str]:
    """The name of a mark where nothing else is, with a line to it if it stands apart.

    Better across the line of the baseline than nowhere, and better cut than nowhere. Where there
    is no room at all there is no name; the tooltip and the tables have it.
    """
    for lines in (wrap(label, _NAMES), [fit(label, _NAMES)]):
        for avoided in ([*taken, *crossed], taken):
            if found := _free(lines, x, y, frame, avoided):
                box, parts = found
                taken.append(box)
                return parts
    return []


def _free(
    lines: Sequence[str], x: float, y: float, frame: _Box, avoided: Sequence[_Box]
) -> tuple[_Box, list[str]] | None:
    """The place for words that is nearest to a mark."""
    for step in _STEPS:
        for anchor, side in (("start", 1), ("end", -1)):
            at_x, at_y = x + side * (9 if step == 0 else 16), y + step * LINE / 2
            box = _words_box(at_x, at_y, lines, anchor)
            if frame.holds(box) and not any(box.meets(other) for other in avoided):
                leader = line(x + side * 5, y, at_x - side * 2, at_y, "leader")
                return box, [*([leader] if step else []), text_lines(at_x, at_y, lines, anchor)]
    return None
