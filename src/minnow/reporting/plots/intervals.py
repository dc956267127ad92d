"""Differences to the baseline with their confidence intervals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.reporting.numbers import interval, signed
from minnow.reporting.plots import axes, svg
from minnow.reporting.plots.scales import Scale, round_ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMES = 118
_TOP = 26
_ROW = 34
_MIN_SHOWN = 0.001


@dataclass(frozen=True)
class Range:
    """A difference to the baseline.

    Attributes:
        key: The candidate's name and style.
        value: Candidate minus baseline.
        low: Lower end of its 95 % interval.
        high: Upper end.
        verdict: The verdict on it.
    """

    key: axes.LegendKey
    value: float
    low: float
    high: float
    verdict: str

    @property
    def words(self) -> str:
        """The difference, its interval and its verdict."""
        ends = interval(self.low, self.high)
        return f"{self.key.label}: {signed(self.value)} (95 % interval {ends}), {self.verdict}"


def intervals_plot(ranges: Sequence[Range], name: str, margin: float) -> str:
    """Plot differences on a measure with their intervals, above a band as wide as the margin.

    Args:
        ranges: One per candidate.
        name: The name of the measure.
        margin: The largest difference that does not matter, at most 1.
    """
    bottom = _TOP + _ROW * len(ranges) + 4
    ends = [end for item in ranges for end in (item.low, item.high)]
    shown = max(1.2 * margin, _MIN_SHOWN)
    ticks = round_ticks(min(*ends, -shown), max(*ends, shown), most=5, sign=True)
    x = Scale(ticks[0].value, ticks[-1].value, _NAMES + 8, svg.WIDTH - 20)
    parts = [
        _band(x(-margin), x(margin), bottom, margin),
        *axes.x_axis(x, ticks, _TOP, bottom, f"{name}, candidate minus baseline"),
        svg.line(x(0), _TOP, x(0), bottom, "zero"),
    ]
    for i, item in enumerate(ranges):
        parts += _row(item, x, _TOP + _ROW * (i + 0.5) + 2)
    facts = [*(item.words for item in ranges), f"the margin is {margin:g}"]
    return svg.plot(f"Difference in {name}", facts, bottom + axes.AXIS, *parts)


def _band(start: float, end: float, bottom: float, margin: float) -> str:
    size = {"width": max(1.0, end - start), "height": bottom - _TOP}
    words = svg.tooltip(f"Differences up to {margin:g} do not matter")
    return svg.element("rect", words, x=start, y=_TOP, **size, class_="band")


def _row(item: Range, x: Scale, y: float) -> list[str]:
    return [
        svg.text_lines(0, y, svg.wrap(item.key.label, _NAMES)),
        svg.element(
            "g",
            svg.tooltip(item.words),
            axes.hover_target(x.start, y - _ROW / 2, x.end - x.start, _ROW),
            svg.line(x(item.low), y, x(item.high), y, "range"),
            svg.mark(item.key.style, x(item.value), y),
            class_=f"s{item.key.style}",
        ),
    ]
