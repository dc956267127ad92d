"""Several index files of one model, searched as one: the shards of a corpus too large for one."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minnow.errors import InputError
from minnow.indexfile.fingerprint import check_fingerprint
from minnow.indexfile.fusion import DEPTH, fuse_ranks, hybrid_scores
from minnow.indexfile.matrix import best
from minnow.indexfile.models import open_query_model
from minnow.indexfile.opening import open_store
from minnow.options import Fusion
from minnow.search.hits import refine, with_neighbours
from minnow.search.index import Index
from minnow.search.options import Search
from minnow.vectors import Similarity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from minnow.bundle import Bundle
    from minnow.engines import EngineOptions
    from minnow.indexfile.encodings import Floats
    from minnow.indexfile.filters import Parameters
    from minnow.indexfile.models import SearchModel
    from minnow.options import SidecarUse
    from minnow.search.options import SearchOptions
    from minnow.search.results import Hit

SUFFIX = ".index"


def index_files(path: Path) -> list[Path]:
    """Return the index files that a path names: those of a folder, sorted, or itself."""
    return sorted(file for file in path.glob(f"*{SUFFIX}") if file.is_file()) or [path]


class ShardedIndex:
    """Several index files that are searched as one; `Index.open` opens them.

    By vectors, the hits are those of one file with all chunks. Keywords are weighed by how rare
    they are in each file, which is nearly the same where texts are spread over the files. The id
    of a hit is that in its own file; `source` tells hits apart.

    Attributes:
        shards: The files.
    """

    def __init__(self, shards: Sequence[Index], model: SearchModel | None) -> None:
        """Take over open files of one model; `Index.open` opens them.

        Raises:
            IndexFileError: They are of different models.
        """
        self.shards, self._model, self._stack = list(shards), model, ExitStack()
        self.fingerprint = shards[0].fingerprint
        for shard in shards[1:]:
            check_fingerprint(self.fingerprint, shard.fingerprint, str(shard.store.path))

    @classmethod
    def open(
        cls,
        files: Sequence[str | Path],
        bundle: str | Path | Bundle | None,
        options: EngineOptions,
        sidecar: SidecarUse,
    ) -> ShardedIndex:
        """Open index files; see `Index.open`.

        Raises:
            InputError: There is no file.
            MinnowError: As `Index.open`.
        """
        if not files:
            raise InputError("There is no index file to open: the list is empty.")
        with ExitStack() as stack:
            model = None
            if bundle is not None:
                model = _OneAnswer(stack.enter_context(open_query_model(bundle, options)))
            shards = []
            for file in files:
                store = open_store(Path(file))
                stack.callback(store.close)
                shards.append(Index(store, model, sidecar=sidecar))
            index = cls(shards, model)
            index._stack = stack.pop_all()
        return index

    def __len__(self) -> int:
        """Return the number of chunks of all files."""
        return sum(map(len, self.shards))

    def search(self, query: str, k: int = 10, **options: Unpack[SearchOptions]) -> list[Hit]:
        """Find the chunks that answer a question; see `Index.search`."""
        asked = Search(**options)
        asked.check(k)
        mode = asked.mode or self.shards[0].default_mode
        alone = replace(asked, mode=mode, reranker=None, candidates=None, fold=False, context=0)
        owners: dict[tuple[str, int], Index] = {}

        def find(count: int) -> list[Hit]:
            found = []
            for shard in self.shards:
                hits = shard.search(query, max(DEPTH, count), **vars(alone))
                owners.update({(hit.source, hit.number): shard for hit in hits})
                found += hits
            scores = self._scores(found, mode, Fusion(asked.fusion))
            order = np.argsort(-scores, kind="stable")[:count].tolist()
            return [
                replace(found[i], rank=rank, score=float(scores[i]))
                for rank, i in enumerate(order, start=1)
            ]

        hits = refine(find, query, k, asked)
        if not asked.context:
            return hits
        return [_around(owners[hit.source, hit.number], hit, asked.context) for hit in hits]

    def search_many(
        self, queries: Iterable[str], k: int = 10, **options: Unpack[SearchOptions]
    ) -> list[list[Hit]]:
        """Find the chunks that answer each of several questions; see `search`."""
        if isinstance(queries, str):
            raise InputError("queries is one string; search takes one, search_many several.")
        return [self.search(query, k, **options) for query in queries]

    def search_vectors(
        self, vectors: Floats, k: int = 10, *, where: str | None = None, params: Parameters = ()
    ) -> list[list[Hit]]:
        """Find the chunks whose vectors are nearest to given ones; see `Index.search_vectors`."""
        answers = [s.search_vectors(vectors, k, where=where, params=params) for s in self.shards]
        merged = []
        for groups in zip(*answers, strict=True):
            hits = sorted((hit for group in groups for hit in group), key=lambda hit: -hit.score)
            merged.append([replace(hit, rank=n) for n, hit in enumerate(hits[:k], start=1)])
        return merged

    def close(self) -> None:
        """Close the files, and the model if it was opened with them."""
        for shard in self.shards:
            shard.close()
        self._stack.close()

    def __enter__(self) -> ShardedIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _scores(self, hits: Sequence[Hit], mode: str, fusion: Fusion) -> NDArray[np.float64]:
        """Score hits of all files together: float64 of shape (hits,)."""
        if mode != "hybrid":
            return np.array([hit.score for hit in hits], np.float64)
        nearness = np.array([_or(hit.vector_score, -np.inf) for hit in hits], np.float64)
        keywords = np.array([_or(hit.keyword_score, 0.0) for hit in hits], np.float64)
        if fusion is Fusion.SCORES:
            kind = Similarity(self.fingerprint.similarity)
            return hybrid_scores(nearness, keywords, kind)
        ids = np.arange(len(hits))
        worded = ids[keywords > 0]
        rankings = best(ids, nearness, DEPTH), best(worded, keywords[worded], DEPTH)
        fused = fuse_ranks(rankings, len(hits))
        scores = np.zeros(len(hits))
        scores[fused.ids] = fused.scores
        return scores


class _OneAnswer:
    """A model that embeds a question once, though every file asks for its vector."""

    def __init__(self, model: SearchModel) -> None:
        self._model = model
        self.fingerprint, self.tokenizer, self.room = model.fingerprint, model.tokenizer, model.room
        self.encode_documents = model.encode_documents
        self._last: tuple[tuple[str, ...], Floats] | None = None

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        last = self._last
        if last is None or last[0] != tuple(texts):
            last = self._last = tuple(texts), self._model.encode_queries(texts)
        return last[1]


def _around(shard: Index, hit: Hit, count: int) -> Hit:
    with shard.store.reading() as database:
        return with_neighbours(database, [hit], count)[0]


def _or(score: float | None, other: float) -> float:
    return other if score is None else score
