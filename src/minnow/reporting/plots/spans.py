"""A figure of each system, and how far it went up and down from one measurement to the next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.reporting.plots.axes import (
    AXIS,
    RIGHT,
    TOP,
    Key,
    band_head,
    bands,
    height_for,
    target,
    x_axis,
)
from minnow.reporting.plots.scales import Scale, log_ticks, round_ticks
from minnow.reporting.plots.svg import element, line, mark, plot, tooltip

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROW = 44.0
_LEFT = 16.0
_WIDE = 8.0
"""From how many times the least on values are shown by their logarithms."""


@dataclass(frozen=True)
class Span:
    """A figure, measured several times; above 0.

    Attributes:
        key: Whose.
        low: The least.
        value: The middle one.
        high: The greatest.
        words: The middle one, for people.
    """

    key: Key
    low: float
    value: float
    high: float
    words: str


def spans_plot(spans: Sequence[Span], title: str, axis: str) -> str:
    """A mark at the middle of each system's figure, and a line from the least to the greatest.

    The axis begins at 0, or is logarithmic where the figures lie far apart.

    Args:
        spans: One per system.
        title: Of the plot.
        axis: What the figures are, and in what unit.
    """
    height = height_for(len(spans), _ROW)
    low, high = min(span.low for span in spans), max(span.high for span in spans)
    logarithmic = high > _WIDE * low
    place = math.log10 if logarithmic else float
    ticks = log_ticks(low, high) if logarithmic else round_ticks(0, high)
    x = Scale(ticks[0].value, ticks[-1].value, _LEFT, RIGHT - _LEFT)
    name = f"{axis}, logarithmic" if logarithmic else axis
    parts = x_axis(x, ticks, TOP - 8, height - AXIS, name)
    for span, band in zip(spans, bands(height, len(spans)), strict=True):
        y = (band.bars + band.bottom) / 2
        start, middle, end = (x(place(each)) for each in (span.low, span.value, span.high))
        parts += band_head(band, span.key, span.words)
        parts.append(
            element(
                "g",
                tooltip(f"{span.key.label}: {span.words}"),
                target(x.start, band.top, x.end - x.start, band.bottom - band.top),
                line(start, y, end, y, "range"),
                mark(span.key.look, middle, y),
                class_=f"s{span.key.look}",
            )
        )
    return plot(title, [f"{span.key.label}: {span.words}" for span in spans], height, *parts)
