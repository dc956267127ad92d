"""Rankings put in another order by a reranker: scores from the cache, and in a child process."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minnow.errors import EngineError, InputError
from minnow.evaluate.cache import VectorCache
from minnow.evaluate.run import TIMEOUT
from minnow.processes import peak_memory
from minnow.systems import start_worker
from minnow.systems.rerankers import open_reranker
from minnow.workers import Parent, serve_requests

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from minnow.datasets.dataset import Dataset
    from minnow.evaluate.results import ResourceUsage
    from minnow.evaluate.run import RunArguments
    from minnow.systems import System

    Indices = NDArray[np.int64]

_BLOCK = 1024


@dataclass(frozen=True)
class RerankRequest:
    """Pairs to score with a reranker.

    Attributes:
        reranker: Its name, as the user wrote it.
        started: The monotonic clock when this process was started.
        fingerprint: The fingerprint of the reranker, which names its cache.
        cache: The folder of the caches.
        threads: CPU threads.
        queries: Texts.
        documents: Texts.
        pairs: Places of a query and of a document.
    """

    reranker: str
    started: float
    fingerprint: str
    cache: str
    threads: int
    queries: list[str]
    documents: list[str]
    pairs: list[tuple[int, int]]


@dataclass(frozen=True)
class Scored:
    """A block of pairs has its scores.

    Attributes:
        pairs: How many.
    """

    pairs: int


def rerank(
    reranker: System,
    dataset: Dataset,
    found: Sequence[Indices],
    candidates: int,
    **run: Unpack[RunArguments],
) -> tuple[list[Indices], ResourceUsage]:
    """Order the first documents of each query by a reranker's logits; the others stay behind them.

    Scores in the cache are not computed again; a run that is stopped leaves its own there.

    Args:
        reranker: What to score with.
        dataset: Its queries and documents.
        found: Places of documents for each query, best first.
        candidates: How many documents of each query to score.
        **run: As for `embed_dataset`; here `progress` counts pairs.

    Returns:
        The places in their new order, and the time and memory that it took (`texts_per_second`
        counts pairs).

    Raises:
        EngineError: The reranker failed, crashed, hung or gave NaN.
        OutputError: The cache cannot be written.
    """
    queries, documents = list(dataset.queries.values()), list(dataset.documents.values())
    places = [(q, int(d)) for q, row in enumerate(found) for d in row[:candidates]]
    keys = [_key(queries[q], documents[d]) for q, d in places]
    with VectorCache(run["cache"], reranker.fingerprint) as cache:
        if run.get("fresh"):
            cache.clear()
        missing = set(cache.missing("pair", keys))
        todo = {key: place for key, place in zip(keys, places, strict=True) if key in missing}
        if todo or cache.usage(run["threads"]) is None:
            with run["progress"](len(todo)) as advance:
                request = RerankRequest(
                    reranker=reranker.name,
                    started=0.0,
                    fingerprint=reranker.fingerprint,
                    cache=str(run["cache"]),
                    threads=run["threads"],
                    queries=queries,
                    documents=documents,
                    pairs=list(todo.values()),
                )
                _run(reranker, request, run.get("timeout", TIMEOUT), advance)
        usage, scores = cache.usage(run["threads"]), iter(cache.get("pair", keys)[:, 0])
        if usage is None:
            raise InputError(f"The cache {cache.path} is damaged. Delete it, and run again.")
    rows = []
    for row in found:
        first = row[:candidates]
        logits = np.array([next(scores) for _ in first], np.float32)
        rows.append(np.concatenate([first[np.argsort(-logits, kind="stable")], row[candidates:]]))
    return rows, usage


def _run(
    reranker: System, request: RerankRequest, timeout: float, progress: Callable[[int], None]
) -> None:
    """Have a worker score what is missing."""
    with start_worker(reranker, "minnow.evaluate.reranking", timeout) as worker:
        worker.send(replace(request, started=worker.started))
        worker.send_end()
        while event := worker.receive(Scored):
            progress(event.pairs)


def _key(query: str, document: str) -> str:
    return json.dumps([query, document], ensure_ascii=False)


# --- the child process -------------------------------------------------------------------


def main() -> int:
    """Score the pairs of a request; see `serve_requests`."""
    return serve_requests(_serve)


def _serve(parent: Parent) -> None:
    for request in parent.requests(RerankRequest):
        for event in _score(request):
            parent.reply(event)


def _score(request: RerankRequest) -> Iterator[Scored]:
    scorer = open_reranker(request.reranker, request.threads)
    load_seconds = time.monotonic() - request.started
    scorer.score([("warm", "warm")])  # the first call of some runtimes allocates and compiles
    seconds = 0.0
    with VectorCache(Path(request.cache), request.fingerprint) as cache:
        for start in range(0, len(request.pairs), _BLOCK):
            places = request.pairs[start : start + _BLOCK]
            pairs = [(request.queries[q], request.documents[d]) for q, d in places]
            began = time.monotonic()
            logits = scorer.score(pairs)
            seconds += time.monotonic() - began
            broken = np.flatnonzero(~np.isfinite(logits))
            if broken.size:
                query, document = pairs[broken[0]]
                raise EngineError(
                    f"{request.reranker} gave NaN or infinity for the query {query[:60]!r} with "
                    f"the document {document[:60]!r}."
                )
            cache.put("pair", [_key(*pair) for pair in pairs], logits[:, None])
            yield Scored(pairs=len(pairs))
        cache.add_run(
            threads=request.threads,
            load_seconds=load_seconds,
            texts=len(request.pairs),
            seconds=seconds,
            peak_bytes=peak_memory(),
        )
