"""Index that the server searches, with vectors from its own queue."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from minnow.errors import IndexFileError, ServeError
from minnow.indexfile.fingerprint import check_fingerprint
from minnow.indexfile.truncated import adapted
from minnow.search import BundleModel, Index, open_store
from minnow.serve.inputs import questions
from minnow.serve.models import ServedEmbedder
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from minnow.search import Hit
    from minnow.serve.inputs import Rows
    from minnow.serve.models import ServedModel
    from minnow.serve.requests import SearchRequest

    Floats = NDArray[np.float32]
    Embed = Callable[[ServedEmbedder, Rows], Awaitable[Floats]]

_WARMING = "minnow"
_TITLED = "id = (SELECT min(id) FROM passages WHERE heading <> '')"


class _QueuedModel(BundleModel):
    """Served model as the model of an index; its questions go through the server's queue."""

    def __init__(self, model: ServedEmbedder, embed: Embed) -> None:
        super().__init__(model.bundle, model.embedder)
        self._model, self._embed = model, embed
        self._loop = asyncio.get_running_loop()

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        """Return vectors of questions; called in a thread."""
        rows = questions(self._model, texts, truncate=True)
        work = _awaited(self._embed(self._model.of_role("query"), rows))
        vectors = asyncio.run_coroutine_threadsafe(work, self._loop).result()
        cosine = self._model.embedder.similarity_kind is Similarity.COSINE
        return normalize(vectors) if cosine else vectors


async def _awaited(work: Awaitable[Floats]) -> Floats:
    return await work


class Searcher:
    """Index file with the served model that it was made with.

    Attributes:
        model: The model.
        example: A question that the index can answer: a heading of its; empty until `warm`, and
            where no chunk has one.
    """

    def __init__(self, model: ServedEmbedder, index: Index) -> None:
        """Join a model and an index; `open_searcher` finds the model."""
        self.model, self._index = model, index
        self.example = ""
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="minnow-search")

    async def search(self, asked: SearchRequest, count: int) -> list[Hit]:
        """Search the index for so many passages.

        Raises:
            InputError: The condition or a number cannot be used.
            IndexFileError, OutputError: The file is damaged, or cannot be read.
        """
        return await self._in_thread(
            lambda: self._index.search(
                asked.query, count, mode=asked.mode, where=asked.where, params=asked.params
            )
        )

    async def is_outdated(self) -> bool:
        """Return whether another file is in the index's place, or it has another model now."""

        def look() -> bool:
            try:
                with self._index.store.reading():
                    return False
            except IndexFileError:
                return True

        return await asyncio.get_running_loop().run_in_executor(self._threads, look)

    async def warm(self) -> None:
        """Search once, so that no request waits for what the first search reads."""
        await self._in_thread(lambda: self._index.search(_WARMING, 1))
        for hit in await self._in_thread(lambda: self._index.select(_TITLED)):
            self.example = hit.headings[-1]

    async def close(self) -> None:
        """Wait for running searches, which need the event loop, and close the file."""
        await asyncio.to_thread(self._threads.shutdown, wait=True, cancel_futures=True)
        self._index.close()

    async def _in_thread(self, work: Callable[[], list[Hit]]) -> list[Hit]:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)


def open_searcher(file: Path, models: Mapping[str, ServedModel], embed: Embed) -> Searcher:
    """Open an index, and find the model that it was made with. Called in the event loop.

    Raises:
        InputError: There is no such file.
        IndexFileError: It is not an index, or of none of the models.
        ServeError: No model is an embedder.
    """
    store = open_store(file)
    try:
        faults = []
        for model in models.values():
            if not isinstance(model, ServedEmbedder):
                continue
            queued = adapted(_QueuedModel(model, embed), store.fingerprint)
            try:
                check_fingerprint(store.fingerprint, queued.fingerprint, str(file))
            except IndexFileError as error:
                faults.append(error)
                continue
            return Searcher(model, Index(store, queued))
        if not faults:
            raise ServeError(
                f"{file} needs the embedding model that it was made with: the server has none."
            )
        raise faults[0]
    except BaseException:
        store.close()
        raise
