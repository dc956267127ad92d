"""Results of an evaluation or a comparison as plain values, for tables, pages and JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minnow.evaluate.bootstrap import Interval, Verdict
from minnow.evaluate.metrics import HEADLINE, Scores

if TYPE_CHECKING:
    from minnow.datasets import Dataset

DEPTH = 100
"""How many documents of each ranking are looked at."""

_SHOWN = 3


@dataclass(frozen=True)
class DatasetFacts:
    """A data set without its texts.

    Attributes:
        name: Its name in reports.
        documents: Number of documents.
        queries: Number of queries.
        fingerprint: See `Dataset.fingerprint`.
        notes: See `Dataset.notes`.
    """

    name: str
    documents: int
    queries: int
    fingerprint: str
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, dataset: Dataset) -> DatasetFacts:
        """Return the facts of a data set."""
        counts = (len(dataset.documents), len(dataset.queries))
        return cls(dataset.name, *counts, dataset.fingerprint, dataset.notes)

    def facts(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**asdict(self), "notes": list(self.notes)}


@dataclass(frozen=True)
class ResourceUsage:
    """Time and memory that a system used in its own process.

    Attributes:
        threads: CPU threads it was given.
        load_seconds: Imports and loading, in a new process.
        texts_per_second: Documents embedded, after a first text; NaN if there was none.
        peak_bytes: The most memory that the process held.
        measured: When, as an ISO 8601 date; before today if the vectors came from the cache.
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
        ids: The ids of the texts.
        cosines: float64 of shape (texts,), in the order of `ids`; NaN for a vector of length 0.
    """

    ids: tuple[str, ...]
    cosines: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """The mean of all cosines."""
        return float(self.cosines.mean())

    @property
    def p5(self) -> float:
        """The 5th percentile."""
        return float(np.percentile(self.cosines, 5))

    @property
    def minimum(self) -> float:
        """The cosine of the worst text."""
        return float(self.cosines.min())

    @property
    def undefined(self) -> int:
        """The number of texts without a cosine."""
        return int(np.count_nonzero(~np.isfinite(self.cosines)))

    @property
    def worst(self) -> tuple[tuple[str, float], ...]:
        """Id and cosine of the texts with the lowest cosines, the worst first."""
        lowest = np.argsort(self.cosines, kind="stable")[:_SHOWN]
        return tuple((self.ids[i], float(self.cosines[i])) for i in lowest)


@dataclass(frozen=True)
class RankChange:
    """A query whose first relevant document has another rank than with the baseline.

    Attributes:
        query: Its id.
        text: Its text.
        before: The rank with the baseline, from 1; None if beyond the depth that was searched.
        after: The rank with the candidate.
    """

    query: str
    text: str
    before: int | None
    after: int | None

    @property
    def gain(self) -> float:
        """The difference of the reciprocal ranks: above 0 if the candidate is better."""
        before, after = (0.0 if rank is None else 1 / rank for rank in (self.before, self.after))
        return after - before


@dataclass(frozen=True)
class Difference:
    """Candidate minus baseline on one measure, and the verdict on it."""

    interval: Interval
    verdict: Verdict


@dataclass(frozen=True)
class Against:
    """Differences of a candidate to the baseline.

    Attributes:
        differences: By measure, in the order of MEASURES.
        documents: Cosines of the documents; None if the two are different models.
        queries: Cosines of the queries; None if the two are different models.
        changes: The queries whose rank changed, the largest loss first.
    """

    differences: Mapping[str, Difference]
    documents: Fidelity | None
    queries: Fidelity | None
    changes: tuple[RankChange, ...]

    @property
    def verdict(self) -> Verdict:
        """The verdict on the headline measure."""
        return self.differences[HEADLINE].verdict

    @property
    def losses(self) -> int:
        """The number of queries whose first relevant document fell."""
        return sum(change.gain < 0 for change in self.changes)

    @property
    def gains(self) -> int:
        """The number of queries whose first relevant document rose."""
        return sum(change.gain > 0 for change in self.changes)


@dataclass(frozen=True)
class Reranking:
    """The second stage of a system: a reranker that orders its first documents again.

    Attributes:
        name: As the user named it.
        runtime: The library that ran it, with its version.
        candidates: How many documents of each query it scored.
        usage: Its time and memory; `texts_per_second` counts pairs.
    """

    name: str
    runtime: str
    candidates: int
    usage: ResourceUsage

    def facts(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        usage = asdict(self.usage)
        pairs = finite_or_none(usage.pop("texts_per_second"))
        return {**asdict(self), "usage": {**usage, "pairs_per_second": pairs}}


@dataclass(frozen=True)
class SystemResult:
    """One system on one data set.

    Attributes:
        name: As the user named it.
        label: A short name, unique within a comparison.
        runtime: The library that ran it, with its version.
        size: Bytes of the files that it needs.
        scores: Each measure, for each query.
        gold_cosine: Mean cosine of a query with its relevant documents.
        ranks: Rank of each query's first relevant document, from 1; 0 beyond the depth.
        usage: Time and memory that it used.
        against: How it differs from the baseline; None for the baseline, and for a system alone.
        reranking: What ordered its first documents again; None without a reranker.
    """

    name: str
    label: str
    runtime: str
    size: int
    scores: Scores
    gold_cosine: float
    ranks: NDArray[np.int64]
    usage: ResourceUsage
    against: Against | None = None
    reranking: Reranking | None = None


@dataclass(frozen=True)
class Comparison:
    """Two or more systems on one data set.

    Attributes:
        dataset: The data set.
        margin: The largest difference of a measure that does not matter.
        systems: The results, those of the baseline first.
        notes: What a reader should know about how they were run.
    """

    dataset: DatasetFacts
    margin: float
    systems: tuple[SystemResult, ...]
    notes: tuple[str, ...] = ()

    @property
    def baseline(self) -> SystemResult:
        """The system that all others are compared with."""
        return self.systems[0]

    @property
    def candidates(self) -> tuple[SystemResult, ...]:
        """All systems but the baseline."""
        return self.systems[1:]


# --- JSON --------------------------------------------------------------------------------


def comparison_facts(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as values for JSON, without those of single queries and texts."""
    return {
        "dataset": comparison.dataset.facts(),
        "margin": comparison.margin,
        "baseline": comparison.baseline.label,
        "systems": [system_facts(system) for system in comparison.systems],
        "notes": list(comparison.notes),
    }


def system_facts(system: SystemResult) -> dict[str, Any]:
    """Return one system's result as values for JSON."""
    usage = asdict(system.usage)
    facts: dict[str, Any] = {
        "label": system.label,
        "system": system.name,
        "runtime": system.runtime,
        "bytes": system.size,
        "measures": system.scores.means,
        "gold_cosine": system.gold_cosine,
        "usage": {**usage, "texts_per_second": finite_or_none(usage["texts_per_second"])},
    }
    if system.reranking is not None:
        facts["reranking"] = system.reranking.facts()
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
        "mean": finite_or_none(fidelity.mean),
        "p5": finite_or_none(fidelity.p5),
        "min": finite_or_none(fidelity.minimum),
        "worst": [{"id": name, "cosine": finite_or_none(c)} for name, c in fidelity.worst],
    }


def finite_or_none(value: float | None) -> float | None:
    """Return a number, or None in place of NaN and infinity, which JSON does not have."""
    return value if value is not None and np.isfinite(value) else None
