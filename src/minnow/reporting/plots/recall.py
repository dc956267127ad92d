"""Recall curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.reporting.numbers import measure
from minnow.reporting.plots import axes, svg
from minnow.reporting.plots.scales import Scale, Tick, spread, unit_ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMES = 128
_ASIDE = 4.0
_MARK = 0.75


@dataclass(frozen=True)
class Curve:
    """The recall of a system.

    Attributes:
        key: Its name and style.
        recalls: Recall at each depth, from 0 to 1.
    """

    key: axes.LegendKey
    recalls: tuple[float, ...]


def recall_plot(
    curves: Sequence[Curve], depths: Sequence[int], height: float = axes.plot_height(1)
) -> str:
    """Plot recall against the number of documents that are read.

    Curves are shifted slightly sideways, so that equal ones stay visible.

    Args:
        curves: One per system.
        depths: Two or more numbers of documents.
        height: The height of the plot; it grows if the names need more.
    """
    values = [value for curve in curves for value in curve.recalls]
    ticks = unit_ticks(min(values), max(values), least=0.1)
    labels = [svg.wrap(curve.key.label, _NAMES - 16) for curve in curves]
    step = 4 + svg.LINE * max(map(len, labels))
    height = max(height, axes.TOP + axes.AXIS + step * len(curves))
    left, bottom = axes.label_margin([tick.label for tick in ticks]), height - axes.AXIS
    y = Scale(ticks[0].value, ticks[-1].value, bottom, axes.TOP)
    aside = min(_ASIDE, 24 / max(1, len(curves) - 1))
    half = aside * (len(curves) - 1) / 2
    right = svg.WIDTH - _NAMES - 16
    x = Scale(0, len(depths) - 1, left + half + 6, right - half)
    named = [Tick(i, str(depth)) for i, depth in enumerate(depths)]
    parts = [
        *axes.y_axis(y, ticks, left, "Recall@k, from 0 to 1", right + 6),
        *axes.x_axis(x, named, bottom, bottom, "k, documents read"),
    ]
    ends = [y(curve.recalls[-1]) for curve in curves]
    names = spread(ends, step, axes.TOP, bottom - svg.LINE)
    for i, curve in enumerate(curves):
        shift = aside * i - half
        places = [(x(k) + shift, y(value)) for k, value in enumerate(curve.recalls)]
        parts += [_curve(curve, depths, places), svg.mark(curve.key.style, right + 22, names[i])]
        parts.append(svg.text_lines(right + 32, names[i], labels[i]))
    return svg.plot("Recall", [_describe(curve, depths) for curve in curves], height, *parts)


def _curve(curve: Curve, depths: Sequence[int], places: Sequence[tuple[float, float]]) -> str:
    points = " ".join(f"{svg.coordinate(x)},{svg.coordinate(y)}" for x, y in places)
    marks = [
        svg.element(
            "g",
            svg.tooltip(f"{curve.key.label}: Recall@{depth} {measure(value)}"),
            svg.mark(curve.key.style, *place, size=_MARK),
        )
        for depth, value, place in zip(depths, curve.recalls, places, strict=True)
    ]
    return svg.element(
        "g",
        svg.element("polyline", points=points, class_="curve"),
        *marks,
        class_=f"s{curve.key.style}",
    )


def _describe(curve: Curve, depths: Sequence[int]) -> str:
    pairs = zip(depths, curve.recalls, strict=True)
    return f"{curve.key.label}: " + ", ".join(f"{measure(value)} at {k}" for k, value in pairs)
