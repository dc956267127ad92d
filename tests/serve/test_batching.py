"""Requests share batches, take turns, and leave no trace when they are cancelled."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from minnow.errors import EngineError
from minnow.model.tokenizer import TokenizedText
from minnow.serve.batching import Batch, Batcher
from minnow.serve.errors import ApiError
from minnow.serve.settings import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from numpy.typing import NDArray

POISON = 13


class FakeModel:
    """A model whose vector of a text is its first id and its length.

    Attributes:
        runs: What was run: the lane, and the first id of each row.
    """

    name = "fake"
    width = 2

    def __init__(self, lanes: int = 1) -> None:
        self.lanes: Any = tuple(f"lane {i}" for i in range(lanes))
        self.whole: Any = "whole" if lanes > 1 else self.lanes[0]
        self.runs: list[tuple[str, list[int]]] = []
        self.gate = threading.Event()
        self.gate.set()

    def forward(self, lane: Any, rows: Sequence[TokenizedText]) -> NDArray[np.float32]:
        self.runs.append((lane, [row.ids[0] for row in rows]))
        assert self.gate.wait(10)
        if any(row.ids[0] == POISON for row in rows):
            raise EngineError("poison")
        return np.array([[row.ids[0], len(row)] for row in rows], dtype=np.float32)

    @property
    def order(self) -> list[list[int]]:
        return [firsts for _, firsts in self.runs]


def text(first: int, length: int = 4) -> TokenizedText:
    return TokenizedText([first] * length, truncated=False, count=length)


def run(
    test: Callable[[Batcher, FakeModel], Coroutine[Any, Any, None]],
    lanes: int = 1,
    on_batch: Callable[[Batch], None] = lambda _: None,
    **limits: Any,
) -> FakeModel:
    """Run a test with a batcher and one model; nothing is left in the queue after it."""
    model = FakeModel(lanes)

    async def main() -> None:
        batcher = Batcher(Limits(**limits), on_batch)
        batcher.add(model)
        try:
            await asyncio.wait_for(test(batcher, model), 20)
            assert (batcher.tokens, batcher.texts) == (0, 0)
        finally:
            model.gate.set()
            batcher.close()
            await batcher.drained()

    asyncio.run(main())
    return model


async def behind(batcher: Batcher, model: FakeModel) -> asyncio.Task[Any]:
    """Keep a lane busy, so that what comes next has to wait."""
    model.gate.clear()
    task = asyncio.create_task(batcher.embed(model, [text(1)]))
    await asyncio.sleep(0.01)
    return task


async def waiting(batcher: Batcher, model: FakeModel, *jobs: list[TokenizedText]) -> list[Any]:
    tasks = [asyncio.create_task(batcher.embed(model, job)) for job in jobs]
    await asyncio.sleep(0.01)
    return tasks


def test_vectors_come_back_in_order() -> None:
    async def test(batcher: Batcher, model: FakeModel) -> None:
        rows = [text(i, 1 + i % 7) for i in range(20, 120)]
        found = await batcher.embed(model, rows)
        assert found.tolist() == [[row.ids[0], len(row)] for row in rows]

    run(test, lanes=3)


def test_what_waits_is_merged() -> None:
    async def test(batcher: Batcher, model: FakeModel) -> None:
        first = await behind(batcher, model)
        tasks = await waiting(batcher, model, *([text(i)] for i in range(20, 30)))
        model.gate.set()
        found = await asyncio.gather(first, *tasks)
        assert [vectors[0, 0] for vectors in found] == [1, *range(20, 30)]

    assert len(run(test).runs) == 2


def test_a_batch_has_at_most_the_tokens_of_one() -> None:
    batches: list[Batch] = []

    async def test(batcher: Batcher, model: FakeModel) -> None:
        await batcher.embed(model, [text(i, 200) for i in range(20, 40)])

    run(test, on_batch=batches.append)
    assert [batch.texts for batch in batches] == [5, 5, 5, 5]
    assert all(batch.tokens == batch.padded == 1000 for batch in batches)


def test_one_alone_gets_all_threads_and_many_get_lanes() -> None:
    async def test(batcher: Batcher, model: FakeModel) -> None:
        await batcher.embed(model, [text(1)])
        await batcher.embed(model, [text(i, 300) for i in range(20, 40)])

    runs = run(test, lanes=2).runs
    assert runs[0][0] == "whole"
    assert {lane for lane, _ in runs[1:-1]} == {"lane 0", "lane 1"}


def test_a_huge_request_does_not_starve_a_small_one() -> None:
    async def test(batcher: Batcher, model: FakeModel) -> None:
        first = await behind(batcher, model)
        huge, small = await waiting(
            batcher, model, [text(100, 250) for _ in range(400)], [text(7, 5)]
        )
        model.gate.set()
        await small
        assert not huge.done()
        assert len(model.runs) <= 4
        await asyncio.gather(first, huge)

    run(test)


def test_a_small_request_does_not_keep_off_others() -> None:
    """All jobs of one text are served in the order in which they came, as far as lengths allow."""

    async def test(batcher: Batcher, model: FakeModel) -> None:
        first = await behind(batcher, model)
        jobs = [[text(100 + i, 240)] for i in range(12)]
        tasks = await waiting(batcher, model, *jobs)
        model.gate.set()
        await asyncio.gather(first, *tasks)

    order = run(test).order[1:]
    assert [len(batch) for batch in order] == [4, 4, 4]
    assert [batch[0] for batch in order] == [100, 104, 108]


def test_cancelled_work_is_not_run() -> None:
    async def test(batcher: Batcher, model: FakeModel) -> None:
        first = await behind(batcher, model)
        cancelled, kept = await waiting(
            batcher, model, [text(50 + i) for i in range(100)], [text(7)]
        )
        assert batcher.texts == 102
        cancelled.cancel()
        await asyncio.sleep(0)
        assert (batcher.texts, batcher.tokens) == (2, 8)
        model.gate.set()
        await asyncio.gather(first, kept)
        assert cancelled.cancelled()

    assert run(test).order == [[1], [7]]


def test_cancelling_what_runs_lets_the_next_go_on() -> None:
    async def test(batcher: Batcher, model: FakeModel) -> None:
        first = await behind(batcher, model)
        first.cancel()
        await asyncio.sleep(0)
        model.gate.set()
        assert (await batcher.embed(model, [text(9)]))[0, 0] == 9

    run(test)


@pytest.mark.parametrize("limits", [{"max_queue_tokens": 20}, {"max_queue_texts": 5}])
def test_a_full_queue_refuses_and_says_when_to_come_again(limits: dict[str, Any]) -> None:
    async def test(batcher: Batcher, model: FakeModel) -> None:
        first = await behind(batcher, model)
        (second,) = await waiting(batcher, model, [text(i) for i in range(20, 24)])
        with pytest.raises(ApiError) as refused:
            await batcher.embed(model, [text(30)])
        assert refused.value.status == 429
        assert int(refused.value.headers["Retry-After"]) >= 1
        model.gate.set()
        await asyncio.gather(first, second)
        assert (await batcher.embed(model, [text(30)])).shape == (1, 2)

    run(test, **limits)


def test_a_single_request_always_fits() -> None:
    """Else it could never be answered."""

    async def test(batcher: Batcher, model: FakeModel) -> None:
        assert len(await batcher.embed(model, [text(i) for i in range(20, 40)])) == 20

    run(test, max_queue_tokens=3, max_queue_texts=1)


def test_a_failure_is_of_the_one_that_caused_it() -> None:
    async def test(batcher: Batcher, model: FakeModel) -> None:
        first = await behind(batcher, model)
        good, bad, other = await waiting(
            batcher, model, [text(20), text(21)], [text(POISON), text(22)], [text(23)]
        )
        model.gate.set()
        assert (await good)[:, 0].tolist() == [20, 21]
        assert (await other)[:, 0].tolist() == [23]
        with pytest.raises(EngineError, match="poison"):
            await bad
        await first
        assert (await batcher.embed(model, [text(24)]))[0, 0] == 24

    run(test)


def test_closing_ends_all_waits() -> None:
    async def test(batcher: Batcher, model: FakeModel) -> None:
        first = await behind(batcher, model)
        (second,) = await waiting(batcher, model, [text(20)])
        batcher.close()
        for task in (first, second):
            with pytest.raises(ApiError) as refused:
                await task
            assert refused.value.status == 503
        with pytest.raises(ApiError):
            await batcher.embed(model, [text(21)])

    run(test)


def test_models_share_the_lanes_of_the_machine() -> None:
    other = FakeModel(1)

    async def test(batcher: Batcher, model: FakeModel) -> None:
        batcher.add(other)
        first = await behind(batcher, model)
        rest = asyncio.create_task(batcher.embed(other, [text(5)]))
        await asyncio.sleep(0.02)
        assert other.runs == []
        model.gate.set()
        assert (await rest)[0, 0] == 5
        await first

    run(test)
    assert other.order == [[5]]
