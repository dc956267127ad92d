"""Requests of many connections, merged into batches for the engines.

All of a batcher's state belongs to the event loop: only forward passes run in threads. So nothing
is locked, and what is cancelled is out of the queue at once.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import numpy as np

from minnow.options import BATCH_SIZE
from minnow.serve.errors import ApiError, busy, unavailable
from minnow.serve.picking import pick

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from minnow.engines.base import Engine
    from minnow.serve.settings import Limits

    Floats = NDArray[np.float32]
    Ids = Sequence[int]

CANDIDATES = 256
"""Texts among which those alike in length are looked for."""

_LONGEST_ADVICE = 60


class Worker(Protocol):
    """A model, as a batcher sees it."""

    @property
    def width(self) -> int:
        """Length of a vector."""
        ...

    @property
    def lanes(self) -> Sequence[Engine]:
        """What computes side by side, each one batch at a time."""
        ...

    @property
    def whole(self) -> Engine:
        """What computes one batch with all threads; a lane, where there is one only."""
        ...

    def forward(self, lane: Engine, rows: list[Ids]) -> Floats:
        """Vectors of token ids: float32 of shape (rows, width). Called in a thread.

        Raises:
            Exception: The runtime failed.
        """
        ...


@dataclass(frozen=True)
class Batch:
    """A forward pass that was made.

    Attributes:
        texts: Rows of it.
        tokens: Without padding.
        padded: With padding.
        seconds: That it took.
    """

    texts: int
    tokens: int
    padded: int
    seconds: float


@dataclass(eq=False)
class _Job:
    """What one request asks for.

    Attributes:
        worker: The model.
        rows: Token ids of each text.
        vectors: What is done so far; float32 of shape (texts, width).
        done: Told when all are.
        waiting: Texts that are not begun, the longest first.
        alone: Whether its texts are kept from those of others, because they failed together.
    """

    worker: Worker
    rows: Sequence[Ids]
    vectors: Floats
    done: asyncio.Future[None]
    waiting: deque[int]
    left: int
    alone: bool = False


@dataclass(frozen=True)
class _Seat:
    """A text that may go into the next batch."""

    job: _Job
    index: int

    @property
    def ids(self) -> Ids:
        return self.job.rows[self.index]


class Batcher:
    """One queue for all models, and as many batches at once as the machine has lanes for.

    A lane that is free takes what has come in meanwhile; it never waits for more. Jobs take
    turns: each batch begins with a text of the next one, and those of others that are alike in
    length fill it up. So a job of thousands of texts does not hold up one of one.
    """

    def __init__(self, limits: Limits, on_batch: Callable[[Batch], None] = lambda _: None) -> None:
        """Begin with no models.

        Args:
            limits: How much may wait.
            on_batch: Told of each forward pass.
        """
        self._limits, self._on_batch = limits, on_batch
        self._idle: dict[Worker, list[Engine]] = {}
        self._jobs: deque[_Job] = deque()
        self._open: set[_Job] = set()
        self._slots = self._free = 0
        self._executor: ThreadPoolExecutor | None = None
        self._rate = 0.0
        self._closed = False
        self.tokens = self.texts = 0

    def add(self, worker: Worker) -> None:
        """Take work for a model, whose lanes are ready."""
        self._idle[worker] = list(worker.lanes)
        more = max(0, len(worker.lanes) - self._slots)
        self._slots, self._free = self._slots + more, self._free + more
        if more:
            old, self._executor = (
                self._executor,
                ThreadPoolExecutor(self._slots, thread_name_prefix="minnow-lane"),
            )
            if old is not None:
                old.shutdown(wait=False)

    def check_room(self, tokens: int = 1, texts: int = 1) -> None:
        """Refuse what would have to wait too long. What is alone is never refused.

        Raises:
            ApiError: The queue is full, or closed.
        """
        if self._closed:
            raise _stopping()
        full = (
            self.tokens + tokens > self._limits.max_queue_tokens
            or self.texts + texts > self._limits.max_queue_texts
        )
        if full and self.texts:
            seconds = self.seconds_to_wait
            raise busy(
                f"{self.texts} texts of {self.tokens} tokens are waiting, and more would be over "
                f"the limit of this server. Try again in {seconds} s.",
                seconds,
            )

    @property
    def seconds_to_wait(self) -> int:
        """About how long what waits will take; at least 1."""
        seconds = self.tokens / self._rate if self._rate else 1.0
        return int(min(max(1.0, seconds), _LONGEST_ADVICE))

    async def embed(self, worker: Worker, rows: Sequence[Ids]) -> Floats:
        """Vectors of token ids, in their order: float32 of shape (rows, width).

        When the caller is cancelled, what is not begun is forgotten.

        Args:
            worker: A model that was added.
            rows: At least one; each holds at least one id.

        Raises:
            ApiError: The queue is full, or closed.
            EngineError: The runtime failed.
        """
        tokens = sum(map(len, rows))
        self.check_room(tokens, len(rows))
        job = _Job(
            worker,
            rows,
            np.empty((len(rows), worker.width), dtype=np.float32),
            asyncio.get_running_loop().create_future(),
            deque(sorted(range(len(rows)), key=lambda i: -len(rows[i]))),
            len(rows),
        )
        self.tokens, self.texts = self.tokens + tokens, self.texts + len(rows)
        self._jobs.append(job)
        self._open.add(job)
        try:
            self._dispatch()
            await job.done
        finally:
            self._forget(job)
            self.tokens, self.texts = self.tokens - tokens, self.texts - len(rows)
        return job.vectors

    def close(self) -> None:
        """Refuse what comes, and what is not done; batches that run are left to their end."""
        self._closed = True
        for job in list(self._open):
            _fail(job, _stopping())
            self._forget(job)
        if self._executor is not None:
            self._executor.shutdown(wait=False, cancel_futures=True)

    async def drained(self) -> None:
        """Wait until no forward pass runs."""
        while self._free < self._slots:
            await asyncio.sleep(0.01)

    def _forget(self, job: _Job) -> None:
        self._open.discard(job)
        if job.waiting:
            job.waiting.clear()
            self._jobs.remove(job)

    def _dispatch(self) -> None:
        """Begin batches while there are lanes for them."""
        while self._free and not self._closed and (job := self._next_job()) is not None:
            seats = self._seats(job)
            chosen = [seats[i] for i in pick([len(seat.ids) for seat in seats], BATCH_SIZE)]
            self._leave_queue(chosen)
            self._begin(job.worker, chosen)

    def _next_job(self) -> _Job | None:
        """Whose turn it is; it goes to the end of the queue."""
        for _ in range(len(self._jobs)):
            job = self._jobs[0]
            self._jobs.rotate(-1)
            if self._idle[job.worker]:
                return job
        return None

    def _seats(self, job: _Job) -> list[_Seat]:
        """What may go into its batch: a share of each job's texts, its own first."""
        others = [] if job.alone else [
            other
            for other in islice(self._jobs, CANDIDATES)
            if other.worker is job.worker and other is not job and not other.alone
        ]  # fmt: skip
        share = max(1, CANDIDATES // (1 + len(others)))
        return [_Seat(one, i) for one in (job, *others) for i in islice(one.waiting, share)]

    def _leave_queue(self, chosen: list[_Seat]) -> None:
        for job in {seat.job for seat in chosen}:
            begun = {seat.index for seat in chosen if seat.job is job}
            job.waiting = deque(i for i in job.waiting if i not in begun)
            if not job.waiting:
                self._jobs.remove(job)

    def _begin(self, worker: Worker, seats: list[_Seat]) -> None:
        """Run a batch: with all threads where nothing else is there to do."""
        idle = self._idle[worker]
        alone = self._free == self._slots and not self._jobs and worker.whole not in worker.lanes
        lane, slots = (worker.whole, self._slots) if alone else (idle.pop(), 1)
        self._free -= slots
        running = asyncio.get_running_loop().run_in_executor(
            self._executor, _timed, worker, lane, [seat.ids for seat in seats]
        )
        running.add_done_callback(partial(self._end, worker, seats, lane, slots))

    def _end(
        self,
        worker: Worker,
        seats: list[_Seat],
        lane: Engine,
        slots: int,
        running: asyncio.Future[tuple[Floats, float]],
    ) -> None:
        self._free += slots
        if lane is not worker.whole or lane in worker.lanes:
            self._idle[worker].append(lane)
        if running.cancelled():
            return
        error = running.exception()
        if error is not None:
            self._fail_batch(seats, error)
        else:
            vectors, seconds = running.result()
            self._measure(seats, seconds, slots)
            for seat, vector in zip(seats, vectors, strict=True):
                seat.job.vectors[seat.index] = vector
                seat.job.left -= 1
                if not seat.job.left and not seat.job.done.done():
                    seat.job.done.set_result(None)
        self._dispatch()

    def _fail_batch(self, seats: list[_Seat], error: BaseException) -> None:
        """Whose texts failed by themselves, fails; who shared the batch tries again alone."""
        jobs = {seat.job for seat in seats}
        for job in jobs & self._open:
            if len(jobs) == 1:
                _fail(job, error)
                self._forget(job)
                continue
            if not job.waiting:
                self._jobs.append(job)
            job.alone = True
            job.waiting.extendleft(seat.index for seat in seats if seat.job is job)

    def _measure(self, seats: list[_Seat], seconds: float, slots: int) -> None:
        lengths = [len(seat.ids) for seat in seats]
        tokens = sum(lengths)
        rate = tokens * self._slots / (slots * max(seconds, 1e-6))
        self._rate = rate if not self._rate else 0.9 * self._rate + 0.1 * rate
        self._on_batch(Batch(len(seats), tokens, max(lengths) * len(seats), seconds))


def _timed(worker: Worker, lane: Engine, rows: list[Ids]) -> tuple[Floats, float]:
    started = time.perf_counter()
    return worker.forward(lane, rows), time.perf_counter() - started


def _fail(job: _Job, error: BaseException) -> None:
    if not job.done.done():
        job.done.set_exception(error)


def _stopping() -> ApiError:
    return unavailable("The server is stopping.", "stopping")
