"""State of a running server: its models, its queue, and whether it is ready."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from minnow.bundle import Bundle
from minnow.errors import MinnowError
from minnow.serve.batching import Batcher
from minnow.serve.errors import ApiError, busy, unavailable
from minnow.serve.metrics import Metrics
from minnow.serve.models import model_named, open_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from minnow.engines import EngineOptions
    from minnow.serve.inputs import Rows
    from minnow.serve.models import Kind, ServedModel
    from minnow.serve.searching import Searcher
    from minnow.serve.settings import Settings

    Floats = NDArray[np.float32]

T = TypeVar("T")
log = logging.getLogger("minnow.serve")

_LONGEST_LOOK = 10.0
"""Seconds between looks for models that nobody asks."""
_PAUSE = 0.05
"""Seconds between looks at whether a replaced model is still in use."""
_LAST_WORDS = 1.0
"""Seconds in which requests that are cut off may be told so."""
_BODIES = 16
"""How many bodies of the largest size memory is given to; there may be more small ones."""

State = Literal["starting", "ready", "stopping"]


class Service:
    """Models of a server, and their queue.

    Attributes:
        settings: Address, access and limits.
        names: The names of all models, ready or not.
        models: The ready models, by name.
        searcher: The index, if there is one and it is ready.
        state: Whether it accepts requests.
        requests: How many requests are open.
        body_bytes: The size of their bodies.
        metrics: Its metrics.
    """

    def __init__(
        self,
        settings: Settings,
        bundles: Mapping[str, Bundle],
        options: EngineOptions,
        index: Path | None = None,
    ) -> None:
        """Store the arguments; `start` opens the models."""
        self.settings, self._bundles, self._options = settings, bundles, options
        self._index = index
        self.names = list(bundles)
        self.searcher: Searcher | None = None
        self.models: dict[str, ServedModel] = {}
        self.state: State = "starting"
        self.requests = self.body_bytes = 0
        self.metrics = Metrics()
        self.batcher = Batcher(settings.limits, self.metrics.on_batch)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="minnow-text")
        self._generation = 0
        self._open: Counter[int] = Counter()
        self._retiring: set[asyncio.Task[None]] = set()
        self._resting: asyncio.Task[None] | None = None
        self._reading: set[asyncio.Task[Any]] = set()
        self._abandoned = False
        self._used: dict[ServedModel, float] = {}
        self._busy: Counter[ServedModel] = Counter()
        watch = self.metrics.watch
        watch("minnow_ready", "1 when the server accepts requests.", lambda: self.state == "ready")
        watch(
            "minnow_open_requests", "Requests that are read or answered now.", lambda: self.requests
        )
        watch("minnow_queue_texts", "Texts that wait or are computed.", lambda: self.batcher.texts)
        watch(
            "minnow_queue_tokens", "Tokens that wait or are computed.", lambda: self.batcher.tokens
        )

    async def start(self) -> None:
        """Open the models one after the other, then accept requests.

        Raises:
            MinnowError: A model or the index cannot be opened.
        """
        for name, bundle in self._bundles.items():
            if self.state == "stopping":
                return
            self.models[name] = await self._open_model(name, bundle)
        if self._index is not None:
            self.searcher = await self._open_searcher(self._index, self.models)
        if self.settings.idle_seconds:
            self._resting = asyncio.create_task(self._rest_idle())
        if self.state == "starting":
            self.state = "ready"

    async def _rest_idle(self) -> None:
        """Free the memory of models that nobody asks; the next request loads them again."""
        idle = self.settings.idle_seconds
        while True:
            await asyncio.sleep(min(idle, _LONGEST_LOOK))
            before = time.monotonic() - idle
            for model in {model.runner for model in self.models.values()}:
                used = [self._used[part] for part in model.parts if part in self._used]
                busy = any(self._busy[part] for part in model.parts)
                if used and max(used) < before and not busy:
                    for part in model.parts:
                        self._used.pop(part, None)
                    if await self.in_thread(model.rest):
                        log.info("%s rests after %g s without a request", model.name, idle)

    async def _open_model(self, name: str, bundle: Bundle) -> ServedModel:
        """Open a model and give it to the batcher, unless another name has it already."""
        others = list(self.models.values())
        model = await self.in_thread(open_model, name, bundle, self._options, others, self.settings)
        if model.runner is model:
            for part in model.parts:
                self.batcher.add(part)
            if self.settings.on_demand:
                await self.in_thread(model.rest)
            else:
                self._used[model] = time.monotonic()
        return model

    async def _open_searcher(self, index: Path, models: Mapping[str, ServedModel]) -> Searcher:
        """Open an index for the model among some that it belongs to, and search once."""
        from minnow.serve.searching import open_searcher

        searcher = open_searcher(index, models, self.compute)
        try:
            await searcher.warm()
        except BaseException:
            await searcher.close()
            raise
        return searcher

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Count a request, which keeps the models that it may use open until its end."""
        generation = self._generation
        self.requests += 1
        self._open[generation] += 1
        try:
            yield
        finally:
            self.requests -= 1
            self._open[generation] -= 1

    async def reload(self) -> None:
        """Open the bundles that others have replaced in their folders, and the index.

        New requests get the new one as soon as it is warmed up. The old one is closed when all
        requests that began before have ended. Where the new one cannot be opened, or does not
        belong to the index, the old one stays, and the log says why.
        """
        for name, bundle in list(self._bundles.items()):
            try:
                changed = await self.in_thread(Bundle.open, bundle.folder)
                if self.state == "ready" and changed.manifest != bundle.manifest:
                    await self._replace(name, changed)
                    log.info("%s is another bundle now: reloaded", name)
            except MinnowError as error:
                log.error("%s is not reloaded: %s", name, error)
        try:
            await self._reload_index()
        except MinnowError as error:
            log.error("%s is not reloaded: %s", self._index, error)

    async def _reload_index(self) -> None:
        """Open the index again, if another file is in its place or it has another model now."""
        old = self.searcher
        if self._index is None or old is None or self.state != "ready":
            return
        if await old.is_outdated():
            self.searcher = await self._open_searcher(self._index, self.models)
            self._retire_later(None, old)
            log.info("%s is another index now: reloaded", self._index)

    async def _replace(self, name: str, bundle: Bundle) -> None:
        model = await self._open_model(name, bundle)
        old, searcher = self.models[name], self.searcher
        try:
            if self._index is not None and searcher is not None and searcher.model is old:
                searcher = await self._open_searcher(self._index, {name: model})
        except BaseException:
            self._close(model)
            raise
        left, self.searcher = self.searcher, searcher
        self.models[name] = model
        self._bundles = {**self._bundles, name: bundle}
        self._retire_later(old, None if left is searcher else left)

    def _retire_later(self, model: ServedModel | None, searcher: Searcher | None) -> None:
        """Close what was replaced, once the requests that are open now have ended."""
        self._generation += 1
        task = asyncio.create_task(self._retire(model, searcher, self._generation))
        self._retiring.add(task)
        task.add_done_callback(self._retiring.discard)

    async def _retire(
        self, model: ServedModel | None, searcher: Searcher | None, before: int
    ) -> None:
        """Close a model and a searcher once no request of an older generation is open."""
        while any(count for number, count in self._open.items() if number < before):
            await asyncio.sleep(_PAUSE)
        if searcher is not None:
            await searcher.close()
        if model is not None:
            self._close(model)

    def _close(self, model: ServedModel) -> None:
        if any(other.runner is model.runner for other in self.models.values()):
            return  # another name has it
        for part in model.runner.parts:
            self.batcher.remove(part)
            self._used.pop(part, None)
            self._busy.pop(part, None)
        model.runner.close()

    @property
    def is_indexed(self) -> bool:
        """Whether the server has an index."""
        return self._index is not None

    def stop_taking(self) -> None:
        """Refuse new requests; open ones go on."""
        self.state = "stopping"

    def abandon(self) -> None:
        """Refuse all that still waits or is still being sent, at the end of the grace period."""
        self._abandoned = True
        for task in self._reading:
            task.cancel()
        self.batcher.close()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read a request's body, until the grace period ends.

        Raises:
            ApiError: It has ended.
        """
        task = asyncio.current_task()
        assert task is not None
        self._reading.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if not self._abandoned:
                raise
            raise _stopping() from None
        finally:
            self._reading.discard(task)

    async def close(self) -> None:
        """Wait for running forward passes, and free everything."""
        self.stop_taking()
        self.abandon()
        if self._reading:
            await asyncio.wait(set(self._reading), timeout=_LAST_WORDS)
        await self.batcher.drained()
        if self._resting is not None:
            self._resting.cancel()
        await asyncio.gather(*self._retiring)
        self._threads.shutdown(wait=True, cancel_futures=True)
        if self.searcher is not None:
            await self.searcher.close()
        for model in self.models.values():
            model.close()

    def check_started(self) -> None:
        """Refuse a request while the models are not open yet.

        Raises:
            ApiError: They are not open.
        """
        if self.state == "starting":
            raise unavailable("The models are being opened. Try again in a moment.", "not_ready")

    def check_taking(self) -> None:
        """Refuse a request before it is read, if the server could not answer it now.

        Raises:
            ApiError: The models are not ready, the server is stopping, or the queue is full.
        """
        self.check_started()
        if self.state == "stopping":
            raise _stopping()
        self.batcher.check_room()

    def hold(self, size: int) -> None:
        """Count a part of a body.

        Raises:
            ApiError: Bodies take too much memory; the part is not counted.
        """
        if self.body_bytes + size > _BODIES * self.settings.limits.max_body_bytes:
            raise busy("Too many large requests are open. Try again later.", 1)
        self.body_bytes += size

    def names_of(self, *, reranks: bool) -> list[str]:
        """Return the names of the rerankers, or of the embedders, ready or not."""
        kinds = {name: bundle.manifest.reranking for name, bundle in self._bundles.items()}
        return [name for name, reranking in kinds.items() if (reranking is not None) is reranks]

    def model(self, name: str | None, kind: type[Kind], param: str = "model") -> Kind:
        """Return the model of a kind that a field of a request names; see `model_named`.

        Raises:
            ApiError: There is no such model.
        """
        return model_named(self.models, name, kind, param)

    async def compute(self, model: ServedModel, rows: Rows) -> Floats:
        """Compute the vectors, or logits, of a request's rows: float32 of shape (rows, width).

        Raises:
            ApiError: The queue is full, or the server stops.
            EngineError: The runtime failed.
        """
        with self.using(model):
            found = await self.batcher.embed(model.runner, rows.texts)
        self.metrics.on_rows(model.name, rows)
        return found

    @contextmanager
    def using(self, model: ServedModel) -> Iterator[None]:
        """Keep a model from resting while it computes, and count the time of rest from the end."""
        self._busy[model.runner] += 1
        try:
            yield
        finally:
            self._busy[model.runner] -= 1
            self._used[model.runner] = time.monotonic()

    async def in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """Run a function in a thread, beside the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: work(*arguments))


def _stopping() -> ApiError:
    return unavailable("The server is stopping.", "stopping")
