"""A quantity of each system with the range of its measurements."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.reporting.plots import axes, svg
from minnow.reporting.plots.scales import Scale, log_ticks, round_ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROW = 44.0
_LEFT = 16.0
_LOG_RATIO = 8.0
"""The ratio of maximum to minimum from which the axis is logarithmic."""


@dataclass(frozen=True)
class Span:
    """A quantity above 0 that was measured several times.

    Attributes:
        key: The system's name and style.
        low: The minimum.
        value: The median.
        high: The maximum.
        words: The median as text.
    """

    key: axes.LegendKey
    low: float
    value: float
    high: float
    words: str


def spans_plot(spans: Sequence[Span], title: str, axis: str) -> str:
    """Plot a mark at each system's median, and a line from the minimum to the maximum.

    The axis begins at 0, or is logarithmic if the values are far apart.

    Args:
        spans: One per system.
        title: The title of the plot.
        axis: The title of the axis, with the unit.
    """
    height = axes.plot_height(len(spans), _ROW)
    low, high = min(span.low for span in spans), max(span.high for span in spans)
    logarithmic = high > _LOG_RATIO * low
    place = math.log10 if logarithmic else float
    ticks = log_ticks(low, high) if logarithmic else round_ticks(0, high)
    x = Scale(ticks[0].value, ticks[-1].value, _LEFT, axes.RIGHT - _LEFT)
    name = f"{axis}, logarithmic" if logarithmic else axis
    parts = axes.x_axis(x, ticks, axes.TOP - 8, height - axes.AXIS, name)
    for span, band in zip(spans, axes.split_into_bands(height, len(spans)), strict=True):
        y = (band.bars + band.bottom) / 2
        start, middle, end = (x(place(each)) for each in (span.low, span.value, span.high))
        parts += axes.band_header(band, span.key, span.words)
        parts.append(
            svg.element(
                "g",
                svg.tooltip(f"{span.key.label}: {span.words}"),
                axes.hover_target(x.start, band.top, x.end - x.start, band.bottom - band.top),
                svg.line(start, y, end, y, "range"),
                svg.mark(span.key.style, middle, y),
                class_=f"s{span.key.style}",
            )
        )
    return svg.plot(title, [f"{span.key.label}: {span.words}" for span in spans], height, *parts)
