"""Search in an index file."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from minnow.engines import EngineOptions
from minnow.errors import IndexFileError, InputError
from minnow.indexfile.checks import reading_rows
from minnow.indexfile.checksums import check_table, states
from minnow.indexfile.documents import DOCUMENT_ROWS, FILES, VECTORS
from minnow.indexfile.fusion import DEPTH, fuse_ranks, fuse_scores
from minnow.indexfile.generations import find_migration, missing_ids, read_alignment
from minnow.indexfile.keyword import MOST_SCORED, Keywords
from minnow.indexfile.keyword_sums import check_keywords
from minnow.indexfile.matrix import Matrix, Ranking, best, exact_scores, read_vectors
from minnow.indexfile.mixed import MixedMatrix
from minnow.indexfile.models import open_model
from minnow.indexfile.opening import open_store
from minnow.indexfile.reranking import count_candidates
from minnow.indexfile.store import OpenIndexFile
from minnow.options import Fusion, SidecarUse
from minnow.search.chunk_ids import allowed_ids, chunk_ids, vectors_of
from minnow.search.hits import read_hits, rerank, scores_of
from minnow.search.options import check_count, check_modes
from minnow.search.sidecar import LARGE, build_sidecar, open_sidecar
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from minnow.bundle import Bundle
    from minnow.engines import EngineArguments
    from minnow.indexfile.encodings import Floats, Ids
    from minnow.indexfile.filters import Parameters
    from minnow.indexfile.models import SearchModel
    from minnow.indexfile.reranking import TextRanker
    from minnow.indexfile.store import Store
    from minnow.options import SearchMode
    from minnow.search.options import SearchOptions
    from minnow.search.results import Hit
    from minnow.search.sidecar import Sidecar


class Index(OpenIndexFile):
    """Documents in a file, and search in them.

    Safe to use from several threads. Changes by other processes are visible at once. A question
    has the same hits alone and among others; chunks with equal scores come in the file's order.

    ```python
    from minnow.search import Index

    with Index.open("docs.index", "bge-small.minnow") as index:
        for hit in index.search("how do fish sleep?", k=5, where="source LIKE 'fish/%'"):
            print(hit.score, hit.source, hit.passage)
    ```

    A file that is being migrated can be opened with either model; see `minnow.migration`.
    """

    takes_new_model = True

    def __init__(
        self, store: Store, model: SearchModel | None = None, *, sidecar: SidecarUse = "auto"
    ) -> None:
        """Search an open file; `open` opens it.

        Args:
            store: The file.
            model: Embeds questions; without one, search is by keyword, or by given vectors.
            sidecar: When to use the sidecar for nearest neighbours: "auto", from 100 000 chunks
                on if it is there and current; "always", at any size; or "never".

        Raises:
            IndexFileError: The index is of another model.
            InputError: `sidecar` is none of the three.
        """
        if sidecar not in get_args(SidecarUse):
            names = ", ".join(get_args(SidecarUse))
            raise InputError(f"sidecar should be {names}, not {sidecar!r}.")
        super().__init__(store, model)
        self._use = sidecar
        with store.reading() as database:
            self._keywords = Keywords(database)
        self._matrix = self._new_matrix()
        self._kind = Similarity(self.fingerprint.similarity)
        self._unit = self._kind is Similarity.COSINE
        self._checked: tuple[object, ...] = ()
        self._keywords_checked = -1
        self._ids: Ids = np.empty(0, np.int64)
        self._sidecar: Sidecar | None = None
        self._seen = -1
        self._warned = False

    def _new_matrix(self) -> Matrix:
        """Return the matrix of the file's vectors; in a migration, of those of the new model."""
        old, migration = self.store.fingerprint, self.migration
        unit = old.similarity == Similarity.COSINE
        if migration is None:
            return Matrix(VECTORS, old.width, self.settings.encoding, unit=unit)
        new = migration.model
        return MixedMatrix(
            VECTORS,
            (old.width, new.width),
            self.settings.encoding,
            read_alignment(self.store, migration),
            units=(unit, new.similarity == Similarity.COSINE),
        )

    @classmethod
    def open(
        cls,
        file: str | Path,
        bundle: str | Path | Bundle | None = None,
        options: EngineOptions = EngineOptions(),
        *,
        sidecar: SidecarUse = "auto",
        **changes: Unpack[EngineArguments],
    ) -> Index:
        """Open an index file for searching.

        Args:
            file: The file that `minnow index` wrote.
            bundle: The model that it was made with, in any precision that its proof allows. None
                is needed to search by keyword, or with vectors of your own.
            options: Which engine runs the model, and how.
            sidecar: As in `Index`.
            **changes: Fields of the options, as in `Embedder.open`.

        Raises:
            InputError: There is no such file.
            IndexFileError: It is not an index, is damaged, of another model, or from a newer
                minnow.
            BundleError, EngineError, SourceError, MissingExtraError: As `Embedder.open`.
        """
        with ExitStack() as stack:
            store = open_store(Path(file))
            stack.callback(store.close)
            model: SearchModel | None = None
            if bundle is not None:
                opened = open_model(bundle, replace(options, **changes))
                model = stack.enter_context(opened)
            index = cls(store, model, sidecar=sidecar)
            index._stack = stack.pop_all()
        return index

    def __len__(self) -> int:
        """Return the number of chunks."""
        with self.store.reading() as database:
            self._check_documents(database)
            row = database.execute("SELECT coalesce(sum(chunks), 0) FROM documents").fetchone()
        with reading_rows(f"The number of chunks of {self.store.path}"):
            return int(row[0])

    def search(self, query: str, k: int = 10, **options: Unpack[SearchOptions]) -> list[Hit]:
        """Find the chunks that answer a question.

        Args:
            query: The question. In `keyword` and `hybrid`, words in double quotation marks have
                to follow each other in what the keyword search finds.
            k: The most hits, from 1 to 1000.
            **options: `mode`: "vector" searches by the nearest vectors, exactly; "keyword" by
                BM25; "hybrid", the default, by both. `where`: a condition in SQL on the columns
                of the view `passages`, such as "metadata->>'lang' = ? AND source LIKE 'docs/%'";
                its quotation marks are SQL's. `params`: the values of its `?`, or of its `:name`
                as a mapping. `fusion`: how `hybrid` fuses the two rankings; see `Fusion`.
                `reranker`: an open `Reranker`, which orders the first `candidates` hits (by
                default 50, at most 1000) by the question and each chunk's `text`, headings and
                all; the best k of them are returned.

        Raises:
            InputError: There is no bundle to embed with, or an argument is out of range.
            EngineError: The reranker failed.
            IndexFileError, OutputError: The file is damaged, or cannot be read.
        """
        return self.search_many([query], k, **options)[0]

    def search_many(
        self,
        queries: Iterable[str],
        k: int = 10,
        *,
        mode: SearchMode = "hybrid",
        where: str | None = None,
        params: Parameters = (),
        fusion: Fusion | Literal["scores", "rrf"] = Fusion.SCORES,
        reranker: TextRanker | None = None,
        candidates: int | None = None,
    ) -> list[list[Hit]]:
        """Find the chunks that answer each of several questions; see `search`."""
        if isinstance(queries, str):
            raise InputError("queries is one string; search takes one, search_many several.")
        questions = list(queries)
        check_count(k)
        check_modes(mode, fusion)
        depth = count_candidates(reranker, candidates, k)
        if reranker is not None:  # one question at a time: the candidates of one are in memory
            find = partial(self.search, mode=mode, where=where, params=params, fusion=fusion)
            return [rerank(reranker, query, find(query, depth), k) for query in questions]
        vectors = None if mode == "keyword" else self._embed(questions)
        with self.store.reading() as database:
            self._check_documents(database)
            allowed = None if where is None else allowed_ids(self.store, where, params)
            if mode != "vector":
                self._check_keywords(database)
            if vectors is None:
                found = [self._keywords.search(query, k, allowed) for query in questions]
            elif mode == "vector":
                found = self._nearest(vectors, k, allowed)
            else:
                return self._hybrid(questions, vectors, k, allowed, Fusion(fusion))
            pairs = zip(questions, found, strict=True)
            return [read_hits(database, rank, query, **{mode: rank}) for query, rank in pairs]

    def search_vectors(
        self,
        vectors: Floats,
        k: int = 10,
        *,
        where: str | None = None,
        params: Parameters = (),
    ) -> list[list[Hit]]:
        """Find the chunks whose vectors are nearest to given ones.

        Args:
            vectors: float32 of shape (queries, width) or (width,).
            k: The most hits for each, from 1 to 1000.
            where: As in `search`.
            params: As in `search`.

        Raises:
            InputError: They have another width, or are not finite.
        """
        check_count(k)
        rows = np.atleast_2d(np.ascontiguousarray(vectors, np.float32))
        width = self.fingerprint.width
        if rows.ndim != 2 or rows.shape[1] != width or not np.isfinite(rows).all():
            raise InputError(f"vectors should be finite and of shape (queries, {width}).")
        if self._kind is Similarity.COSINE:
            rows = normalize(rows)
        with self.store.reading() as database:
            self._check_documents(database)
            allowed = None if where is None else allowed_ids(self.store, where, params)
            rankings = self._nearest(rows, k, allowed)
            return [read_hits(database, ranking, "", vector=ranking) for ranking in rankings]

    def select(self, where: str, params: Parameters = ()) -> list[Hit]:
        """Return all chunks that a condition allows, in the file's order, with scores of 0."""
        with self.store.reading() as database:
            self._check_documents(database)
            ids = allowed_ids(self.store, where, params)
            return read_hits(database, Ranking(ids, np.zeros(len(ids))), "")

    def vectors(self, ids: Sequence[int]) -> Floats:
        """Return the vectors of chunks by their ids (`Hit.id`): float32 of shape (ids, width)."""
        with self.store.reading() as database:
            if self.migration is not None:
                raise InputError(
                    f"{self.store.path} is being migrated and does not have all vectors of the "
                    "new model yet. Finish with `minnow index migrate`."
                )
            return vectors_of(
                database, ids, self.fingerprint.width, self.settings.encoding, unit=self._unit
            )

    def build_sidecar(
        self, *, dtype: str = "f16", progress: Callable[[int], None] = lambda _: None
    ) -> bool:
        """Write FILE.usearch, unless it is current; see `minnow.search.sidecar`.

        Args:
            dtype: "f16" or "i8": numbers within the graph.
            progress: Receives the number of vectors added since the last call.

        Returns:
            Whether there is one now.

        Raises:
            MissingExtraError: The extra `search-large` is not installed.
            OutputError: It cannot be written.
        """
        width = self.fingerprint.width
        if self.migration is not None:
            return False
        with self.store.reading() as database:
            self._check_documents(database)
            ids = chunk_ids(database)
            if open_sidecar(self.store, ids, width, self._kind) is not None:
                return True
            encoding = self.settings.encoding
            made = build_sidecar(
                self.store,
                ids,
                lambda: read_vectors(database, VECTORS, -1, width, encoding, unit=self._unit),
                width,
                self._kind,
                dtype=dtype,
                progress=progress,
            )
        self._seen = -1
        return made

    # --- damage ----------------------------------------------------------------------------

    def _check_documents(self, database: sqlite3.Connection) -> None:
        """Check the documents and their files, unless none has changed since the last time.

        Raises:
            IndexFileError: One has changed, or is missing.
        """
        tables = (FILES, DOCUMENT_ROWS)
        current = states(database, tables)
        if current == self._checked:
            return
        for table in tables:
            check_table(database, table)
        self._checked = current

    def _check_keywords(self, database: sqlite3.Connection) -> None:
        current = self.store.changes
        if current != self._keywords_checked:
            check_keywords(database)
            self._keywords_checked = current

    # --- vectors ---------------------------------------------------------------------------

    def _embed(self, queries: Sequence[str]) -> Floats:
        model = self._require_model("To search by vectors in", "; mode='keyword' needs none")
        return model.encode_queries(queries)

    def _refresh(self) -> None:
        """Read what was written since the last search."""
        changes = self.store.changes
        if changes == self._seen:
            return
        if self.migration is not None and find_migration(self.store) != self.migration:
            raise IndexFileError(
                f"The migration of {self.store.path} was cancelled meanwhile. Open it again."
            )
        self._ids = chunk_ids(self.store.database)
        if self.migration is not None and not self._warned:
            self._warned = True
            missing = len(missing_ids(self.store.database, VECTORS))
            warnings.warn(
                f"{self.store.path} is being migrated: vectors of {missing} of its "
                f"{len(self._ids)} chunks are predicted until `minnow index migrate` is done.",
                stacklevel=2,
            )
        self._sidecar = self._find_sidecar()
        self._seen = changes

    def _find_sidecar(self) -> Sidecar | None:
        large = len(self._ids) >= LARGE
        if self._use == "never" or (self._use == "auto" and not large) or self.migration:
            return None
        sidecar = open_sidecar(self.store, self._ids, self.fingerprint.width, self._kind)
        if sidecar is None and not self._warned:
            self._warned = True
            warnings.warn(
                f"{self.store.path} has {len(self._ids)} chunks, and no sidecar of its present "
                "state that can be used: search is exact, and slower. `minnow index` with "
                "`sidecar=always` makes one; it needs pip install 'minnow-embed[search-large]'.",
                stacklevel=2,
            )
        return sidecar

    def _nearest(self, vectors: Floats, count: int, allowed: Ids | None) -> list[Ranking]:
        """Find the nearest chunks; nearly all of them with a sidecar, always all with a filter."""
        self._refresh()
        if self._sidecar is None or allowed is not None:
            self._matrix.refresh(self.store.database, self._ids)
            return self._matrix.search(vectors, count, self._kind, allowed)
        found = []
        for vector in vectors:
            ids = self._sidecar.candidates(vector, count)
            found.append(best(ids, self._nearness(vector, ids), count))
        return found

    def _nearness(self, vector: Floats, ids: Ids) -> NDArray[np.float64]:
        """Compare with some chunks; read from the file where not all vectors are in memory."""
        if self._sidecar is None or len(self._matrix.ids) == len(self._ids):
            return self._matrix.scores(vector, ids, self._kind)
        return exact_scores(vector, self.vectors(ids.tolist()).T, self._kind)

    # --- both ------------------------------------------------------------------------------

    def _hybrid(
        self,
        queries: Sequence[str],
        vectors: Floats,
        k: int,
        allowed: Ids | None,
        fusion: Fusion,
    ) -> list[list[Hit]]:
        depth = max(DEPTH, k)
        answers = []
        nearest = self._nearest(vectors, depth, allowed)
        for query, vector, near in zip(queries, vectors, nearest, strict=True):
            worded = self._keywords.search(query, MOST_SCORED, allowed)
            others = np.setdiff1d(worded.ids[:depth], near.ids)
            ids = np.concatenate([near.ids, others])
            nearness = np.concatenate([near.scores, self._nearness(vector, others)])
            keywords = scores_of(worded, ids)
            if fusion is Fusion.RRF:
                ranking = fuse_ranks((near.top(depth), worded.top(depth)), k)
            else:
                ranking = fuse_scores(ids, nearness, keywords, self._kind, k)
            similar = best(ids, nearness, len(ids))
            answers.append(
                read_hits(self.store.database, ranking, query, vector=similar, keyword=worded)
            )
        return answers
