"""A data set embedded with a system: from the cache, and in a child process what that lacks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

import numpy as np
from numpy.typing import NDArray

from minnow.errors import InputError
from minnow.evaluate.cache import VectorCache
from minnow.evaluate.results import ResourceUsage
from minnow.evaluate.worker import BULK, SIMILARITY, EncodeRequest, Event
from minnow.systems import System, start_worker
from minnow.vectors import Similarity

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path

    from typing_extensions import NotRequired, Unpack

    from minnow.datasets.dataset import Dataset
    from minnow.options import Role

    Progress = Callable[[int], None]
    Rows = list[tuple[str, str]]

    class RunArguments(TypedDict):
        """How a system runs: the keyword arguments of `embed_dataset` and `rerank`."""

        cache: Path
        threads: int
        fresh: NotRequired[bool]
        timeout: NotRequired[float]
        progress: Callable[[int], AbstractContextManager[Progress]]


TIMEOUT = 3600.0
"""Seconds in which a system has to open, and to embed a block of texts."""


@dataclass(frozen=True)
class Embedded:
    """A data set as vectors.

    Attributes:
        system: The system that computed them.
        queries: float32 of shape (queries, width), in the data set's order.
        documents: float32 of shape (documents, width).
        similarity: The similarity that they are made for.
        usage: The time and memory that it took.
        ran: Whether a process ran; otherwise all vectors are from the cache.
    """

    system: System
    queries: NDArray[np.float32]
    documents: NDArray[np.float32]
    similarity: Similarity
    usage: ResourceUsage
    ran: bool = True


def embed_dataset(
    system: System,
    dataset: Dataset,
    **run: Unpack[RunArguments],
) -> Embedded:
    """Embed a data set's texts, each once, in a child process.

    Vectors in the cache are not computed again; a run that is stopped leaves its own there.

    Args:
        system: What to embed with.
        dataset: Its queries and documents.
        **run: `cache`, the folder of the caches; `threads`, of the CPU; `fresh`, to discard the
            vectors and times that the cache holds of this system; `timeout`, the seconds in which
            the system has to open, and to embed a block of texts, after which it counts as hung,
            and is killed; `progress`, called with the number of texts to embed, which yields a
            function that is called with the size of each block.

    Raises:
        EngineError: The system failed, crashed, hung or gave NaN; the message names it and the
            text.
        MinnowError: It cannot be loaded.
        OutputError: The cache cannot be written.
    """
    with VectorCache(run["cache"], system.fingerprint) as vectors:
        if run.get("fresh"):
            vectors.clear()
        missing = {
            "query": _missing(vectors, "query", dataset.queries),
            "document": _missing(vectors, "document", dataset.documents),
        }
        runs = any(missing.values()) or vectors.usage(run["threads"]) is None
        if runs:
            with run["progress"](sum(map(len, missing.values()))) as advance:
                _run(system, missing, run, advance)
        usage, similarity = vectors.usage(run["threads"]), vectors.fact(SIMILARITY)
        if usage is None or similarity is None:
            raise InputError(f"The cache {vectors.path} is damaged. Delete it, and run again.")
        return Embedded(
            system=system.in_bulk_on(vectors.fact(BULK)),
            queries=vectors.get("query", list(dataset.queries.values())),
            documents=vectors.get("document", list(dataset.documents.values())),
            similarity=Similarity(similarity),
            usage=usage,
            ran=runs,
        )


def _missing(cache: VectorCache, role: Role, texts: Mapping[str, str]) -> Rows:
    """Return id and text of each text without a vector; of equal texts only the first."""
    first = {text: name for name, text in reversed(list(texts.items()))}
    return [(first[text], text) for text in cache.missing(role, list(texts.values()))]


def _run(
    system: System,
    missing: Mapping[str, Rows],
    run: RunArguments,
    progress: Progress,
) -> None:
    """Have a worker embed what is missing."""
    with start_worker(system, "minnow.evaluate.worker", run.get("timeout", TIMEOUT)) as worker:
        worker.send(
            EncodeRequest(
                system=system.name,
                started=worker.started,
                fingerprint=system.fingerprint,
                cache=str(run["cache"]),
                threads=run["threads"],
                prompts=system.prompts,
                **missing,
            )
        )
        worker.send_end()
        while event := worker.receive(Event):
            progress(event.embedded)
