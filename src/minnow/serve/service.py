"""What a server holds while it runs: its models, its queue, and whether it is ready."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Literal, TypeVar

from minnow.serve.batching import Batcher
from minnow.serve.errors import busy, unavailable
from minnow.serve.metrics import Metrics
from minnow.serve.models import ServedModel, model_named, open_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from minnow.bundle import Bundle
    from minnow.engines import EngineOptions
    from minnow.serve.inputs import Rows
    from minnow.serve.searching import Searcher
    from minnow.serve.settings import Settings

    Floats = NDArray[np.float32]

T = TypeVar("T")
_BODIES = 16
"""Bodies of the largest size that are held at once; there may be many more small ones."""

State = Literal["starting", "ready", "stopping"]


class Service:
    """The models of a server and the one queue before them.

    Attributes:
        settings: What the server was told.
        names: Of the models, ready or not.
        models: Those that are ready, by name.
        searcher: The index, where there is one and it is ready.
        state: Whether requests are taken.
        requests: How many are read or answered right now.
        body_bytes: Of their bodies.
        metrics: What it has done.
    """

    def __init__(
        self,
        settings: Settings,
        bundles: Mapping[str, Bundle],
        options: EngineOptions,
        index: Path | None = None,
    ) -> None:
        """Remember what is to be opened; `start` opens it."""
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
        watch = self.metrics.watch
        watch("minnow_ready", "1 when requests are taken.", lambda: self.state == "ready")
        watch("minnow_open_requests", "Requests read or answered.", lambda: self.requests)
        watch("minnow_queue_texts", "Texts not done.", lambda: self.batcher.texts)
        watch("minnow_queue_tokens", "Tokens not done.", lambda: self.batcher.tokens)

    async def start(self) -> None:
        """Open the models, one after the other, and take requests.

        Raises:
            MinnowError: One cannot be opened.
        """
        for name, bundle in self._bundles.items():
            if self.state == "stopping":
                return
            model = await self.in_thread(open_model, name, bundle, self._options)
            self.models[name] = model
            self.batcher.add(model)
        if self._index is not None:
            from minnow.serve.searching import open_searcher

            self.searcher = open_searcher(self._index, self.models, self.embed)
            await self.searcher.warm()
        if self.state == "starting":
            self.state = "ready"

    @property
    def is_indexed(self) -> bool:
        """Whether there is an index to search."""
        return self._index is not None

    def stop_taking(self) -> None:
        """Refuse what comes from now on; what is begun goes on."""
        self.state = "stopping"

    def abandon(self) -> None:
        """Answer all that is still waiting: there is no more time."""
        self.batcher.close()

    async def close(self) -> None:
        """Free everything; forward passes that run are waited for."""
        self.stop_taking()
        self.batcher.close()
        await self.batcher.drained()
        self._threads.shutdown(wait=True, cancel_futures=True)
        if self.searcher is not None:
            await self.searcher.close()
        for model in self.models.values():
            model.close()

    def check_started(self) -> None:
        """Refuse a request about models that are not open yet.

        Raises:
            ApiError: They are not.
        """
        if self.state == "starting":
            raise unavailable("The models are being opened. Try again in a moment.", "not_ready")

    def check_taking(self) -> None:
        """Refuse a request that could not be answered now, before it is read.

        Raises:
            ApiError: The models are not ready, the server is stopping, or the queue is full.
        """
        self.check_started()
        if self.state == "stopping":
            raise unavailable("The server is stopping.", "stopping")
        self.batcher.check_room()

    def hold(self, size: int) -> None:
        """Make room for a part of a body.

        Raises:
            ApiError: There is none; `body_bytes` is as it was.
        """
        if self.body_bytes + size > _BODIES * self.settings.limits.max_body_bytes:
            raise busy("Too many large requests are open. Try again later.", 1)
        self.body_bytes += size

    def model(self, name: str | None) -> ServedModel:
        """The model that a request asks for; the only one, where it does not say.

        Raises:
            ApiError: There is none of that name.
        """
        return model_named(self.models, name)

    async def embed(self, model: ServedModel, rows: Rows) -> Floats:
        """Vectors of the rows of a request: float32 of shape (rows, width).

        Raises:
            ApiError: The queue is full, or the server stops.
            EngineError: The runtime failed.
        """
        vectors = await self.batcher.embed(model, rows.ids)
        self.metrics.on_rows(model.name, rows)
        return vectors

    async def in_thread(self, work: Callable[..., T], *arguments: object) -> T:
        """Do what takes a while beside the event loop."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: work(*arguments))
