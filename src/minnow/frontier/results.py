"""A ladder on a data set: what each rung finds and takes, and which are worth having."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.evaluate import RunOptions, compare
from minnow.evaluate.comparison import MARGIN
from minnow.evaluate.results import (
    DatasetFacts,
    Fidelity,
    SystemResult,
    dataset_facts,
    finite_or_none,
    system_facts,
)
from minnow.frontier.ladder import Rung
from minnow.frontier.points import Point, dominates, frontier_of

if TYPE_CHECKING:
    from minnow.datasets import Dataset
    from minnow.frontier.ladder import Ladder

MEASURES = ("nDCG@10", "Recall@1", "MRR@10")
"""Those that tables of a ladder show."""


@dataclass(frozen=True)
class Measured:
    """A rung on a data set.

    Attributes:
        rung: Which.
        result: What it finds and takes; `against` is None if it is the baseline itself.
        point: Its size and fidelity, over documents and queries together.
    """

    rung: Rung
    result: SystemResult
    point: Point

    @classmethod
    def of(cls, rung: Rung, result: SystemResult) -> Measured:
        """A rung and what was found of it; the baseline is as faithful to itself as can be."""
        if result.against is None:
            closeness = (1.0, 1.0, 1.0)
        else:
            found = (result.against.documents, result.against.queries)
            closeness = _closeness([fidelity for fidelity in found if fidelity is not None])
        return cls(rung, result, Point(rung.name, rung.kind, result.size, *closeness))


@dataclass(frozen=True)
class Frontier:
    """What came of a ladder.

    Attributes:
        source: What the user named.
        dataset: What was searched.
        margin: The largest difference of a measure that does not matter.
        baseline: What all are compared with; it may be one of the measured.
        measured: The rungs, the smallest first.
        refused: Those that are not there.
        notes: What a reader should know about how they were made and run.
    """

    source: str
    dataset: DatasetFacts
    margin: float
    baseline: SystemResult
    measured: tuple[Measured, ...]
    refused: tuple[Rung, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def has_baseline(self) -> bool:
        """Whether the baseline is one of the measured rungs."""
        return any(row.result is self.baseline for row in self.measured)

    @property
    def best(self) -> list[Point]:
        """The points on the frontier, the smallest first."""
        return frontier_of(row.point for row in self.measured)

    @property
    def ggufs(self) -> list[tuple[Measured, list[Point]]]:
        """Each GGUF file with the bundles that dominate it, the most faithful first."""
        bundles = [row.point for row in self.measured if row.rung.kind == "bundle"]
        bundles.sort(key=lambda point: -point.mean)
        return [
            (row, [bundle for bundle in bundles if dominates(bundle, row.point)])
            for row in self.measured
            if row.rung.kind == "gguf"
        ]


def measure(
    ladder: Ladder, dataset: Dataset, options: RunOptions = RunOptions(), *, margin: float = MARGIN
) -> Frontier:
    """Measure every rung that is there, each in a process of its own.

    Args:
        ladder: From `build_ladder`.
        dataset: What to search.
        options: How to run them.
        margin: The largest difference of a measure that does not matter.

    Raises:
        MinnowError: As `compare`.
    """
    there = [rung for rung in ladder.rungs if rung.refusal is None]
    others = [rung.system for rung in there if rung.system != ladder.baseline]
    comparison = compare([ladder.baseline, *others], dataset, options, margin=margin)
    results = {system.name: system for system in comparison.systems}
    rows = [Measured.of(rung, results[rung.system]) for rung in there]
    return Frontier(
        source=ladder.source,
        dataset=comparison.dataset,
        margin=margin,
        baseline=comparison.baseline,
        measured=tuple(sorted(rows, key=lambda row: (row.point.size, row.point.name))),
        refused=tuple(rung for rung in ladder.rungs if rung.refusal is not None),
        notes=(*ladder.notes, *comparison.notes),
    )


def _closeness(parts: list[Fidelity]) -> tuple[float, float, float]:
    """Mean, 5th percentile and minimum over all texts."""
    ids = tuple(name for part in parts for name in part.ids)
    whole = Fidelity(ids, np.concatenate([part.cosines for part in parts]))
    return whole.mean, whole.p5, whole.minimum


# --- for machines ------------------------------------------------------------------------


def frontier_facts(found: Frontier) -> dict[str, Any]:
    """A frontier as plain values, ready for JSON; per-query and per-text values left out."""
    best = [point.name for point in found.best]
    dominating = {row.rung.name: [p.name for p in points] for row, points in found.ggufs}
    return {
        "source": found.source,
        "dataset": dataset_facts(found.dataset),
        "margin": found.margin,
        "baseline": system_facts(found.baseline),
        "frontier": best,
        "rungs": [
            {
                **_rung_facts(row.rung),
                "on_frontier": row.rung.name in best,
                "cosine": {
                    "mean": finite_or_none(row.point.mean),
                    "p5": finite_or_none(row.point.p5),
                    "min": finite_or_none(row.point.minimum),
                },
                **({"dominated_by": dominating[row.rung.name]} if row.rung.kind == "gguf" else {}),
                **system_facts(row.result),
            }
            for row in found.measured
        ],
        "refused": [_refused_facts(rung) for rung in found.refused],
        "notes": list(found.notes),
    }


def _rung_facts(rung: Rung) -> dict[str, Any]:
    return {"name": rung.name, "kind": rung.kind, "path": str(rung.path)}


def _refused_facts(rung: Rung) -> dict[str, Any]:
    refusal = rung.refusal
    assert refusal is not None
    return {
        **_rung_facts(rung),
        "reason": refusal.reason,
        "worst_cosine": finite_or_none(refusal.worst),
        "bar": refusal.bar,
    }
