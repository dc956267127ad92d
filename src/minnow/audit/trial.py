"""Runs of a published model on the probes, by the reading that fits best."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from minnow.audit.session import Reading, Session, possible_readings
from minnow.errors import EngineError
from minnow.model.head import Head
from minnow.model.original import Original
from minnow.model.reference import pool_one
from minnow.model.spec import Interface
from minnow.proof.bundles import mixed_batches, mixed_run
from minnow.proof.references import CheckpointReference
from minnow.proof.verdict import Candidate, Run, Vectors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from minnow.proof.references import TokenRow

TRIED = 6
"""Probes on which ways to read a model are compared."""
_DIGITS = 4
"""Ways to read a model that agree in so many digits alone are told apart by a padded batch."""


@dataclass(frozen=True)
class Trial:
    """What a published model is tried with.

    Attributes:
        original: The model that it was made from.
        head: What follows its token states, where it gives these.
        reference: The probes and their vectors.
        candidate: What it has to reach.
    """

    original: Original
    head: Head
    reference: CheckpointReference
    candidate: Candidate

    @property
    def some(self) -> list[int]:
        """The probes on which ways to read a model are compared: ordinary ones, from all over."""
        lengths = [len(ids) for ids in self.reference.probe_ids]
        plain = [i for i, length in enumerate(lengths) if 5 < length < max(lengths)]
        chosen = plain[:: max(1, len(plain) // TRIED)][:TRIED]
        return chosen or list(range(min(TRIED, len(lengths))))

    def run(
        self, session: Session, reading: Reading, texts: Sequence[int], rows: Sequence[TokenRow]
    ) -> Vectors:
        """Return the vector or the logits of some probes from one forward pass.

        Args:
            session: The model.
            reading: How it is read.
            texts: Indices of the probes.
            rows: The tokens of these.

        Raises:
            EngineError: MNN failed, or the output cannot be read so.
        """
        output = session.run(reading, rows, self.original).astype(np.float64)
        if reading.kind is not Interface.LAST_HIDDEN_STATE:
            return output.reshape(len(rows), -1)
        starts = [self.reference.left_out(self.reference.probes[i].prompt) for i in texts]
        return np.stack(
            [
                pool_one(text[: len(row.ids)], self.head, self._head_tensors, start)
                for text, row, start in zip(output, rows, starts, strict=True)
            ]
        )

    @cached_property
    def _head_tensors(self) -> dict[str, NDArray[np.float64]]:
        """The tensors of the head alone: each tensor of the source is read when it is looked up."""
        tensors = self.original.tensors
        return {
            name: tensors[name].astype(np.float64) for name in tensors if name.startswith("head.")
        }

    def is_wide(self, vectors: Vectors) -> bool:
        """Return whether vectors are as long as the reference's."""
        return vectors.shape[1:] == self.reference.probe_vectors.shape[1:]

    def nearness(self, vectors: Vectors, texts: Sequence[int]) -> float:
        """Return how near vectors of some probes are to the reference's, the worst of them."""
        ranked = self.candidate.measure.ranked(
            self.candidate.figures(vectors, self.reference.probe_vectors[list(texts)])
        )
        return float(ranked.min())


def find_reading(session: Session, trial: Trial) -> Reading:
    """Find the way to read a model by which it comes nearest to the reference, alone and padded.

    Raises:
        EngineError: It runs in none of the ways that are known, or gives nothing of that width.
    """
    found: list[tuple[tuple[float, float], Reading]] = []
    problem = "it has no output of floats"
    for reading in possible_readings(session.ports):
        if found and reading.shape != found[0][1].shape:
            break
        try:
            tried = _try(session, trial, reading)
        except EngineError as error:
            problem = str(error)
            continue
        if trial.is_wide(tried.vectors):
            near = round(trial.nearness(tried.vectors, tried.texts), _DIGITS)
            both = tried.together
            beside = -np.inf if both is None else trial.nearness(both, tried.texts)
            found.append(((near, beside), tried.reading))
        else:
            problem = f"{reading.output} gives vectors of {tried.vectors.shape[1]} numbers"
    if not found:
        raise EngineError(f"{trial.candidate.name} cannot be read: {problem.rstrip('.')}.")
    return max(found, key=lambda each: tuple(np.nan_to_num(each[0], nan=-np.inf)))[1]


@dataclass(frozen=True)
class _Tried:
    """Some probes by one reading: the texts that run, their vectors alone, and in one batch."""

    reading: Reading
    texts: list[int]
    vectors: Vectors
    together: Vectors | None


def _try(session: Session, trial: Trial, reading: Reading) -> _Tried:
    """Run some probes by a reading, each that runs; a model may take short texts only.

    Raises:
        EngineError: None runs.
    """
    reranks, problem = trial.original.reranking is not None, "No probe is so short."
    texts: list[int] = []
    vectors: list[Vectors] = []
    for i in sorted(trial.some, key=lambda i: len(trial.reference.probe_ids[i])):
        row = trial.reference.probe_rows[i]
        if reading.shape is not None and len(row.ids) > reading.shape[1]:
            break
        try:
            found = session.run(reading, [row], trial.original)
            if found.ndim == 3 and found.shape[2] == trial.original.encoder.width and not reranks:
                kind = Interface.LAST_HIDDEN_STATE
            else:
                kind = Interface.SCORES if reranks else Interface.SENTENCE_EMBEDDING
            reading = replace(reading, kind=kind)
            vectors.append(trial.run(session, reading, [i], [row]))
            texts.append(i)
        except EngineError as error:
            problem = str(error)
            break
    if not vectors:
        raise EngineError(problem)
    together = None
    if reading.shape is None:
        with suppress(EngineError):
            rows = [trial.reference.probe_rows[i] for i in texts]
            together = trial.run(session, reading, texts, rows)
    return _Tried(reading, texts, np.concatenate(vectors), together)


def run_probes(
    session: Session, threads: int, reading: Reading, trial: Trial, rows: Sequence[TokenRow]
) -> tuple[list[Run], str]:
    """Run all probes one by one and in padded batches, or padded to the only shape.

    Args:
        session: The model.
        threads: Its threads.
        reading: How it is read.
        trial: What it is tried with.
        rows: The tokens of each probe.

    Returns:
        The runs, and why there is none of padded batches; empty where there is.

    Raises:
        EngineError: It does not run a text alone.
    """
    lengths = [len(row.ids) for row in rows]
    alone = _run_alone(session, reading, trial, rows)
    if reading.shape is not None:
        name = "padded to {}x{}".format(*reading.shape)
        return [Run(threads, name, alone, [reading.shape] * len(rows))], ""
    runs = [Run(threads, "one by one", alone, [(1, length) for length in lengths])]
    batches = mixed_batches(lengths)
    try:
        together = [trial.run(session, reading, some, [rows[i] for i in some]) for some in batches]
    except EngineError as error:
        return runs, str(error)
    return [*runs, mixed_run(threads, batches, together, lengths)], ""


def _run_alone(
    session: Session, reading: Reading, trial: Trial, rows: Sequence[TokenRow]
) -> Vectors:
    """Run each probe by itself, the shortest first; from a limit on, all get NaN.

    Raises:
        EngineError: The shortest does not run, or one that is shorter than others which do.
    """
    alone = np.full((len(rows), trial.reference.probe_vectors.shape[1]), np.nan)
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    for place, i in enumerate(order):
        try:
            alone[i] = trial.run(session, reading, [i], [rows[i]])[0]
        except EngineError as error:
            if not place or _runs(session, reading, trial, order[-1], rows):
                raise error from None
            break
    return alone


def _runs(
    session: Session, reading: Reading, trial: Trial, text: int, rows: Sequence[TokenRow]
) -> bool:
    try:
        trial.run(session, reading, [text], [rows[text]])
    except EngineError:
        return False
    return True
