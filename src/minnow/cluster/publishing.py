"""Two steps of a part: a process embeds it, and another checks a sample and writes the file."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pyarrow as pa

from minnow.cluster.columns import ERROR, read_texts, read_vectors, vector_columns
from minnow.cluster.neighbour import SampleReply
from minnow.cluster.parts import (
    CorpusPart,
    PartRecord,
    PartSample,
    content_digest,
    counts,
    read_record,
    with_record,
)
from minnow.engines import AGREEMENT
from minnow.errors import ParityError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from minnow.cluster.job import Job
    from minnow.cluster.places import Place
    from minnow.cluster.runner import BlockRunner
    from minnow.indexfile.fingerprint import Fingerprint

    Floats = NDArray[np.float32]

SAMPLE = 8
"""Rows of a part that another process embeds again."""
ROUNDING = {"float32": 0.0, "float16": 1e-6, "int8": 5e-4}
"""What two roundings of nearly the same vector may add to the difference of a cosine from 1."""


@dataclass(frozen=True)
class Finished:
    """A part whose file is there.

    Attributes:
        name: Name of the file.
        rows: Number of rows.
        errors: Rows without a vector.
        truncated: Rows whose text was cut off.
        worst: The least agreement of a sampled row.
        is_new: Whether this run has embedded it.
    """

    name: str
    rows: int
    errors: int
    truncated: int
    worst: float
    is_new: bool


@dataclass(frozen=True)
class EmbeddedPart:
    """A part that has vectors, and no file yet.

    Attributes:
        part: The part.
        key: Digest of the job and the rows.
        table: The rows with their results.
        sample: Numbers of the rows to embed again.
        engine: The engine that ran.
        host: The machine and the process that ran it.
    """

    part: CorpusPart
    key: str
    table: pa.Table
    sample: list[int]
    engine: str
    host: str


def embed_part(
    part: CorpusPart, job: Job, target: Place, runner: Callable[[], BlockRunner]
) -> Finished | EmbeddedPart:
    """Embed a part, unless its file is there.

    Args:
        part: The part.
        job: What to compute.
        target: The folder of finished files.
        runner: Opens the bundle; called only if there is something to embed.

    Raises:
        InputError: The part cannot be read, or a column is missing.
        EngineError, ParityError: As `BlockRunner`.
    """
    table = part.read(job)
    key = content_digest(table, job.identity)
    place = target / part.file_name(key)
    if place.exists:
        record = read_record(place)
        return _finished(place.name, record, is_new=False)
    opened = runner()
    found = opened(table)
    return EmbeddedPart(part, key, found, choose_sample(found, key), opened.engine, host())


def choose_sample(table: pa.Table, key: str, count: int = SAMPLE) -> list[int]:
    """Choose rows with a vector, which are always the same for the same key."""
    sound = np.flatnonzero(np.asarray(table.column(ERROR).is_null()))
    chosen = np.random.default_rng(int(key[:16], 16)).choice(
        sound, min(count, len(sound)), replace=False
    )
    return sorted(int(row) for row in chosen)


def sample_texts(made: EmbeddedPart, job: Job) -> list[str]:
    """Return the texts of the sampled rows."""
    return [str(text) for text in read_texts(made.table.take(made.sample), job.columns[0])]


def embed_sample(runner: BlockRunner, texts: list[str]) -> SampleReply:
    """Embed the texts of sampled rows again."""
    vectors, _, _ = runner.run([(text,) for text in texts])
    return SampleReply(vectors.tobytes(), runner.engine, host())


def publish(
    made: EmbeddedPart, reply: SampleReply, job: Job, target: Place, fingerprint: Fingerprint
) -> Finished:
    """Write the file of a part, once another process has given the same vectors.

    Raises:
        ParityError: It has not; nothing is written.
        OutputError: The file cannot be written.
    """
    vectors = read_vectors(made.table.take(made.sample))
    again = np.frombuffer(reply.vectors, "<f4").reshape(vectors.shape)
    worst = judge_sample(vectors, again, job, f"{made.part.source}, part {made.part.start}")
    errors, truncated = counts(made.table)
    record = PartRecord(
        fingerprint=fingerprint,
        job=msgspec.Raw(job.identity),
        key=made.key,
        source=made.part.source,
        start=made.part.start,
        rows=len(made.table),
        errors=errors,
        truncated=truncated,
        engine=made.engine,
        host=made.host,
        sample=PartSample(made.sample, reply.vectors, worst, reply.engine, reply.host),
    )
    place = target / made.part.file_name(made.key)
    place.write(with_record(made.table, record))
    return _finished(place.name, record, is_new=True)


def judge_sample(vectors: Floats, again: Floats, job: Job, name: str) -> float:
    """Compare vectors of a file with those that another process made of the same texts.

    Args:
        vectors: float32 of shape (rows, width), as the file has them.
        again: The others, of the same shape, not rounded.
        job: Its numbers and agreement.
        name: What the rows are of, for the message.

    Returns:
        The least agreement: the cosine, less what the lengths differ by.

    Raises:
        ParityError: It is below the job's.
    """
    if not len(vectors):
        return 1.0
    rounded = read_vectors(pa.table(vector_columns(again, job.dtype)))
    agreements = agreement_of(vectors, rounded)
    worst = int(agreements.argmin())
    least = (job.options.agreement or AGREEMENT) - ROUNDING[job.dtype]
    if not agreements[worst] >= least:
        raise ParityError(
            f"Two processes do not give the same vectors: the agreement of a row of {name} is "
            f"{agreements[worst]:.6f}, below {least:.6f}. Check the machines' engines with "
            "`minnow doctor`.",
            worst=float(agreements[worst]),
        )
    return float(agreements[worst])


def agreement_of(one: Floats, other: Floats) -> NDArray[np.float64]:
    """Return 1 - |a - b|^2 / (2 |a| |b|) of each row: the cosine where the lengths are equal."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    both = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    apart = ((a - b) ** 2).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: NDArray[np.float64] = np.where(apart == 0, 1.0, 1 - apart / (2 * both))
    return np.where(np.isnan(found), -1.0, found)


def host() -> str:
    """Return the machine and the process, as `HOST/PID`."""
    return f"{platform.node()}/{os.getpid()}"


def _finished(name: str, record: PartRecord, *, is_new: bool) -> Finished:
    return Finished(name, record.rows, record.errors, record.truncated, record.sample.worst, is_new)
