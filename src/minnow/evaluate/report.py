"""A comparison as one HTML page that needs nothing else: no script, no network."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from minnow.evaluate.metrics import MEASURES
from minnow.evaluate.results import DEPTH, HEADLINE
from minnow.reporting import numbers, plots
from minnow.reporting.pages import isolated, render, short_name, write_page

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from minnow.evaluate.metrics import Verdict
    from minnow.evaluate.results import Against, Comparison, Fidelity, RankChange, SystemResult

    Rated = tuple[plots.Key, SystemResult, Against]

ROOM = "minnow.evaluate"
_DEPTHS = (1, 3, 5, 10)
_SHOWN_CHANGES = 10
_HIGHEST = 360.0


def write_report(comparison: Comparison, path: Path) -> None:
    """Write a page, under a temporary name until it is whole.

    Args:
        comparison: What to show.
        path: The file; an older one is replaced.

    Raises:
        OutputError: It cannot be written; an older one is kept.
        MissingExtraError: The extra `evaluate` is not installed.
    """
    write_page(render_report(comparison), path)


def render_report(comparison: Comparison) -> str:
    """The page.

    Raises:
        MissingExtraError: The extra `evaluate` is not installed.
    """
    values = {
        "comparison": comparison,
        "baseline": comparison.baseline,
        "rated": _rated(comparison),
        "margin": f"{_margin(comparison):g}",
        "measures": MEASURES,
        "headline": HEADLINE,
        "title": _title(comparison),
        "plots": _plots(comparison),
        "greatest": _greatest,
        "each": _EACH,
    }
    return render(
        "report.html.jinja",
        values,
        room=ROOM,
        filters={"without": _without, "place": partial(numbers.place, depth=DEPTH)},
    )


# --- words -------------------------------------------------------------------------------


_ONE: dict[Verdict, str] = {
    "better": "{candidate} is better than {baseline}",
    "equivalent": "{candidate} is equivalent to {baseline}, within the margin of {margin:g}",
    "worse": "{candidate} is worse than {baseline}",
    "too few queries to tell": "There are too few queries to tell {candidate} from {baseline}",
}
_SEVERAL: dict[Verdict, str] = {
    "better": "better",
    "equivalent": "equivalent",
    "worse": "worse",
    "too few queries to tell": "with too few queries to tell",
}
_EACH: dict[Verdict, tuple[str, str]] = {
    "better": ("", " is better"),
    "equivalent": ("", " is equivalent within the margin"),
    "worse": ("", " is worse"),
    "too few queries to tell": ("For ", " there are too few queries to tell"),
}


def _margin(comparison: Comparison) -> float:
    """Measures are from 0 to 1, so that a larger margin says no more."""
    return min(comparison.margin, 1.0)


def _title(comparison: Comparison) -> str:
    """What came out, in one line."""
    baseline = isolated(short_name(comparison.baseline.label))
    rated = _rated(comparison)
    if len(rated) == 1:
        ((_, candidate, against),) = rated
        return _ONE[against.verdict].format(
            candidate=isolated(short_name(candidate.label)),
            baseline=baseline,
            margin=_margin(comparison),
        )
    found = Counter(against.verdict for _, _, against in rated)
    told = ", ".join(
        f"{found[verdict]}\N{NO-BREAK SPACE}{words}"
        for verdict, words in _SEVERAL.items()
        if verdict in found
    )
    return f"{len(rated)} systems against {baseline}: {told}"


def _without(fidelity: Fidelity) -> int:
    """How many texts have no cosine; a vector of length 0 has no direction."""
    return int(np.count_nonzero(~np.isfinite(fidelity.cosines)))


def _greatest(changes: Sequence[RankChange]) -> list[tuple[str, list[RankChange]]]:
    """Losses and gains, the greatest first: how many there are, and some of them."""
    losses = [change for change in changes if change.gain < 0]
    gains = [change for change in reversed(changes) if change.gain > 0]
    groups = []
    for found, one, several in ((losses, "loss", "losses"), (gains, "gain", "gains")):
        title = f"{numbers.count(len(found))} {one if len(found) == 1 else several}"
        if len(found) > _SHOWN_CHANGES:
            title += f", the greatest {_SHOWN_CHANGES}"
        if found:
            groups.append((title, found[:_SHOWN_CHANGES]))
    return groups


# --- plots -------------------------------------------------------------------------------


def _rated(comparison: Comparison) -> list[Rated]:
    """Each candidate with how it looks and how it compares."""
    return [
        (_key(system, position), system, system.against)
        for position, system in enumerate(comparison.systems)
        if system.against is not None
    ]


def _key(system: SystemResult, position: int) -> plots.Key:
    return plots.Key(system.label, plots.look_of(position))


def _plots(comparison: Comparison) -> dict[str, str]:
    """The plots by name; one for which there is nothing to show is not there."""
    rated = _rated(comparison)
    height = plots.height_for(len(rated))
    closeness = _closeness(comparison, rated, min(height, _HIGHEST))
    found = {
        "intervals": _differences(comparison, rated),
        "recall": _recall(comparison, min(height, _HIGHEST)),
        "gains": plots.gains_plot([_gains(*one) for one in rated]),
        "quality": "" if closeness else _quality(comparison),
        "closeness": closeness,
        "cosines": _cosines(rated, height),
    }
    return {name: plot for name, plot in found.items() if plot}


def _differences(comparison: Comparison, rated: Sequence[Rated]) -> str:
    ranges = []
    for key, _, against in rated:
        interval = against.differences[HEADLINE].interval
        ends = interval.difference, interval.low, interval.high
        ranges.append(plots.Range(key, *ends, against.verdict))
    return plots.intervals_plot(ranges, HEADLINE, _margin(comparison))


def _recall(comparison: Comparison, height: float) -> str:
    curves = []
    for position, system in enumerate(comparison.systems):
        means = system.scores.means
        recalls = tuple(means[f"Recall@{depth}"] for depth in _DEPTHS)
        curves.append(plots.Curve(_key(system, position), recalls))
    return plots.recall_plot(curves, _DEPTHS, height)


def _gains(key: plots.Key, system: SystemResult, against: Against) -> plots.Gains:
    changed = tuple(plots.Gain(change.query, change.gain) for change in against.changes)
    return plots.Gains(key, changed, len(system.scores.queries))


def _closeness(comparison: Comparison, rated: Sequence[Rated], height: float) -> str:
    points = [
        plots.Point(key, system.size, against.documents.mean, against.documents.minimum)
        for key, system, against in rated
        if against.documents and np.isfinite(against.documents.mean) and system.size > 0
    ]
    baseline = comparison.baseline
    if not points or baseline.size <= 0:
        return ""
    return plots.fidelity_plot(points, plots.Point(_key(baseline, 0), baseline.size, 1), height)


def _quality(comparison: Comparison) -> str:
    """For systems of different models, whose vectors do not compare."""
    points = [
        plots.Point(_key(system, position), system.size, system.scores.means[HEADLINE])
        for position, system in enumerate(comparison.systems)
        if system.size > 0
    ]
    return plots.quality_plot(points, HEADLINE) if points else ""


def _cosines(rated: Sequence[Rated], height: float) -> str:
    rows = []
    for key, _, against in rated:
        if against.documents:
            cosines = against.documents.cosines
            without = _without(against.documents)
            rows.append(plots.Cosines(key, cosines[np.isfinite(cosines)], without))
    rows = [row for row in rows if row.values.size]
    return plots.histogram_plot(rows, "documents", height) if rows else ""
