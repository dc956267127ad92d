"""How cosines to the baseline are spread."""

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
    Key,
    band_head,
    bands,
    height_for,
    room_for,
    x_axis,
    y_title,
)
from minnow.reporting.plots.scales import Scale, cosine_of, nines, nines_ticks, round_ticks
from minnow.reporting.plots.svg import element, line, plot, text, tooltip

if TYPE_CHECKING:
    from collections.abc import Sequence

_BINS = 28


@dataclass(frozen=True)
class Cosines:
    """The cosines of a system's vectors with the baseline's.

    Attributes:
        key: Which system.
        values: Of shape (texts,), at least one.
        without: How many texts have no cosine, as one of their vectors has no direction.
    """

    key: Key
    values: NDArray[np.float64]
    without: int = 0

    @property
    def mean(self) -> str:
        """The mean, or that it cannot be told."""
        if self.without:
            return f"{count(self.without)} without a cosine"
        return f"mean {cosine(float(self.values.mean()))}"

    @property
    def ends(self) -> tuple[float, float]:
        """The least and the greatest."""
        return float(self.values.min()), float(self.values.max())


def histogram_plot(rows: Sequence[Cosines], texts: str, height: float | None = None) -> str:
    """How many texts have which cosine to the baseline, on a scale of nines.

    Args:
        rows: One per candidate.
        texts: What was embedded, such as "documents".
        height: Of the plot; by default as `height_for` the rows.
    """
    height = height_for(len(rows)) if height is None else height
    ticks = nines_ticks([nines(end) for row in rows for end in row.ends])
    edges = np.linspace(ticks[0].value, ticks[-1].value, _BINS + 1)
    counts = [_counts(row.values, edges) for row in rows]
    most = round_ticks(0, max(100 * float(n.max() / n.sum()) for n in counts))[-1].value
    x = Scale(ticks[0].value, ticks[-1].value, room_for(["100"]), RIGHT)
    parts = [
        y_title(f"Share of the {texts}, %"),
        *x_axis(x, ticks, TOP, height - AXIS, "Cosine to the baseline"),
    ]
    for band, row, numbers in zip(bands(height, len(rows)), rows, counts, strict=True):
        y = Scale(0, most, band.bottom, band.bars)
        parts += [*band_head(band, row.key, row.mean), *_axis(y, x.start)]
        parts.append(_bars(row.key, numbers, edges, texts, x, y))
    return plot("Cosines to the baseline", [_told(row) for row in rows], height, *parts)


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
    key: Key,
    numbers: NDArray[np.int64],
    edges: NDArray[np.float64],
    texts: str,
    x: Scale,
    y: Scale,
) -> str:
    bars, total = [], int(numbers.sum())
    for i, number in enumerate(map(int, numbers)):
        if number:
            ends = f"{cosine(cosine_of(edges[i]))} to {cosine(cosine_of(edges[i + 1]))}"
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
    return element("g", *bars, class_=f"bars s{key.look}")


def _told(row: Cosines) -> str:
    least, greatest = map(cosine, row.ends)
    return f"{row.key.label}: {row.mean}, from {least} to {greatest}"
