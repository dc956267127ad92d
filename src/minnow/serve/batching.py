"""Requests of many connections, merged into batches for the engines.

All of a batcher's state belongs to the event loop: only forward passes run in threads. So it needs
no lock, and a cancelled request leaves the queue at once.
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

from minnow.model.tokenizer import TokenizedText
from minnow.options import BATCH_SIZE
from minnow.serve.errors import ApiError, busy, unavailable
from minnow.serve.picking import pick

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from minnow.engines.base import Engine
    from minnow.serve.settings import Limits

    Floats = NDArray[np.float32]

CANDIDATES = 256
"""How many waiting texts are considered for a batch of similar lengths."""

_LONGEST_ADVICE = 60


class BatchModel(Protocol):
    """Model, as the batcher uses it.

    Attributes:
        name: What metrics call it.
    """

    name: str

    @property
    def width(self) -> int:
        """Length of a vector; 1 for the logit of a pair."""
        ...

    @property
    def lanes(self) -> Sequence[Engine]:
        """Engines that run side by side, one batch at a time each."""
        ...

    @property
    def whole(self) -> Engine:
        """Engine that runs one batch with all threads; a lane where there is only one."""
        ...

    def forward(self, lane: Engine, rows: Sequence[TokenizedText]) -> Floats:
        """Return vectors of tokenised texts: float32 of shape (rows, width). Called in a thread.

        Raises:
            Exception: The runtime failed.
        """
        ...


@dataclass(frozen=True)
class Batch:
    """Figures of a forward pass.

    Attributes:
        model: The name of its model.
        texts: Its rows.
        tokens: Its tokens without padding.
        padded: Its tokens with padding.
        seconds: Its duration.
    """

    model: str
    texts: int
    tokens: int
    padded: int
    seconds: float


@dataclass(eq=False)
class _Job:
    """Texts of one request.

    Attributes:
        model: The model.
        rows: The tokens of each text.
        vectors: The vectors so far; float32 of shape (texts, width).
        done: Resolved when all vectors are there.
        waiting: Indices of texts in no batch yet, the longest first.
        left: How many texts have no vector yet.
        alone: Whether its texts share no batch with others, because they failed together.
    """

    model: BatchModel
    rows: Sequence[TokenizedText]
    vectors: Floats
    done: asyncio.Future[None]
    waiting: deque[int]
    left: int
    alone: bool = False


@dataclass(frozen=True)
class _Seat:
    """Candidate for the next batch."""

    job: _Job
    index: int

    @property
    def text(self) -> TokenizedText:
        return self.job.rows[self.index]


class Batcher:
    """One queue for all models, and as many batches at once as the machine has lanes.

    A free lane takes the texts that have arrived by then; it never waits for more. Jobs take turns:
    each batch starts with a text of the next job, and texts of similar length of all jobs fill it
    up. So a job of thousands of texts does not delay a job of one.
    """

    def __init__(self, limits: Limits, on_batch: Callable[[Batch], None] = lambda _: None) -> None:
        """Start without models.

        Args:
            limits: How much may wait.
            on_batch: Called after each forward pass.
        """
        self._limits, self._on_batch = limits, on_batch
        self._idle: dict[BatchModel, list[Engine]] = {}
        self._jobs: deque[_Job] = deque()
        self._open: set[_Job] = set()
        self._slots = self._free = 0
        self._executor: ThreadPoolExecutor | None = None
        self._rate = 0.0
        self._closed = False
        self.tokens = self.texts = 0

    def add(self, model: BatchModel) -> None:
        """Accept texts for a model, whose lanes are ready."""
        self._idle[model] = list(model.lanes)
        more = max(0, len(model.lanes) - self._slots)
        self._slots, self._free = self._slots + more, self._free + more
        if more:
            old, self._executor = (
                self._executor,
                ThreadPoolExecutor(self._slots, thread_name_prefix="minnow-lane"),
            )
            if old is not None:
                old.shutdown(wait=False)

    def remove(self, model: BatchModel) -> None:
        """Forget a model that no request uses any more."""
        self._idle.pop(model, None)

    def check_room(self, tokens: int = 1, texts: int = 1) -> None:
        """Refuse texts that would have to wait too long; an empty queue takes any request.

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
        """Estimate of the time until the queue is empty, in seconds; at least 1."""
        seconds = self.tokens / self._rate if self._rate else 1.0
        return int(min(max(1.0, seconds), _LONGEST_ADVICE))

    async def embed(self, model: BatchModel, rows: Sequence[TokenizedText]) -> Floats:
        """Compute vectors of tokenised texts, or logits of pairs: float32 of shape (rows, width).

        When the caller is cancelled, its texts leave the queue.

        Args:
            model: A model that was added.
            rows: At least one; each holds at least one id.

        Raises:
            ApiError: The queue is full, or closed.
            EngineError: The runtime failed.
        """
        tokens = sum(map(len, rows))
        self.check_room(tokens, len(rows))
        job = _Job(
            model,
            rows,
            np.empty((len(rows), model.width), dtype=np.float32),
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
        """Refuse new and waiting requests; running batches finish."""
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
        """Start batches while there are lanes for them."""
        while self._free and not self._closed and (job := self._next_job()) is not None:
            seats = self._seats(job)
            chosen = [seats[i] for i in pick([len(seat.text) for seat in seats], BATCH_SIZE)]
            self._leave_queue(chosen)
            self._begin(job.model, chosen)

    def _next_job(self) -> _Job | None:
        """Return the job whose turn it is, and move it to the end of the queue."""
        for _ in range(len(self._jobs)):
            job = self._jobs[0]
            self._jobs.rotate(-1)
            if self._idle[job.model]:
                return job
        return None

    def _seats(self, job: _Job) -> list[_Seat]:
        """Return candidates for a batch: a share of each job's texts, its own first."""
        others = [] if job.alone else [
            other
            for other in islice(self._jobs, CANDIDATES)
            if other.model is job.model and other is not job and not other.alone
        ]  # fmt: skip
        share = max(1, CANDIDATES // (1 + len(others)))
        return [_Seat(one, i) for one in (job, *others) for i in islice(one.waiting, share)]

    def _leave_queue(self, chosen: list[_Seat]) -> None:
        for job in {seat.job for seat in chosen}:
            started = {seat.index for seat in chosen if seat.job is job}
            job.waiting = deque(i for i in job.waiting if i not in started)
            if not job.waiting:
                self._jobs.remove(job)

    def _begin(self, model: BatchModel, seats: list[_Seat]) -> None:
        """Run a batch, with all threads if nothing else is waiting or running."""
        idle = self._idle[model]
        alone = self._free == self._slots and not self._jobs and model.whole not in model.lanes
        lane, slots = (model.whole, self._slots) if alone else (idle.pop(), 1)
        self._free -= slots
        running = asyncio.get_running_loop().run_in_executor(
            self._executor, _timed, model, lane, [seat.text for seat in seats]
        )
        running.add_done_callback(partial(self._end, model, seats, lane, slots))

    def _end(
        self,
        model: BatchModel,
        seats: list[_Seat],
        lane: Engine,
        slots: int,
        running: asyncio.Future[tuple[Floats, float]],
    ) -> None:
        self._free += slots
        if lane is not model.whole or lane in model.lanes:
            self._idle[model].append(lane)
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
        """Fail a job that was alone in a failed batch; jobs that shared it try again alone."""
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
        lengths = [len(seat.text) for seat in seats]
        tokens = sum(lengths)
        rate = tokens * self._slots / (slots * max(seconds, 1e-6))
        self._rate = rate if not self._rate else 0.9 * self._rate + 0.1 * rate
        padded = max(lengths) * len(seats)
        self._on_batch(Batch(seats[0].job.model.name, len(seats), tokens, padded, seconds))


def _timed(model: BatchModel, lane: Engine, rows: Sequence[TokenizedText]) -> tuple[Floats, float]:
    started = time.perf_counter()
    return model.forward(lane, rows), time.perf_counter() - started


def _fail(job: _Job, error: BaseException) -> None:
    if not job.done.done():
        job.done.set_exception(error)


def _stopping() -> ApiError:
    return unavailable("The server is stopping.", "stopping")
