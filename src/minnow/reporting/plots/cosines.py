"""Histograms of cosines to the baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minnow.reporting.numbers import cosine, count
from minnow.reporting.plots.axes import (
    AXIS,
    RIGHT,
    TOP,
    LegendKey,
    band_header,
    label_margin,
    plot_height,
    split_into_bands,
    x_axis,
    y_title,
)
from minnow.reporting.plots.scales import Scale, from_nines, nines, nines_ticks, round_ticks
from minnow.reporting.plots.svg import element, line, plot, text, tooltip

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

    key: LegendKey
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
    height = plot_height(len(rows)) if height is None else height
    ticks = nines_ticks([nines(end) for row in rows for end in row.ends])
    edges = np.linspace(ticks[0].value, ticks[-1].value, _BINS + 1)
    counts = [_counts(row.values, edges) for row in rows]
    most = round_ticks(0, max(100 * float(n.max() / n.sum()) for n in counts))[-1].value
    x = Scale(ticks[0].value, ticks[-1].value, label_margin(["100"]), RIGHT)
    parts = [
        y_title(f"Share of the {texts}, %"),
        *x_axis(x, ticks, TOP, height - AXIS, "Cosine to the baseline"),
    ]
    for band, row, numbers in zip(split_into_bands(height, len(rows)), rows, counts, strict=True):
        y = Scale(0, most, band.bottom, band.bars)
        parts += [*band_header(band, row.key, row.mean), *_axis(y, x.start)]
        parts.append(_bars(row.key, numbers, edges, texts, x, y))
    return plot("Cosines to the baseline", [_describe(row) for row in rows], height, *parts)


def _counts(values: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.int64]:
    found = np.clip([nines(float(value)) for value in values], edges[0], edges[-1])
    return np.histogram(found, edges)[0].astype(np.int64)


def _axis(y: Scale, left: float) -> list[str]:
    return [
        line(left, y.end, RIGHT, y.end, "grid"),
        line(left, y.start, RIGHT, y.start, "axis"),
        text(left - 6, y.end + 8, f"{y.high:g}", "quiet", "end"),
        text(left - 6, y.start + 2, "0", "quiet", "end"),
    ]


def _bars(
    key: LegendKey,
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
                element(
                    "rect",
                    tooltip(f"{ends}: {count(number)} {texts} ({100 * number / total:.1f} %)"),
                    x=left + 0.5,
                    y=top,
                    width=right - left - 1,
                    height=y.start - top,
                )
            )
    return element("g", *bars, class_=f"bars s{key.style}")


def _describe(row: Cosines) -> str:
    low, high = map(cosine, row.ends)
    return f"{row.key.label}: {row.mean}, from {low} to {high}"
