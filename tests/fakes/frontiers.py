"""Invented frontiers, as `measure` would return them, with random cosines and ranks."""

from __future__ import annotations

from dataclasses import replace
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fakes import comparisons
from fakes.comparisons import HOSTILE, Made
from minnow.frontier import Frontier, Measured, Refusal, Rung

if TYPE_CHECKING:
    from minnow.evaluate.results import Comparison

FOLDER = Path("bge-small.frontier")
BUNDLES = (
    Made("fp32", 133.4, nines=6.9, rate=120),
    Made("fp16", 66.8, moved=0.01, nines=5.6, rate=118),
    Made("int8", 34.2, moved=0.05, nines=4.1, rate=301),
    Made("int6", 26.1, moved=0.09, nines=3.0, rate=305),
    Made("int4", 17.9, moved=0.45, luck=0.2, nines=1.6, rate=287),
)
GGUFS = (
    Made("GGUF f16", 67.3, moved=0.01, nines=5.9, rate=91),
    Made("GGUF q8_0", 36.7, moved=0.12, nines=3.4, rate=152),
    Made("GGUF q4_k_m", 26.3, moved=0.3, luck=0.3, nines=1.9, rate=160),
)
INT5 = Rung(
    "int5",
    "bundle",
    FOLDER / "bge-small-int5.minnow",
    Refusal("Refused: the converted model does not give the vectors of NumPy.", 0.9312, 0.95),
)
Q3 = Rung(
    "GGUF q3_k_m", "gguf", FOLDER / "q3.gguf", Refusal("llama.cpp has no pooling.", None, 0.8)
)


def make(*made: Made, baseline: bool = False) -> Frontier:
    """Return a frontier of invented systems; GGUF files are recognised by their names.

    Args:
        *made: What to make up.
        baseline: Whether the baseline is a rung of its own, the first bundle.
    """
    comparison = comparisons.make(*made, baseline="fp32" if baseline else "onnx:bge-small-en-v1.5")
    systems = comparison.systems if baseline else comparison.candidates
    rows = sorted(
        (Measured.of(_rung(system.label), system) for system in systems),
        key=lambda row: row.point.size,
    )
    return _frontier(comparison, tuple(rows))


def _frontier(comparison: Comparison, rows: tuple[Measured, ...]) -> Frontier:
    facts = (comparison.dataset, comparison.margin, comparison.baseline)
    return Frontier("BAAI/bge-small-en-v1.5", *facts, rows)


def _rung(name: str) -> Rung:
    if name.startswith("GGUF"):
        return Rung(name, "gguf", FOLDER / f"bge-small-{name[5:]}.gguf")
    return Rung(name, "bundle", FOLDER / f"bge-small-{name}.minnow")


def usual() -> Frontier:
    """Bundles and GGUF files, and one bundle that the proof refused."""
    return replace(make(*BUNDLES, *GGUFS), refused=(INT5,))


def alone() -> Frontier:
    """Without ONNX Runtime and llama.cpp."""
    notes = ("ONNX Runtime is not installed.", "There are no GGUF files to compare with.")
    return replace(make(*BUNDLES[1:], baseline=True), notes=notes, refused=(INT5, Q3))


def one() -> Frontier:
    """A single bundle beside the baseline."""
    return make(BUNDLES[1])


def broken() -> Frontier:
    """A system one of whose vectors has no direction, so that its cosines are NaN."""
    found = make(*BUNDLES[:2], GGUFS[0])
    row = found.measured[0]
    point = replace(row.point, mean=nan, p5=nan, minimum=nan)
    return replace(found, measured=(replace(row, point=point), *found.measured[1:]))


def hostile() -> Frontier:
    """Names and texts that would break out of the page."""
    found = usual()
    assert INT5.refusal is not None
    refused = replace(INT5, refusal=replace(INT5.refusal, reason=HOSTILE[0]))
    baseline = replace(found.baseline, label=HOSTILE[0], name=HOSTILE[1])
    dataset = replace(found.dataset, name=HOSTILE[6])
    return replace(
        found,
        source=HOSTILE[3],
        baseline=baseline,
        dataset=dataset,
        refused=(refused,),
        notes=HOSTILE,
    )


def crowded() -> Frontier:
    """Systems of nearly the same size and fidelity, whose names want the same place."""
    dice = np.random.default_rng(1)
    made = [Made(f"form {i}", 30 + dice.normal(), nines=3 + dice.normal() / 10) for i in range(12)]
    return make(*made)


KINDS = {
    "usual": usual,
    "alone": alone,
    "one": one,
    "broken": broken,
    "hostile": hostile,
    "crowded": crowded,
}
