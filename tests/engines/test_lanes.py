"""Parallel batches: each runs once, no lane runs two at once, errors and stops are passed on."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from minnow.engines.lanes import run_batches
from minnow.model.spec import Interface

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray


class Lane:
    """An engine that does nothing, and notices whether two threads use it at once."""

    name = "lane"
    interface = Interface.LAST_HIDDEN_STATE

    def __init__(self, others: int = 0) -> None:
        self.asked: list[int] = []
        self.done: list[int] = []
        self._others = [Lane() for _ in range(others)]
        self._busy = threading.Lock()

    def run(self, batch: Any) -> NDArray[np.float32]:
        raise NotImplementedError

    def lanes(self, batches: int) -> Sequence[Lane]:
        self.asked.append(batches)
        return self._others or (self,)

    def close(self) -> None:
        raise NotImplementedError

    def work(self, batch: int) -> int:
        assert self._busy.acquire(blocking=False), "two at once"
        time.sleep(0.001 * (batch % 3))
        self.done.append(batch)
        self._busy.release()
        return batch * batch


def work(lane: Any, batch: int) -> int:
    result: int = lane.work(batch)
    return result


@pytest.mark.parametrize("lanes", [0, 2, 4])
@pytest.mark.parametrize("batches", [0, 1, 2, 40])
def test_every_batch_is_done_once(lanes: int, batches: int) -> None:
    engine = Lane(lanes)
    numbers = list(range(100, 100 + batches))
    assert sorted(run_batches(engine, numbers, work)) == [
        (n, number**2) for n, number in enumerate(numbers)
    ]
    assert engine.asked == [batches]
    done = [number for lane in (engine, *engine._others) for number in lane.done]
    assert sorted(done) == numbers
    if lanes and batches == 40:
        assert all(lane.done for lane in engine._others)


@pytest.mark.parametrize("lanes", [0, 3])
def test_a_fault_is_raised_and_the_rest_is_not_started(lanes: int) -> None:
    engine, started = Lane(lanes), []

    def fail(lane: Any, batch: int) -> int:
        started.append(batch)
        if batch == 5:
            raise ValueError("the fifth")
        return work(lane, batch)

    with pytest.raises(ValueError, match="the fifth"):
        list(run_batches(engine, range(1000), fail))
    assert len(started) < 900
    assert sorted(n for n, _ in run_batches(engine, range(6), work)) == list(range(6))


@pytest.mark.parametrize("lanes", [0, 3])
def test_closing_the_iterator_stops_the_work(lanes: int) -> None:
    """As a KeyboardInterrupt does: no thread is left, and lanes work on."""
    engine, before = Lane(lanes), threading.active_count()
    found = run_batches(engine, range(1000), work)
    next(found)
    found.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    done = sum(len(lane.done) for lane in (engine, *engine._others))
    assert done < 900
    assert len(list(run_batches(engine, range(9), work))) == 9
