"""The worker that embeds texts with one system, and puts their vectors into the cache by the block.

It answers an EncodeRequest with an Event for each block.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minnow.engine_choice import bulk_engine
from minnow.errors import EngineError
from minnow.evaluate.cache import VectorCache
from minnow.model.spec import RolePrompts
from minnow.processes import peak_memory
from minnow.systems import open_system
from minnow.workers import Parent, serve_requests

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minnow.engines import TextEmbedder
    from minnow.options import Role

BLOCK = 512
SIMILARITY, BULK = "similarity", "bulk"


@dataclass(frozen=True)
class EncodeRequest:
    """Texts to embed with a system.

    Attributes:
        system: Its name, as the user wrote it.
        started: The monotonic clock when this process was started.
        fingerprint: The fingerprint of the system, which names its cache.
        cache: The folder of the caches.
        threads: CPU threads.
        prompts: Prompts of a system whose files do not state any.
        query: Id and text of each query.
        document: Id and text of each document.
    """

    system: str
    started: float
    fingerprint: str
    cache: str
    threads: int
    prompts: RolePrompts | None
    query: list[tuple[str, str]]
    document: list[tuple[str, str]]


@dataclass(frozen=True)
class Event:
    """A block of texts has its vectors.

    Attributes:
        embedded: How many texts.
    """

    embedded: int


def main() -> int:
    """Do what the request says; see `serve_requests`."""
    return serve_requests(_serve)


def _serve(parent: Parent) -> None:
    for request in parent.requests(EncodeRequest):
        for event in _embed(request):
            parent.reply(event)


def _embed(request: EncodeRequest) -> Iterator[Event]:
    embedder = open_system(request.system, threads=request.threads, prompts=request.prompts)
    load_seconds = time.monotonic() - request.started
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
        cache.put_fact(BULK, bulk_engine(embedder) or cache.fact(BULK) or "")
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
    """Embed some texts and keep their vectors; return the seconds that embedding took."""
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
