"""Histograms of cosines to the baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minnow.reporting.numbers import cosine, count
from minnow.reporting.plots import axes, svg
from minnow.reporting.plots.scales import Scale, from_nines, nines, nines_ticks, round_ticks

if TYPE_CHECKING:
    from collections.abc import Sequence

_BINS = 28


@dataclass(frozen=True)
class Cosines:
    """The cosines of a system's vectors with the baseline's.

    Attributes:
        key: Its name and style.
        values: Of shape (texts,), at least one.
        undefined: Number of texts without a cosine, because a vector has length 0.
    """

    key: axes.LegendKey
    values: NDArray[np.float64]
    undefined: int = 0

    @property
    def mean(self) -> str:
        """The mean, or how many texts have no cosine."""
        if self.undefined:
            return f"{count(self.undefined)} without a cosine"
        return f"mean {cosine(float(self.values.mean()))}"

    @property
    def ends(self) -> tuple[float, float]:
        """The minimum and the maximum."""
        return float(self.values.min()), float(self.values.max())


def histogram_plot(rows: Sequence[Cosines], texts: str, height: float | None = None) -> str:
    """Plot the distribution of cosines to the baseline, on a scale of nines.

    Args:
        rows: One per candidate.
        texts: What was embedded, such as "documents".
        height: The height of the plot; by default `plot_height` of the rows.
    """
    height = axes.plot_height(len(rows)) if height is None else height
    ticks = nines_ticks([nines(end) for row in rows for end in row.ends])
    edges = np.linspace(ticks[0].value, ticks[-1].value, _BINS + 1)
    counts = [_counts(row.values, edges) for row in rows]
    most = round_ticks(0, max(100 * float(n.max() / n.sum()) for n in counts))[-1].value
    x = Scale(ticks[0].value, ticks[-1].value, axes.label_margin(["100"]), axes.RIGHT)
    parts = [
        axes.y_title(f"Share of the {texts}, %"),
        *axes.x_axis(x, ticks, axes.TOP, height - axes.AXIS, "Cosine to the baseline"),
    ]
    for band, row, numbers in zip(
        axes.split_into_bands(height, len(rows)), rows, counts, strict=True
    ):
        y = Scale(0, most, band.bottom, band.bars)
        parts += [*axes.band_header(band, row.key, row.mean), *_axis(y, x.start)]
        parts.append(_bars(row.key, numbers, edges, texts, x, y))
    return svg.plot("Cosines to the baseline", [_describe(row) for row in rows], height, *parts)


def _counts(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    found = np.clip([nines(float(value)) for value in values], edges[0], edges[-1])
    return np.histogram(found, edges)[0].astype(np.int64)


def _axis(y: Scale, left: float) -> list[str]:
    return [
        svg.line(left, y.end, axes.RIGHT, y.end, "grid"),
        svg.line(left, y.start, axes.RIGHT, y.start, "axis"),
        svg.text(left - 6, y.end + 8, f"{y.high:g}", "quiet", "end"),
        svg.text(left - 6, y.start + 2, "0", "quiet", "end"),
    ]


def _bars(
    key: axes.LegendKey,
    numbers: NDArray[np.int64],
    edges: NDArray[np.float64],
    texts: str,
    x: Scale,
    y: Scale,
) -> str:
    bars, total = [], int(numbers.sum())
    for i, number in enumerate(map(int, numbers)):
        if number:
            ends = f"{cosine(from_nines(edges[i]))} to {cosine(from_nines(edges[i + 1]))}"
            left, right, top = x(edges[i]), x(edges[i + 1]), y(100 * number / total)
            top = min(top, y.start - 1)
            bars.append(
                svg.element(
                    "rect",
                    svg.tooltip(f"{ends}: {count(number)} {texts} ({100 * number / total:.1f} %)"),
                    x=left + 0.5,
                    y=top,
                    width=right - left - 1,
                    height=y.start - top,
                )
            )
    return svg.element("g", *bars, class_=f"bars s{key.style}")


def _describe(row: Cosines) -> str:
    low, high = map(cosine, row.ends)
    return f"{row.key.label}: {row.mean}, from {low} to {high}"
