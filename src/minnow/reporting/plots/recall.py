"""Recall curves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.reporting.numbers import measure
from minnow.reporting.plots.axes import AXIS, TOP, Key, height_for, room_for, x_axis, y_axis
from minnow.reporting.plots.scales import Scale, Tick, part_ticks, spread
from minnow.reporting.plots.svg import (
    LINE,
    WIDTH,
    coordinate,
    element,
    mark,
    plot,
    text_lines,
    tooltip,
    wrap,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMES = 128
_ASIDE = 4.0
_MARK = 0.75


@dataclass(frozen=True)
class Curve:
    """How much a system finds.

    Attributes:
        key: Which.
        recalls: For each number of documents looked at, from 0 to 1.
    """

    key: Key
    recalls: tuple[float, ...]


def recall_plot(
    curves: Sequence[Curve], depths: Sequence[int], height: float = height_for(1)
) -> str:
    """Recall by the number of documents that are looked at.

    Curves stand a little beside each other, so that equal ones are all to be seen.

    Args:
        curves: One per system.
        depths: The numbers of documents, two or more.
        height: Of the plot; more where the names need it.
    """
    values = [value for curve in curves for value in curve.recalls]
    ticks = part_ticks(min(values), max(values), least=0.1)
    labels = [wrap(curve.key.label, _NAMES - 16) for curve in curves]
    step = 4 + LINE * max(map(len, labels))
    height = max(height, TOP + AXIS + step * len(curves))
    left, bottom = room_for([tick.label for tick in ticks]), height - AXIS
    y = Scale(ticks[0].value, ticks[-1].value, bottom, TOP)
    aside = min(_ASIDE, 24 / max(1, len(curves) - 1))
    half = aside * (len(curves) - 1) / 2
    right = WIDTH - _NAMES - 16
    x = Scale(0, len(depths) - 1, left + half + 6, right - half)
    named = [Tick(i, str(depth)) for i, depth in enumerate(depths)]
    parts = [
        *y_axis(y, ticks, left, "Recall@k, from 0 to 1", right + 6),
        *x_axis(x, named, bottom, bottom, "k, documents looked at"),
    ]
    ends = [y(curve.recalls[-1]) for curve in curves]
    names = spread(ends, step, TOP, bottom - LINE)
    for i, curve in enumerate(curves):
        shift = aside * i - half
        places = [(x(k) + shift, y(value)) for k, value in enumerate(curve.recalls)]
        parts += [_curve(curve, depths, places), mark(curve.key.look, right + 22, names[i])]
        parts.append(text_lines(right + 32, names[i], labels[i]))
    return plot("Recall", [_told(curve, depths) for curve in curves], height, *parts)


def _curve(curve: Curve, depths: Sequence[int], places: Sequence[tuple[float, float]]) -> str:
    points = " ".join(f"{coordinate(x)},{coordinate(y)}" for x, y in places)
    marks = [
        element(
            "g",
            tooltip(f"{curve.key.label}: Recall@{depth} {measure(value)}"),
            mark(curve.key.look, *place, size=_MARK),
        )
        for depth, value, place in zip(depths, curve.recalls, places, strict=True)
    ]
    return element(
        "g", element("polyline", points=points, class_="curve"), *marks, class_=f"s{curve.key.look}"
    )


def _told(curve: Curve, depths: Sequence[int]) -> str:
    pairs = zip(depths, curve.recalls, strict=True)
    return f"{curve.key.label}: " + ", ".join(f"{measure(value)} at {k}" for k, value in pairs)
