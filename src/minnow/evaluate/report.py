"""The HTML page of a comparison."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from minnow.evaluate.metrics import HEADLINE, MEASURES
from minnow.evaluate.results import DEPTH
from minnow.reporting import numbers, plots
from minnow.reporting.pages import isolate, render, shorten_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.evaluate.bootstrap import Verdict
    from minnow.evaluate.results import Against, Comparison, RankChange, SystemResult

    Candidates = Sequence[tuple[plots.LegendKey, SystemResult, Against]]

_DEPTHS = (1, 3, 5, 10)
_SHOWN_CHANGES = 10
_MAX_HEIGHT = 360.0


def render_report(comparison: Comparison) -> str:
    """Return the page of a comparison.

    Raises:
        MissingExtraError: The extra `evaluate` is not installed.
    """
    values = {
        "comparison": comparison,
        "baseline": comparison.baseline,
        "candidates": comparison.candidates,
        "margin": f"{_margin(comparison):g}",
        "measures": MEASURES,
        "headline": HEADLINE,
        "title": _title(comparison),
        "plots": _plots(comparison),
        "largest": _largest_changes,
        "sentences": _SENTENCES,
    }
    return render("minnow.evaluate", values, {"rank": partial(numbers.rank, depth=DEPTH)})


# --- words -------------------------------------------------------------------------------


_TITLES: dict[Verdict, str] = {
    "better": "{candidate} is better than {baseline}",
    "equivalent": "{candidate} is equivalent to {baseline}, within the margin of {margin:g}",
    "worse": "{candidate} is worse than {baseline}",
    "too few queries to tell": "There are too few queries to tell {candidate} from {baseline}",
}
_SENTENCES: dict[Verdict, tuple[str, str]] = {
    "better": ("", " is better"),
    "equivalent": ("", " is equivalent within the margin"),
    "worse": ("", " is worse"),
    "too few queries to tell": ("For ", " there are too few queries to tell"),
}


def _margin(comparison: Comparison) -> float:
    """Return the margin, at most 1, because measures are from 0 to 1."""
    return min(comparison.margin, 1.0)


def _title(comparison: Comparison) -> str:
    """Return the result in one line."""
    baseline = isolate(shorten_name(comparison.baseline.label))
    candidates = _candidates(comparison)
    if len(candidates) == 1:
        ((_, candidate, against),) = candidates
        return _TITLES[against.verdict].format(
            candidate=isolate(shorten_name(candidate.label)),
            baseline=baseline,
            margin=_margin(comparison),
        )
    found = Counter(against.verdict for _, _, against in candidates)
    verdicts = ", ".join(
        f"{found[verdict]}\N{NO-BREAK SPACE}{'with ' * verdict.startswith('too few')}{verdict}"
        for verdict in _TITLES
        if verdict in found
    )
    return f"{len(candidates)} systems against {baseline}: {verdicts}"


def _largest_changes(changes: Sequence[RankChange]) -> list[tuple[str, list[RankChange]]]:
    """Return losses and gains, the largest first, each group with a title that counts them."""
    losses = [change for change in changes if change.gain < 0]
    gains = [change for change in reversed(changes) if change.gain > 0]
    groups = []
    for found, one, several in ((losses, "loss", "losses"), (gains, "gain", "gains")):
        title = f"{numbers.count(len(found))} {one if len(found) == 1 else several}"
        if len(found) > _SHOWN_CHANGES:
            title += f", the largest {_SHOWN_CHANGES}"
        if found:
            groups.append((title, found[:_SHOWN_CHANGES]))
    return groups


# --- plots -------------------------------------------------------------------------------


def _candidates(comparison: Comparison) -> Candidates:
    return [
        (_key(system, position), system, system.against)
        for position, system in enumerate(comparison.systems)
        if system.against is not None
    ]


def _key(system: SystemResult, position: int) -> plots.LegendKey:
    return plots.LegendKey(system.label, plots.style_of(position))


def _plots(comparison: Comparison) -> dict[str, str]:
    """Return the plots by name, without those that have nothing to show."""
    candidates = _candidates(comparison)
    height = plots.plot_height(len(candidates))
    closeness = _plot_closeness(comparison, candidates, min(height, _MAX_HEIGHT))
    found = {
        "intervals": _plot_intervals(comparison, candidates),
        "recall": _plot_recall(comparison, min(height, _MAX_HEIGHT)),
        "gains": plots.gains_plot([_gains(*candidate) for candidate in candidates]),
        "quality": "" if closeness else _plot_quality(comparison),
        "closeness": closeness,
        "cosines": _plot_cosines(candidates, height),
    }
    return {name: plot for name, plot in found.items() if plot}


def _plot_intervals(comparison: Comparison, candidates: Candidates) -> str:
    ranges = []
    for key, _, against in candidates:
        interval = against.differences[HEADLINE].interval
        ends = interval.difference, interval.low, interval.high
        ranges.append(plots.Range(key, *ends, against.verdict))
    return plots.intervals_plot(ranges, HEADLINE, _margin(comparison))


def _plot_recall(comparison: Comparison, height: float) -> str:
    curves = []
    for position, system in enumerate(comparison.systems):
        means = system.scores.means
        recalls = tuple(means[f"Recall@{depth}"] for depth in _DEPTHS)
        curves.append(plots.Curve(_key(system, position), recalls))
    return plots.recall_plot(curves, _DEPTHS, height)


def _gains(key: plots.LegendKey, system: SystemResult, against: Against) -> plots.Gains:
    changed = tuple(plots.Gain(change.query, change.gain) for change in against.changes)
    return plots.Gains(key, changed, len(system.scores.queries))


def _plot_closeness(comparison: Comparison, candidates: Candidates, height: float) -> str:
    markers = [
        plots.Marker(key, system.size, against.documents.mean, against.documents.minimum)
        for key, system, against in candidates
        if against.documents and np.isfinite(against.documents.mean) and system.size > 0
    ]
    baseline = comparison.baseline
    if not markers or baseline.size <= 0:
        return ""
    return plots.fidelity_plot(markers, plots.Marker(_key(baseline, 0), baseline.size, 1), height)


def _plot_quality(comparison: Comparison) -> str:
    """Plot retrieval quality, for different models, whose vectors cannot be compared."""
    markers = [
        plots.Marker(_key(system, position), system.size, system.scores.means[HEADLINE])
        for position, system in enumerate(comparison.systems)
        if system.size > 0
    ]
    return plots.quality_plot(markers, HEADLINE) if markers else ""


def _plot_cosines(candidates: Candidates, height: float) -> str:
    rows = []
    for key, _, against in candidates:
        if against.documents:
            cosines = against.documents.cosines
            finite = cosines[np.isfinite(cosines)]
            rows.append(plots.Cosines(key, finite, against.documents.undefined))
    rows = [row for row in rows if row.values.size]
    return plots.histogram_plot(rows, "documents", height) if rows else ""
