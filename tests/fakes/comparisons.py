"""Invented comparisons, as `compare` would return them: real statistics of random ranks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING

import numpy as np

from minnow.evaluate.bootstrap import paired_bootstrap, verdict
from minnow.evaluate.metrics import MEASURES, Scores
from minnow.evaluate.results import (
    Against,
    Comparison,
    DatasetFacts,
    Difference,
    Fidelity,
    RankChange,
    ResourceUsage,
    SystemResult,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Places = NDArray[np.int64]

DEPTH = 100
HOSTILE = (
    "<script>alert('1')</script>",
    "\"quoted\" & 'quoted' <b>bold",
    "nothing-but-a-very-long-name-" * 40,
    "نموذج-التضمين-العربي-الصغير",
    "多语言文本向量模型-大号-版本一点五",
    "\u202eright to left\u0000, a NUL, and half a pair \ud800",
    "W" * 60 + "\n\tx]]>{{ label }}{% raw %}",
)


@dataclass(frozen=True)
class Made:
    """Description of an invented system.

    Attributes:
        label: Its name.
        megabytes: Its size.
        moved: The part of the queries that find their document elsewhere than with the baseline.
        luck: The part of those that find it sooner.
        nines: How near its vectors are to the baseline's; None for those of another model, and
            infinite for the very same.
        rate: Texts per second.
    """

    label: str
    megabytes: float = 133.1
    moved: float = 0.0
    luck: float = 0.5
    nines: float | None = float("inf")
    rate: float = 118.0


FP16 = Made("bge-small-fp16.minnow", 66.8, moved=0.01, nines=5.6, rate=214.0)
INT8 = Made("bge-small-int8.minnow", 34.2, moved=0.09, luck=0.4, nines=3.1, rate=305.0)
INT4 = Made("bge-small-int4.minnow", 21.4, moved=0.45, luck=0.2, nines=1.6, rate=287.0)
ONNX = Made("onnx:bge-small-en-v1.5", moved=0.0, nines=6.9, rate=131.0)
OPENVINO = Made("openvino:bge-small-en-v1.5", moved=0.004, nines=6.4, rate=171.0)
GGUF = Made("gguf:bge-small-q8_0.gguf", 36.7, moved=0.12, luck=0.5, nines=3.4, rate=152.0)
SAME = Made("bge-small-copy.minnow")
OTHER = Made("e5-small-v2.minnow", 66.9, moved=0.6, luck=0.65, nines=None, rate=208.0)
GTE = Made("gte-base.minnow", 219.4, moved=0.65, luck=0.6, nines=None, rate=61.0)

SEVEN = (FP16, INT8, INT4, ONNX, OPENVINO, GGUF)


def make(
    *candidates: Made,
    baseline: str = "st:bge-small-en-v1.5",
    queries: int = 300,
    documents: int = 1200,
    texts: Sequence[str] = ("how do {} fish sleep at night?", "where is {} documented", "{}?"),
    notes: tuple[str, ...] = (),
    margin: float = 0.01,
    seed: int = 0,
) -> Comparison:
    """Return a comparison of invented systems with an invented baseline."""
    dice = np.random.default_rng(seed)
    names = tuple(f"q{i + 1}" for i in range(queries))
    asked = {name: texts[i % len(texts)].replace("{}", str(i)) for i, name in enumerate(names)}
    drawn = np.minimum(dice.geometric(0.42, queries), DEPTH + 1)
    places = np.where(drawn > DEPTH, 0, drawn).astype(np.int64)
    first = _system(Made(baseline), places, names)
    systems = [first]
    for candidate in candidates:
        moved = _move(places, candidate, dice)
        result = _system(candidate, moved, names)
        against = _against(result, first, asked, margin)
        if candidate.nines is not None:
            texts_of = {"documents": tuple(f"d{i + 1}" for i in range(documents)), "queries": names}
            found = {k: _fidelity(v, candidate.nines, dice) for k, v in texts_of.items()}
            against = replace(against, documents=found["documents"], queries=found["queries"])
        systems.append(replace(result, against=against))
    facts = DatasetFacts("python-docs", documents, queries, "3f9a" * 16)
    return Comparison(facts, margin, tuple(systems), notes)


def two() -> Comparison:
    """A baseline, and a smaller model that is about as good."""
    return make(INT8, notes=("q8 states no prompts; it was given 'query: ' for queries.",))


def seven(queries: int = 300, documents: int = 1200) -> Comparison:
    """A baseline and six of the same model."""
    return make(*SEVEN, queries=queries, documents=documents, notes=("A note.", "Another."))


def twelve() -> Comparison:
    """More systems than there are colours."""
    more = (replace(one, label=f"again-{one.label}") for one in SEVEN[:5])
    return make(*SEVEN, *more, queries=100, documents=200)


def identical() -> Comparison:
    """Systems that give the very same vectors."""
    return make(SAME, replace(SAME, label="bge-small-other-copy.minnow"))


def across_models() -> Comparison:
    """Systems of other models, whose vectors do not compare."""
    return make(OTHER, GTE)


def mixed() -> Comparison:
    """Systems of the same model and of another."""
    return make(INT8, OTHER)


def too_few() -> Comparison:
    """Too few queries for a verdict."""
    return make(INT8, INT4, queries=12, documents=40)


def unmeasured() -> Comparison:
    """All vectors came from the cache, and some cosines are of vectors without a direction."""
    comparison = make(INT8, replace(INT4, rate=nan))
    against = comparison.systems[1].against
    assert against is not None
    assert against.documents is not None
    cosines = against.documents.cosines.copy()
    cosines[:3] = nan
    broken = replace(against, documents=replace(against.documents, cosines=cosines))
    systems = (comparison.systems[0], replace(comparison.systems[1], against=broken))
    return replace(comparison, systems=(*systems, comparison.systems[2]))


def hostile() -> Comparison:
    """Names and texts that would break out of the page, or of their place in it."""
    labels = [*HOSTILE[1:], HOSTILE[0] + "!"]
    made = [replace(one, label=name) for one, name in zip((*SEVEN, SAME), labels, strict=True)]
    comparison = make(*made, baseline=HOSTILE[0], texts=HOSTILE, notes=HOSTILE)
    return replace(
        comparison,
        dataset=replace(comparison.dataset, name=HOSTILE[0]),
        systems=tuple(_with_hostile_ids(system) for system in comparison.systems),
    )


KINDS = {
    "two": two,
    "seven": seven,
    "twelve": twelve,
    "identical": identical,
    "across models": across_models,
    "mixed": mixed,
    "too few": too_few,
    "unmeasured": unmeasured,
    "hostile": hostile,
}


def _move(places: Places, made: Made, dice: np.random.Generator) -> Places:
    moved = places.copy()
    for i in np.flatnonzero(dice.random(len(places)) < made.moved):
        better = dice.random() < made.luck
        steps = int(dice.geometric(0.5))
        place = (int(places[i]) or DEPTH) + (-steps if better else steps)
        moved[i] = 0 if dice.random() < 0.02 else max(1, place)
    return moved


def _system(made: Made, places: Places, queries: tuple[str, ...]) -> SystemResult:
    found = np.where(places == 0, np.inf, places)
    table = {f"Recall@{k}": (found <= k).astype(np.float64) for k in (1, 3, 5, 10)}
    table["MRR@10"] = np.where(found <= 10, 1 / found, 0.0)
    table["nDCG@10"] = np.where(found <= 10, 1 / np.log2(found + 1), 0.0)
    usage = ResourceUsage(2, 40 / made.rate, made.rate, round(made.megabytes * 3.1e6), "2025-06-01")
    return SystemResult(
        name=f"~/models/{made.label}",
        label=made.label,
        runtime="MNN 3.6.1",
        size=round(made.megabytes * 1e6),
        scores=Scores(queries, {name: table[name] for name in MEASURES}),
        gold_cosine=0.7312,
        ranks=places,
        usage=usage,
    )


def _against(
    candidate: SystemResult, baseline: SystemResult, asked: dict[str, str], margin: float
) -> Against:
    differences = {}
    for name in MEASURES:
        ours, theirs = candidate.scores.table[name], baseline.scores.table[name]
        interval = paired_bootstrap(ours, theirs, resamples=500)
        differences[name] = Difference(interval, verdict(interval, margin))
    pairs = zip(asked.items(), baseline.ranks, candidate.ranks, strict=True)
    changes = [
        RankChange(query, text, int(before) or None, int(after) or None)
        for (query, text), before, after in pairs
        if before != after
    ]
    changes.sort(key=lambda change: change.gain)
    return Against(differences, None, None, tuple(changes))


def _fidelity(ids: tuple[str, ...], nines: float, dice: np.random.Generator) -> Fidelity:
    if np.isinf(nines):
        return Fidelity(ids, np.ones(len(ids)))
    return Fidelity(ids, 1 - 10.0 ** -(dice.normal(nines, 0.25, len(ids))))


def _with_hostile_ids(system: SystemResult) -> SystemResult:
    against = system.against
    if against is None or against.documents is None:
        return system
    ids = tuple(
        f"{name}{HOSTILE[i % len(HOSTILE)]}" for i, name in enumerate(against.documents.ids)
    )
    changes = tuple(replace(c, query=c.query + HOSTILE[0]) for c in against.changes)
    documents = replace(against.documents, ids=ids)
    return replace(system, against=replace(against, documents=documents, changes=changes))
