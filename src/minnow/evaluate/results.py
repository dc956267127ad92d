"""What an evaluation or a comparison found: plain values, for tables, pages and machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minnow.evaluate.metrics import Interval, Scores, Verdict

if TYPE_CHECKING:
    from minnow.datasets.dataset import Dataset

DEPTH = 100
HEADLINE = "nDCG@10"
"""The measure whose verdict stands for the whole."""

_SHOWN = 3


@dataclass(frozen=True)
class DatasetFacts:
    """What was searched.

    Attributes:
        name: What reports call it.
        documents: How many.
        queries: How many.
        fingerprint: See `Dataset.fingerprint`.
    """

    name: str
    documents: int
    queries: int
    fingerprint: str

    @classmethod
    def of(cls, dataset: Dataset) -> DatasetFacts:
        """The facts of a data set."""
        counts = (len(dataset.documents), len(dataset.queries))
        return cls(dataset.name, *counts, dataset.fingerprint)


@dataclass(frozen=True)
class Usage:
    """What a system took, in a process of its own.

    Attributes:
        threads: CPU threads it was given.
        load_seconds: Imports and loading, in a fresh process.
        texts_per_second: Documents embedded, after a first text; NaN where there was none.
        peak_bytes: The most memory that the process held.
        measured: When, as an ISO 8601 date; older than today where vectors came from the cache.
    """

    threads: int
    load_seconds: float
    texts_per_second: float
    peak_bytes: int
    measured: str


@dataclass(frozen=True)
class Fidelity:
    """The cosine of each text's vector with the baseline's.

    Attributes:
        ids: Of the texts.
        cosines: float64 of shape (texts,), in the order of `ids`.
    """

    ids: tuple[str, ...]
    cosines: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Of all texts."""
        return float(self.cosines.mean())

    @property
    def p5(self) -> float:
        """The 5th percentile."""
        return float(np.percentile(self.cosines, 5))

    @property
    def minimum(self) -> float:
        """Of the worst text."""
        return float(self.cosines.min())

    @property
    def worst(self) -> tuple[tuple[str, float], ...]:
        """The texts with the lowest cosines, the worst first: id and cosine."""
        lowest = np.argsort(self.cosines, kind="stable")[:_SHOWN]
        return tuple((self.ids[i], float(self.cosines[i])) for i in lowest)


@dataclass(frozen=True)
class RankChange:
    """A query whose first relevant document has another place than with the baseline.

    Attributes:
        query: Its id.
        text: What it asks.
        before: The place with the baseline, from 1; None if beyond the depth that was searched.
        after: The place with the candidate.
    """

    query: str
    text: str
    before: int | None
    after: int | None

    @property
    def gain(self) -> float:
        """Difference of the reciprocal places: above 0 where the candidate is better."""
        return _reciprocal(self.after) - _reciprocal(self.before)


def _reciprocal(place: int | None) -> float:
    return 0.0 if place is None else 1 / place


@dataclass(frozen=True)
class Difference:
    """Candidate less baseline on one measure, and what to make of it."""

    interval: Interval
    verdict: Verdict


@dataclass(frozen=True)
class Against:
    """A candidate beside the baseline.

    Attributes:
        differences: By measure, in the order of MEASURES.
        documents: Cosines of the documents; None between models whose vectors do not compare.
        queries: Cosines of the queries; likewise.
        changes: The queries that changed rank, the greatest loss first.
    """

    differences: Mapping[str, Difference]
    documents: Fidelity | None
    queries: Fidelity | None
    changes: tuple[RankChange, ...]

    @property
    def verdict(self) -> Verdict:
        """On the headline measure."""
        return self.differences[HEADLINE].verdict

    @property
    def losses(self) -> int:
        """Queries whose first relevant document fell."""
        return sum(change.gain < 0 for change in self.changes)

    @property
    def gains(self) -> int:
        """Queries whose first relevant document rose."""
        return sum(change.gain > 0 for change in self.changes)


@dataclass(frozen=True)
class SystemResult:
    """One system on one data set.

    Attributes:
        name: As the user named it.
        label: A short name, unique within a comparison.
        runtime: What ran it, with its version.
        size: Bytes of the files that it needs.
        scores: Each measure, query by query.
        gold_cosine: Mean cosine of a query with its relevant documents.
        places: Place of each query's first relevant document, from 1; 0 beyond the depth.
        usage: What it took.
        against: Beside the baseline; None for the baseline, and for a system alone.
    """

    name: str
    label: str
    runtime: str
    size: int
    scores: Scores
    gold_cosine: float
    places: NDArray[np.int64]
    usage: Usage
    against: Against | None = None


@dataclass(frozen=True)
class Comparison:
    """Two or more systems on one data set.

    Attributes:
        dataset: What was searched.
        margin: The largest difference of a measure that does not matter.
        systems: The first is the baseline.
        notes: What a reader should know about how they were run.
    """

    dataset: DatasetFacts
    margin: float
    systems: tuple[SystemResult, ...]
    notes: tuple[str, ...] = ()

    @property
    def baseline(self) -> SystemResult:
        """What all others are compared with."""
        return self.systems[0]

    @property
    def candidates(self) -> tuple[SystemResult, ...]:
        """All but the baseline."""
        return self.systems[1:]


# --- for machines ------------------------------------------------------------------------


def comparison_facts(comparison: Comparison) -> dict[str, Any]:
    """A comparison as plain values, ready for JSON; per-query and per-text values left out."""
    return {
        "dataset": dataset_facts(comparison.dataset),
        "margin": comparison.margin,
        "baseline": comparison.baseline.label,
        "systems": [system_facts(system) for system in comparison.systems],
        "notes": list(comparison.notes),
    }


def dataset_facts(dataset: DatasetFacts) -> dict[str, Any]:
    """A data set's facts as plain values."""
    return {
        "name": dataset.name,
        "documents": dataset.documents,
        "queries": dataset.queries,
        "fingerprint": dataset.fingerprint,
    }


def system_facts(system: SystemResult) -> dict[str, Any]:
    """One system's result as plain values, ready for JSON."""
    usage = system.usage
    facts: dict[str, Any] = {
        "label": system.label,
        "system": system.name,
        "runtime": system.runtime,
        "bytes": system.size,
        "measures": system.scores.means,
        "gold_cosine": system.gold_cosine,
        "usage": {
            "threads": usage.threads,
            "load_seconds": usage.load_seconds,
            "texts_per_second": finite_or_none(usage.texts_per_second),
            "peak_bytes": usage.peak_bytes,
            "measured": usage.measured,
        },
    }
    if system.against is not None:
        facts["against_baseline"] = _against_facts(system.against)
    return facts


def _against_facts(against: Against) -> dict[str, Any]:
    return {
        "verdict": against.verdict,
        "differences": {
            measure: {
                "difference": row.interval.difference,
                "low": row.interval.low,
                "high": row.interval.high,
                "verdict": row.verdict,
            }
            for measure, row in against.differences.items()
        },
        "documents_cosine": _fidelity_facts(against.documents),
        "queries_cosine": _fidelity_facts(against.queries),
        "rank_changes": {
            "better": against.gains,
            "worse": against.losses,
            "queries": [
                {"id": change.query, "before": change.before, "after": change.after}
                for change in against.changes
            ],
        },
    }


def _fidelity_facts(fidelity: Fidelity | None) -> dict[str, Any] | None:
    if fidelity is None:
        return None
    return {
        "mean": fidelity.mean,
        "p5": fidelity.p5,
        "min": fidelity.minimum,
        "worst": [{"id": name, "cosine": cosine} for name, cosine in fidelity.worst],
    }


def finite_or_none(value: float | None) -> float | None:
    """JSON has no NaN."""
    return value if value is not None and np.isfinite(value) else None
