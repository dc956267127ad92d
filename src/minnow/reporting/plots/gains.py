"""Gains and losses of single queries."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.reporting.numbers import count, shorten, signed
from minnow.reporting.plots import axes, svg
from minnow.reporting.plots.scales import Scale

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEFT = 44
_MAX_BARS = 80
_MAX_WIDTH = 14.0
_ROW = 84


@dataclass(frozen=True)
class Gain:
    """A query, and the change of its reciprocal rank."""

    query: str
    value: float


@dataclass(frozen=True)
class Gains:
    """The queries that a candidate changed.

    Attributes:
        key: The candidate's name and style.
        changed: The queries that changed, the largest loss first.
        queries: The number of all queries.
    """

    key: axes.LegendKey
    changed: tuple[Gain, ...]
    queries: int

    @property
    def words(self) -> str:
        """The numbers of losses, gains and unchanged queries."""
        lost = sum(gain.value < 0 for gain in self.changed)
        same = self.queries - len(self.changed)
        gained = len(self.changed) - lost
        return f"{count(lost)} lost, {count(gained)} gained, {count(same)} unchanged"


def gains_plot(rows: Sequence[Gains], height: float | None = None) -> str:
    """Plot the change of the reciprocal rank of each query, losses left and gains right.

    Queries that did not change are counted and have no bar. If there are very many others, a bar
    is the mean of several.
    """
    height = axes.plot_height(len(rows), _ROW) if height is None else height
    most = max(len(row.changed) for row in rows)
    limit = 1.0 if any(abs(g.value) > 0.5 for row in rows for g in row.changed) else 0.5
    each = max(1, math.ceil(most / _MAX_BARS))
    width = min(_MAX_WIDTH, (axes.RIGHT - _LEFT) / (math.ceil(most / each) + 1))
    what = "Queries that changed" if each == 1 else f"Queries that changed, {each} per bar"
    parts = [axes.y_title("Change of the reciprocal rank, candidate minus baseline")]
    for band, row in zip(axes.split_into_bands(height, len(rows)), rows, strict=True):
        y = Scale(-limit, limit, band.bottom, band.bars + svg.LINE)
        parts += [*axes.band_header(band, row.key), *_axis(y)]
        parts.append(svg.text(16, band.top + svg.FONT + svg.LINE, row.words, "quiet halo"))
        parts.append(_bars(row, each, width, y))
    parts += [
        svg.text(_LEFT, height - 22, "lost", "quiet"),
        svg.text(axes.RIGHT, height - 22, "gained", "quiet", "end"),
        svg.text(axes.RIGHT, height - 6, what, "quiet", "end"),
    ]
    facts = [f"{row.key.label}: {row.words}" for row in rows]
    return svg.plot("Gains and losses by query", facts, height, *parts)


def _axis(y: Scale) -> list[str]:
    parts = [svg.line(_LEFT, y(0), axes.RIGHT, y(0), "axis")]
    for value, at in ((y.high, y.end + 8), (y.low, y.start)):
        parts.append(svg.text(_LEFT - 6, at, f"{value:+g}".replace("-", "−"), "quiet", "end"))
    return parts


def _bars(row: Gains, each: int, width: float, y: Scale) -> str:
    losses = [gain for gain in row.changed if gain.value < 0]
    gains = [gain for gain in reversed(row.changed) if gain.value > 0]
    lost = [
        _bar(group, _LEFT + i * width, width, y) for i, group in enumerate(_groups(losses, each))
    ]
    gained = [
        _bar(group, axes.RIGHT - (i + 1) * width, width, y)
        for i, group in enumerate(_groups(gains, each))
    ]
    return svg.element("g", *lost, *gained)


def _groups(gains: Sequence[Gain], each: int) -> list[Sequence[Gain]]:
    return [gains[i : i + each] for i in range(0, len(gains), each)]


def _bar(group: Sequence[Gain], x: float, width: float, y: Scale) -> str:
    mean = sum(gain.value for gain in group) / len(group)
    name = shorten(group[0].query, 40) if len(group) == 1 else f"mean of {len(group)} queries"
    end = y(mean)
    top, bottom = (end, y(0)) if mean > 0 else (y(0), end)
    gap = min(1.0, width / 5)
    return svg.element(
        "rect",
        svg.tooltip(f"{name}: {signed(mean)}"),
        x=x + gap / 2,
        y=top,
        width=width - gap,
        height=max(1.5, bottom - top),
        class_="gain" if mean > 0 else "loss",
    )
