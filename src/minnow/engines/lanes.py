"""Parallel runs of many batches on the lanes of one engine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, as_completed
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from minnow.engines.base import Engine

Batch = TypeVar("Batch")
Result = TypeVar("Result")


def run_batches(
    engine: Engine, batches: Sequence[Batch], work: Callable[[Engine, Batch], Result]
) -> Iterator[tuple[int, Result]]:
    """Run a function on every batch, on the engine's lanes.

    Args:
        engine: The engine.
        batches: The largest first, so that no lane is busy alone at the end.
        work: Receives a lane and a batch; each of several lanes has its own thread.

    Yields:
        The number of each batch and its result, in the order in which they finish.

    Raises:
        Exception: The first that `work` raises; batches that already run finish, no other starts.
    """
    lanes = engine.lanes(len(batches))
    if len(lanes) == 1:
        for number, batch in enumerate(batches):
            yield number, work(lanes[0], batch)
        return
    free: SimpleQueue[Engine] = SimpleQueue()
    for lane in lanes:
        free.put(lane)

    def on_a_lane(number: int) -> tuple[int, Result]:
        lane = free.get()
        try:
            return number, work(lane, batches[number])
        finally:
            free.put(lane)

    pool = ThreadPoolExecutor(len(lanes), thread_name_prefix="minnow-lane")
    try:
        for done in as_completed([pool.submit(on_a_lane, n) for n in range(len(batches))]):
            yield done.result()
    finally:
        pool.shutdown(cancel_futures=True)
