"""Measurements of a ladder on a data set, and which of its rungs are worth having."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.evaluate import RunOptions, compare
from minnow.evaluate.comparison import MARGIN
from minnow.evaluate.results import (
    DatasetFacts,
    Fidelity,
    SystemResult,
    finite_or_none,
    system_facts,
)
from minnow.frontier.dimensions import Dimension, measure_dimensions
from minnow.frontier.points import Point, dominates, frontier_of
from minnow.frontier.rungs import Rung

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.datasets import Dataset
    from minnow.frontier.ladder import Ladder

MEASURES = ("nDCG@10", "Recall@1", "MRR@10")
"""The measures that tables of a ladder show."""


@dataclass(frozen=True)
class Measured:
    """A rung on a data set.

    Attributes:
        rung: The rung.
        result: Its measurements; `against` is None if it is the baseline itself.
        point: Its size and fidelity, over documents and queries together.
    """

    rung: Rung
    result: SystemResult
    point: Point

    @classmethod
    def of(cls, rung: Rung, result: SystemResult) -> Measured:
        """Combine a rung with its measurements; all cosines of the baseline are 1."""
        cosines = (1.0, 1.0, 1.0)
        if (against := result.against) is not None:
            parts = [part for part in (against.documents, against.queries) if part is not None]
            ids = tuple(name for part in parts for name in part.ids)
            whole = Fidelity(ids, np.concatenate([part.cosines for part in parts]))
            cosines = (whole.mean, whole.p5, whole.minimum)
        return cls(rung, result, Point(rung.name, rung.format, result.size, *cosines))


@dataclass(frozen=True)
class Frontier:
    """The measurements of a ladder.

    Attributes:
        source: The model, as the user named it.
        dataset: The data set that was searched.
        margin: The largest difference of a measure that does not matter.
        baseline: The system that all are compared with; it may be one of the measured.
        measured: The rungs, the smallest first.
        refused: The rungs that the proof refused.
        notes: What a reader should know about how they were made and run.
        dimensions: What the baseline finds with the first numbers of its vectors only.
    """

    source: str
    dataset: DatasetFacts
    margin: float
    baseline: SystemResult
    measured: tuple[Measured, ...]
    refused: tuple[Rung, ...] = ()
    notes: tuple[str, ...] = ()
    dimensions: tuple[Dimension, ...] = ()

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
        bundles = [row.point for row in self.measured if row.rung.format == "bundle"]
        bundles.sort(key=lambda point: -point.mean)
        return [
            (row, [bundle for bundle in bundles if dominates(bundle, row.point)])
            for row in self.measured
            if row.rung.format == "gguf"
        ]


def measure(
    ladder: Ladder,
    dataset: Dataset,
    options: RunOptions = RunOptions(),
    *,
    margin: float = MARGIN,
    dims: Sequence[int] = (),
) -> Frontier:
    """Measure every rung that was not refused, each in a separate process.

    Args:
        ladder: From `build_ladder`.
        dataset: The data set to search.
        options: How to run the systems.
        margin: The largest difference of a measure that does not matter.
        dims: Also measure the baseline with so many numbers of its vectors, the first.

    Raises:
        MinnowError: As `compare`.
    """
    made = [rung for rung in ladder.rungs if rung.refusal is None]
    others = [rung.system for rung in made if rung.system != ladder.baseline]
    comparison = compare([ladder.baseline, *others], dataset, options, margin=margin)
    results = {system.name: system for system in comparison.systems}
    again = replace(options, fresh=False)
    rows = [Measured.of(rung, results[rung.system]) for rung in made]
    return Frontier(
        source=ladder.source,
        dataset=comparison.dataset,
        margin=margin,
        baseline=comparison.baseline,
        measured=tuple(sorted(rows, key=lambda row: (row.point.size, row.point.name))),
        refused=tuple(rung for rung in ladder.rungs if rung.refusal is not None),
        notes=(*ladder.notes, *comparison.notes),
        dimensions=measure_dimensions(ladder.baseline, dataset, dims, again, margin=margin)
        if dims
        else (),
    )


# --- JSON --------------------------------------------------------------------------------


def frontier_facts(found: Frontier) -> dict[str, Any]:
    """Return a frontier as values for JSON, without those of single queries and texts."""
    best = [point.name for point in found.best]
    dominated = {
        row.rung.name: {"dominated_by": [point.name for point in bundles]}
        for row, bundles in found.ggufs
    }
    return {
        "source": found.source,
        "dataset": found.dataset.facts(),
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
                **dominated.get(row.rung.name, {}),
                **system_facts(row.result),
            }
            for row in found.measured
        ],
        "refused": [
            {
                **_rung_facts(rung),
                "reason": rung.refusal.reason,
                "worst_cosine": finite_or_none(rung.refusal.worst),
                "bar": rung.refusal.bar,
            }
            for rung in found.refused
            if rung.refusal is not None
        ],
        "dimensions": [asdict(row) for row in found.dimensions],
        "notes": list(found.notes),
    }


def _rung_facts(rung: Rung) -> dict[str, Any]:
    return {"name": rung.name, "kind": rung.format, "path": str(rung.path)}
