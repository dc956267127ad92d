"""Many batches on one engine, as many side by side as it has lanes."""

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
    """Do the same work with every batch, on the engine's lanes.

    Args:
        engine: What to work with.
        batches: The largest first, so that none is left alone at the end.
        work: Called with a lane and a batch; from a thread for each lane, where there are several.

    Yields:
        The number of each batch and what came of it, in the order in which they are done.

    Raises:
        Exception: Of `work`, the first; what runs beside it is waited for, the rest is not begun.
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
