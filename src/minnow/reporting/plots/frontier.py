"""Forms of one model by size and fidelity, and the line of those that no other outdoes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.reporting.numbers import cosine
from minnow.reporting.plots.axes import height_for
from minnow.reporting.plots.scales import nines, nines_ticks
from minnow.reporting.plots.size import Spot, against_size, words_of
from minnow.reporting.plots.svg import plot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.reporting.plots.size import Point


def frontier_plot(
    points: Sequence[Point],
    best: Sequence[Point],
    baseline: Point,
    height: float = height_for(1),
) -> str:
    """How near to the baseline's vectors the forms are, and how large.

    One less the cosine is on a logarithmic scale, turned so that nearer is higher.

    Args:
        points: All forms; `value` is the mean cosine.
        best: Those of them on the frontier, the smallest first.
        baseline: What they are compared with, a line at its size.
        height: Of the plot.
    """
    spots = [_spot(point, on_frontier=point in best) for point in points]
    words = f"{words_of(baseline)}, the baseline"
    drawing = against_size(
        spots,
        nines_ticks([spot.y for spot in spots]),
        "Mean cosine, by 1 \N{MINUS SIGN} cosine (log scale)",
        height,
        Spot(baseline.key, baseline.size, 0, 0, words),
        [_spot(point, on_frontier=True) for point in best],
    )
    facts = [*(spot.words for spot in spots), words]
    return plot("Fidelity against size", facts, height, *drawing)


def _spot(point: Point, *, on_frontier: bool) -> Spot:
    words = f"{words_of(point)}, mean cosine {cosine(point.value)}"
    words += ", on the frontier" if on_frontier else ""
    return Spot(point.key, point.size, nines(point.value), nines(point.value), words)
