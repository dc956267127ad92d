"""The worker that measures how long one system takes: to open, for documents, for queries.

It answers a Setup, and then Tasks, each with a Timing. What it imports counts as loading, so it
stands here, and not beside `minnow.bench`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from minnow.engine_choice import bulk_engine
from minnow.errors import EngineError
from minnow.model.spec import RolePrompts
from minnow.processes import peak_memory
from minnow.systems import open_system
from minnow.workers import Parent, serve_requests

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from minnow.engines import TextEmbedder


@dataclass(frozen=True)
class Setup:
    """A system to open.

    Attributes:
        system: Its name, as the user wrote it.
        threads: CPU threads.
        prompts: Prompts of a system whose files do not state any.
        first: The first query to embed.
    """

    system: str
    threads: int
    prompts: RolePrompts | None
    first: str


@dataclass(frozen=True)
class Task:
    """Texts to embed: documents all at once, or queries one by one."""

    kind: Literal["documents", "queries"]
    texts: list[str]


@dataclass(frozen=True)
class Timing:
    """Times of a setup or a task.

    Attributes:
        times: Of a Setup: the monotonic clock when the system was open, and when it had its first
            vector. Of a Task: the seconds that all documents took, or that each query took.
        peak_bytes: The most memory that the process has held so far.
        bulk: The engine that a bundle took in bulk, if it was another than its own.
    """

    times: list[float]
    peak_bytes: int
    bulk: str | None = None


def main() -> int:
    """Answer requests until there are no more; see `serve_requests`."""
    return serve_requests(_serve)


def _serve(parent: Parent) -> None:
    setup = next(parent.requests(Setup))
    embedder = open_system(setup.system, threads=setup.threads, prompts=setup.prompts)
    opened = time.monotonic()
    _check(embedder, embedder.encode_query([setup.first]), 1)
    parent.reply(Timing([opened, time.monotonic()], peak_memory()))
    for task in parent.requests(Task):
        work = _documents if task.kind == "documents" else _queries
        times = work(embedder, task.texts)
        parent.reply(Timing(times, peak_memory(), bulk_engine(embedder)))
    embedder.close()


def _documents(embedder: TextEmbedder, texts: list[str]) -> list[float]:
    started = time.perf_counter()
    vectors = embedder.encode_document(texts)
    took = time.perf_counter() - started
    _check(embedder, vectors, len(texts))
    return [took]


def _queries(embedder: TextEmbedder, texts: list[str]) -> list[float]:
    times = []
    for text in texts:
        started = time.perf_counter()
        vectors = embedder.encode_query([text])
        times.append(time.perf_counter() - started)
        _check(embedder, vectors, 1)
    return times


def _check(embedder: TextEmbedder, vectors: NDArray[np.float32], texts: int) -> None:
    """Refuse vectors of a system that is fast because it fails.

    Raises:
        EngineError: A vector is not finite, all 0, or missing.
    """
    if vectors.ndim != 2 or len(vectors) != texts or not np.isfinite(vectors).all():
        raise EngineError(
            f"{embedder.name} gave NaN, infinity or shape {vectors.shape} for {texts} texts."
        )
    if not vectors.any(axis=1).all():
        raise EngineError(f"{embedder.name} gave a vector of zeros.")
