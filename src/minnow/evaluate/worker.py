"""Embeds texts with one system, in a process of its own: its memory is its own, and so is a crash.

Reads a Request as JSON on stdin, puts vectors into the cache block by block, and writes Events as
JSON lines on what was stdout; whatever the system itself prints goes to stderr.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from minnow.errors import EngineError, MinnowError
from minnow.evaluate.cache import VectorCache
from minnow.model.spec import RolePrompts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minnow.engines import TextEmbedder
    from minnow.options import Role

BLOCK = 512
SIMILARITY = "similarity"


@dataclass(frozen=True)
class Request:
    """What to embed.

    Attributes:
        system: As the user wrote it.
        fingerprint: Of the system, which names its cache.
        cache: The folder of the caches.
        threads: CPU threads.
        prompts: For a system whose files do not state any.
        query: Id and text of each query.
        document: Id and text of each document.
    """

    system: str
    fingerprint: str
    cache: str
    threads: int
    prompts: RolePrompts | None
    query: list[tuple[str, str]]
    document: list[tuple[str, str]]


@dataclass(frozen=True)
class Event:
    """How far it is.

    Attributes:
        embedded: How many texts more have their vectors.
        error: The name of an error of minnow.errors that ended it.
        arguments: What that error is made of.
    """

    embedded: int = 0
    error: str | None = None
    arguments: list[Any] = field(default_factory=list)


def main() -> int:
    """Do what the request says; 0 when all of it is done."""
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    try:
        for event in _embed(request):
            answers.write(msgspec.json.encode(event) + b"\n")
    except MinnowError as error:
        made_of = error.__reduce__()[1]
        event = Event(error=type(error).__name__, arguments=list(made_of))
        answers.write(msgspec.json.encode(event) + b"\n")
        return 1
    return 0


def _embed(request: Request) -> Iterator[Event]:
    from minnow.evaluate.systems import open_system

    embedder = open_system(request.system, threads=request.threads, prompts=request.prompts)
    load_seconds = time.monotonic() - _started()
    embedder.encode_query(["warm"])  # the first call of some runtimes allocates and compiles
    texts, seconds = 0, 0.0
    with VectorCache(Path(request.cache), request.fingerprint) as cache:
        cache.put_fact(SIMILARITY, embedder.similarity_kind.value)
        for role, rows in (("query", request.query), ("document", request.document)):
            for start in range(0, len(rows), BLOCK):
                block = rows[start : start + BLOCK]
                took = _embed_block(embedder, role, block, cache)  # type: ignore[arg-type]
                if role == "document":
                    texts, seconds = texts + len(block), seconds + took
                yield Event(embedded=len(block))
        cache.add_run(
            threads=request.threads,
            load_seconds=load_seconds,
            texts=texts,
            seconds=seconds,
            peak_bytes=peak_memory(),
        )
    embedder.close()


def _embed_block(
    embedder: TextEmbedder, role: Role, rows: Sequence[tuple[str, str]], cache: VectorCache
) -> float:
    """Embed some texts and keep their vectors; the seconds that embedding took."""
    texts = [text for _, text in rows]
    started = time.monotonic()
    vectors = embedder.encode_query(texts) if role == "query" else embedder.encode_document(texts)
    took = time.monotonic() - started
    if vectors.shape[:1] != (len(rows),) or vectors.ndim != 2:
        raise EngineError(f"{embedder.name} gave shape {vectors.shape} for {len(rows)} texts.")
    broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if broken.size:
        raise EngineError(
            f"{embedder.name} gave NaN or infinity for the {role} {rows[broken[0]][0]!r}."
        )
    cache.put(role, texts, vectors)
    return took


def _started() -> float:
    """When this process started, on the monotonic clock, in seconds."""
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        return int(fields[19]) / os.sysconf("SC_CLK_TCK") + _suspended()
    except (OSError, ValueError, IndexError):
        return _IMPORTED


def _suspended() -> float:
    """The boot clock, on which Linux counts starts of processes, runs on in a suspended system."""
    return time.monotonic() - time.clock_gettime(time.CLOCK_BOOTTIME)


def peak_memory() -> int:
    """The most memory that this process held at once, in bytes.

    Linux carries getrusage's figure over from the process that started this one, so its own
    is read where there is one.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(row.split()[1]) * 1024 for row in lines if row.startswith("VmHWM"))
    except (OSError, StopIteration, ValueError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


_IMPORTED = time.monotonic()

if __name__ == "__main__":
    sys.exit(main())
