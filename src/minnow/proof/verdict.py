"""The verdict: vectors and token ids of a candidate, against a reference of another path."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minnow.engines.base import default_threads
from minnow.errors import ParityError
from minnow.model.spec import (
    EmbeddingSpec,
    EncoderSpec,
    Interface,
    RerankingSpec,
    ScoreActivation,
)
from minnow.parity import Measure, Parity, ParityRun
from minnow.scores import activate, logit_scale
from minnow.vectors import rowwise_cosine

if TYPE_CHECKING:
    from collections.abc import Callable

    from minnow.model.tokenizer import TokenizedText
    from minnow.proof.references import Reference

    Progress = Callable[[str], None]

Vectors = NDArray[np.floating]

UNIT_ERROR = 1e-3
"""How far a length may be from 1. Of vectors that are not scaled to it, lengths may differ as much
as a vector at the bar differs in direction."""
SHOWN = 8
"""How many names or faults an error message lists."""


@dataclass(frozen=True)
class Candidate:
    """Files that claim to give a model's vectors, and what they have to reach.

    Attributes:
        path: The staged or sealed folder or file.
        encoder: The network that the files claim to hold.
        embedding: How the files claim that vectors are made.
        bar: The lowest cosine that any text may have, in any run.
        interface: What the files claim that the encoder gives.
        name: What the files are, in error messages.
        tokenizer: What tokenises, in error messages.
        max_other_ids: The largest share of texts that may get other token ids than the reference's;
            the vectors of such texts are not compared.
        max_ndcg_drop: How far nDCG@10 may be below the reference's; None if nothing is searched.
        advice: What the user can do if the bar is missed.
        stored_bar: For rounded numbers, what `judge_stored` takes as the bar. The bar of few bits
            leaves room for what rounding takes; a fault of the graph, such as wrong pooling or a
            mask that is ignored, must not hide in it.
        reranking: How a reranker makes scores. Its bars are differences of logits, in units of the
            largest logit where that is above 1.
        agreement: For a reranker, the least share of documents in the reference's order.
    """

    path: Path
    encoder: EncoderSpec
    embedding: EmbeddingSpec
    bar: float
    interface: Interface = Interface.LAST_HIDDEN_STATE
    name: str = "the converted model"
    tokenizer: str = "the bundle's tokenizer"
    max_other_ids: float = 0.0
    max_ndcg_drop: float | None = None
    advice: str = ""
    stored_bar: float | None = None
    reranking: RerankingSpec | None = None
    agreement: float = 1.0

    @property
    def measure(self) -> Measure:
        """What is compared."""
        return Measure.COSINE if self.reranking is None else Measure.DIFFERENCE

    def bar_for(self, expected: Vectors) -> float:
        """Return the bar in the units of the figures, for these vectors or logits."""
        return self.bar if self.reranking is None else self.bar * logit_scale(expected)

    def figures(self, found: Vectors, expected: Vectors) -> NDArray[np.float64]:
        """Compare vectors or logits row by row: cosines, or greatest differences."""
        if self.reranking is None:
            return rowwise_cosine(found, expected)
        differences = np.abs(found.astype(np.float64) - expected)
        greatest: NDArray[np.float64] = differences.max(axis=1)
        return greatest


@dataclass(frozen=True)
class Run:
    """Vectors of texts, run in one way.

    Attributes:
        threads: CPU threads.
        batching: "one by one", "mixed" for padded batches of unlike lengths, or "padded to" a
            fixed shape.
        vectors: One per text: shape (texts, width).
        shapes: The (batch, tokens) that each text was run in.
        texts: The index of each text among the reference's; all of them by default, in order.
    """

    threads: int
    batching: str
    vectors: Vectors
    shapes: Sequence[tuple[int, int]]
    texts: Sequence[int] | None = None

    def only(self, texts: Sequence[int]) -> Run:
        """Return the run of some of the texts; this one has all of them."""
        return replace(
            self, vectors=self.vectors[texts], shapes=[self.shapes[i] for i in texts], texts=texts
        )


def thread_counts() -> tuple[int, int]:
    """Return the numbers of CPU threads that every candidate runs with: one and several."""
    return 1, max(2, default_threads())


def equal_ids(
    candidate: Candidate, ids: Sequence[Sequence[int]], reference: Reference
) -> list[int]:
    """Compare a candidate's token ids of all probe texts with the reference's.

    Returns:
        The indices of the texts with equal ids.

    Raises:
        ParityError: More ids differ than the candidate is allowed; the message names texts.
    """
    names = [probe.name for probe in reference.probes]
    pairs = zip(ids, reference.probe_ids, strict=True)
    equal = [i for i, (found, expected) in enumerate(pairs) if list(found) == list(expected)]
    other = [name for i, name in enumerate(names) if i not in equal]
    if len(other) > candidate.max_other_ids * len(names):
        raise ParityError(
            f"Refused: {candidate.tokenizer} gives other token ids than the reference's for "
            f"{len(other)} of {len(names)} probe texts ({listed(other)}). Nothing was written."
        )
    return equal


def equal_rows(candidate: Candidate, rows: Sequence[TokenizedText], reference: Reference) -> None:
    """Compare a candidate's token ids and types of all probes with the reference's.

    Raises:
        ParityError: Any differ; the message names texts.
    """
    equal_ids(candidate, [row.ids for row in rows], reference)
    names = [probe.name for probe in reference.probes]
    other = [
        name
        for name, row, expected in zip(names, rows, reference.probe_rows, strict=True)
        if list(row.types) != list(expected.types)
    ]
    if other:
        raise ParityError(
            f"Refused: {candidate.tokenizer} gives other token types than the reference's for "
            f"{len(other)} of {len(names)} pairs ({listed(other)}). Nothing was written."
        )


def measure(
    run: Run, expected: Vectors, names: Sequence[str], candidate: Candidate | None = None
) -> ParityRun:
    """Summarise a run: its cosines, or a reranker's differences.

    Args:
        run: The vectors.
        expected: The reference's vector of every text, of shape (all texts, width).
        names: The name of every text.
        candidate: What was run; None for vectors.

    Returns:
        The figures; one that is NaN counts as the worst of all.
    """
    texts = _texts(run)
    reranking = None if candidate is None else candidate.reranking
    kind = Measure.COSINE if reranking is None else Measure.DIFFERENCE
    if candidate is None:
        values = rowwise_cosine(run.vectors, expected[texts])
    else:
        values = candidate.figures(run.vectors, expected[texts])
    worst = int(kind.ranked(values).argmin())
    score = None
    if reranking is not None:
        ours = activate(run.vectors, reranking.activation)
        theirs = _scores(expected[texts], reranking.activation)
        score = float(np.abs(ours - theirs).max())
    return ParityRun(
        threads=run.threads,
        batching=run.batching,
        mean=float(values.mean()),
        p5=float(np.percentile(values, kind.percentile)),
        worst=float(values[worst]),
        worst_text=names[texts[worst]],
        worst_shape=run.shapes[worst],
        worst_score=score,
    )


def measure_lowest(runs: Sequence[Run], reference: Reference, candidate: Candidate) -> ParityRun:
    """Summarise runs of the same texts as one, in which each text has its worst figure."""
    first, expected = runs[0], reference.probe_vectors
    texts = _texts(first)
    figures = [candidate.figures(run.vectors, expected[texts]) for run in runs]
    ranked = [candidate.measure.ranked(values) for values in figures]
    chosen = [(runs[run], row) for row, run in enumerate(np.argmin(ranked, 0))]
    vectors = np.stack([run.vectors[row] for run, row in chosen])
    shapes = [run.shapes[row] for run, row in chosen]
    lowest = Run(first.threads, "the lowest of all runs", vectors, shapes, texts)
    return measure(lowest, expected, [probe.name for probe in reference.probes], candidate)


def judge(candidate: Candidate, runs: Sequence[Run], reference: Reference) -> Parity:
    """Compare the vectors of several runs with the reference's.

    Args:
        candidate: What was run; it says what the bar is, and whether lengths have to be 1.
        runs: The vectors of the reference's probe texts, one run for each way to run them.
        reference: What they are compared with.

    Returns:
        The figures, all of them at or above the bar.

    Raises:
        ParityError: A vector is below the bar or not finite, or its length differs; the message
            names texts, shapes and cosines.
    """
    parity = compare(candidate, runs, reference)
    expected = reference.probe_vectors
    names = [probe.name for probe in reference.probes]
    faults = [fault for run in runs for fault in _faults(candidate, run, expected, names)]
    if faults:
        worst, kind = parity.worst, parity.measure
        raise ParityError(
            f"Refused: {candidate.name} does not give the {kind.compared} of {reference.name}. The "
            f"worst text, {worst.worst_text}, has {kind.value} {worst.worst:.6f}; the bar is "
            f"{parity.bar:g}. Nothing was written. {candidate.advice}".rstrip()
            + "\n  "
            + listed(faults, "\n  "),
            worst=worst.worst,
        )
    return parity


def compare(candidate: Candidate, runs: Sequence[Run], reference: Reference) -> Parity:
    """Summarise several runs, whether they reach the bar or not; see `judge`.

    Raises:
        ParityError: The vectors have another width than the reference's.
    """
    expected = reference.probe_vectors
    names = [probe.name for probe in reference.probes]
    widths = {int(vectors.shape[1]) for vectors in (expected, *(run.vectors for run in runs))}
    if len(widths) > 1:
        raise ParityError(
            f"Refused: {candidate.name} gives vectors of {runs[0].vectors.shape[1]} numbers, and "
            f"{reference.name} of {expected.shape[1]}. Nothing was written."
        )
    return Parity(
        reference=reference.name,
        texts=len(_texts(runs[0])),
        bar=candidate.bar_for(expected),
        runs=tuple(measure(run, expected, names, candidate) for run in runs),
        measure=candidate.measure,
    )


def judge_stored(candidate: Candidate, runs: Sequence[Run], stored: Reference) -> None:
    """Compare with a forward pass over the very numbers that the files store.

    Raises:
        ParityError: As `judge`, with the candidate's `stored_bar` as the bar.
    """
    assert candidate.stored_bar is not None
    advice = "This is no matter of precision: the graph computes something else."
    judge(replace(candidate, bar=candidate.stored_bar, advice=advice), runs, stored)


def listed(names: Sequence[str], separator: str = ", ") -> str:
    """Join names or faults for an error message, which shows the first few of them."""
    more = f"{separator}and {len(names) - SHOWN} more" if names[SHOWN:] else ""
    return separator.join(names[:SHOWN]) + more


def _faults(candidate: Candidate, run: Run, expected: Vectors, names: Sequence[str]) -> list[str]:
    """List cosines below the bar, the lowest first, and lengths that differ too much."""
    texts, kind, bar = _texts(run), candidate.measure, candidate.bar_for(expected)
    values = candidate.figures(run.vectors, expected[texts])
    where = f"{run.batching}, {run.threads} thread{'s' * (run.threads > 1)}"
    faults = [
        f"{names[texts[i]]}: {kind.value} {values[i]:.6f} in shape {run.shapes[i]} ({where})"
        for i in np.argsort(kind.ranked(values), kind="stable")
        if not kind.reaches(values[i], bar)
    ]
    if candidate.reranking is not None:
        return faults
    normalized = candidate.embedding.head.gives_unit_length
    allowed = UNIT_ERROR if normalized else float(np.sqrt(2 * (1 - candidate.bar)))
    lengths = np.linalg.norm(run.vectors, axis=1) / np.linalg.norm(expected[texts], axis=1)
    return faults + [
        f"{names[texts[i]]}: {length:.6f} times the reference's length in shape {run.shapes[i]}"
        for i, length in enumerate(lengths)
        if not abs(length - 1) <= allowed
    ]


def _texts(run: Run) -> Sequence[int]:
    return range(len(run.vectors)) if run.texts is None else run.texts


def _scores(logits: Vectors, activation: ScoreActivation) -> NDArray[np.float64]:
    """Make scores of the reference's logits; it shares no code with `minnow.scores` on purpose."""
    exact = np.asarray(logits, dtype=np.float64)
    return 0.5 * (1 + np.tanh(exact / 2)) if activation is ScoreActivation.SIGMOID else exact
