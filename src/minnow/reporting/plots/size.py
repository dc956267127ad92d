"""Systems by size, and by their quality or fidelity to the baseline."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from minnow.reporting.numbers import cosine, measure, megabytes
from minnow.reporting.plots import axes, svg
from minnow.reporting.plots.placement import Box, Placer, text_box
from minnow.reporting.plots.scales import Scale, Tick, log_ticks, nines, nines_ticks, unit_ticks

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Marker:
    """A system in a plot against size.

    Attributes:
        key: Its name and style.
        size: Bytes, above 0.
        value: A mean.
        worst: The minimum of the values that the mean is of; None where it is not shown.
    """

    key: axes.LegendKey
    size: float
    value: float
    worst: float | None = None


def fidelity_plot(
    markers: Sequence[Marker],
    baseline: Marker,
    height: float = axes.plot_height(1),
    best: Sequence[Marker] = (),
) -> str:
    """Plot how close the vectors of systems are to the baseline's, against their size.

    Cosines are on a scale of nines, on which .99 and .99999 are both readable. Where a marker has
    a `worst` text, a whisker goes from the mean to it.

    Args:
        markers: The systems; `value` is the mean cosine.
        baseline: The system that they are compared with, a line at its size.
        height: The height of the plot.
        best: Those of them on the frontier, the smallest first; a stepped line joins them.
    """
    spots = []
    for marker in markers:
        worst = marker.value if marker.worst is None else marker.worst
        words = f"{_describe(marker)}, mean cosine {cosine(marker.value)}"
        words += "" if marker.worst is None else f", worst {cosine(worst)}"
        words += ", on the frontier" if marker in best else ""
        spots.append(_Spot(marker, nines(marker.value), nines(worst), words))
    whisker = any(marker.worst is not None for marker in markers)
    return _size_plot(
        "Fidelity against size",
        spots,
        nines_ticks([y for spot in spots for y in (spot.y, spot.end)]),
        "Mean cosine to the baseline" + ("; whisker: worst text" if whisker else ""),
        height,
        baseline,
        [(_log_size(marker), nines(marker.value)) for marker in best],
    )


def quality_plot(markers: Sequence[Marker], name: str, height: float = axes.plot_height(1)) -> str:
    """Plot the quality of systems by a measure, against their size."""
    values = [marker.value for marker in markers]
    spots = [
        _Spot(m, m.value, m.value, f"{_describe(m)}, {name} {measure(m.value)}") for m in markers
    ]
    ticks = unit_ticks(min(values), max(values), least=0.02)
    return _size_plot(f"{name} against size", spots, ticks, f"{name}, from 0 to 1", height)


# --- drawing -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Spot:
    """A mark and its whisker.

    Attributes:
        marker: The system.
        y: The value on the y axis.
        end: The end of the whisker there; equal to `y` where there is none.
        words: The tooltip.
    """

    marker: Marker
    y: float
    end: float
    words: str

    @property
    def x(self) -> float:
        """The value on the x axis."""
        return _log_size(self.marker)


def _log_size(marker: Marker) -> float:
    return math.log10(marker.size / 1e6)


def _describe(marker: Marker) -> str:
    return f"{marker.key.label}: {megabytes(marker.size)}"


def _size_plot(
    title: str,
    spots: Sequence[_Spot],
    ticks: Sequence[Tick],
    y_title: str,
    height: float,
    baseline: Marker | None = None,
    stairs: Sequence[tuple[float, float]] = (),
) -> str:
    """Draw axes and marks with their names, and behind them the baseline's line and stairs.

    Args:
        title: The title of the plot.
        spots: The marks.
        ticks: The ticks of the y axis.
        y_title: The title of the y axis.
        height: The height of the plot.
        baseline: The system whose size has a line.
        stairs: The values of the steps' corners on both axes, from left to right.
    """
    left, bottom = axes.label_margin([tick.label for tick in ticks]), height - axes.AXIS
    sizes = [marker.size / 1e6 for marker in (*(spot.marker for spot in spots), baseline) if marker]
    size_ticks = log_ticks(min(sizes), max(sizes))
    x = Scale(size_ticks[0].value, size_ticks[-1].value, left, axes.RIGHT)
    y = Scale(ticks[0].value, ticks[-1].value, bottom, axes.TOP)
    placer = Placer(Box(left, axes.TOP, svg.WIDTH, bottom))
    facts = [spot.words for spot in spots]
    parts = [
        *axes.y_axis(y, ticks, left, y_title),
        *axes.x_axis(x, size_ticks, bottom, bottom, "Size, MB (log scale)"),
    ]
    if baseline:
        facts.append(f"{_describe(baseline)}, the baseline")
        parts += _draw_baseline(facts[-1], x(_log_size(baseline)), bottom, placer)
    parts += _draw_stairs([(x(size), y(value)) for size, value in stairs], placer)
    for spot in spots:
        at, mean, end = x(spot.x), y(spot.y), y(spot.end)
        placer.taken += [Box(at - 6, mean - 6, at + 6, mean + 6), Box(at - 5, mean, at + 5, end)]
        parts.append(_draw_mark(spot, at, mean, end))
    for spot in spots:
        parts += placer.place_name(spot.marker.key.label, x(spot.x), y(spot.y))
    return svg.plot(title, facts, height, *parts)


def _draw_baseline(words: str, x: float, bottom: float, placer: Placer) -> list[str]:
    anchor, side = ("end", -1) if x > svg.WIDTH / 2 else ("start", 1)
    at_x, at_y = x + 5 * side, bottom - 10
    placer.crossed.append(Box(x, axes.TOP, x, bottom))
    placer.taken.append(text_box(at_x, at_y, ["baseline"], anchor))
    return [
        svg.element("g", svg.tooltip(words), svg.line(x, axes.TOP, x, bottom, "baseline")),
        svg.text_lines(at_x, at_y, ["baseline"], anchor),
    ]


def _draw_stairs(corners: Sequence[tuple[float, float]], placer: Placer) -> list[str]:
    """Draw the best value at each size: that of the next smaller corner."""
    if len(corners) < 2:
        return []
    path = "M{} {}".format(*map(svg.coordinate, corners[0]))
    for (left, low), (right, high) in pairwise(corners):
        path += f"H{svg.coordinate(right)}V{svg.coordinate(high)}"
        placer.crossed += [Box(left, low, right, low), Box(right, high, right, low)]
    return [svg.element("path", d=path, class_="stairs")]


def _draw_mark(spot: _Spot, x: float, mean: float, end: float) -> str:
    whisker = [svg.line(x, mean, x, end, "range"), svg.line(x - 4, end, x + 4, end, "range")]
    style = spot.marker.key.style
    return svg.element(
        "g",
        svg.tooltip(spot.words),
        *(whisker if end > mean else []),
        svg.mark(style, x, mean),
        class_=f"s{style}",
    )
