"""Search in an index file."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, get_args, overload

import numpy as np

from minnow.engines import EngineOptions
from minnow.errors import InputError
from minnow.indexfile.checks import reading_rows
from minnow.indexfile.checksums import check_table, states
from minnow.indexfile.documents import DOCUMENT_ROWS, FILES
from minnow.indexfile.fusion import DEPTH, fuse_ranks, fuse_scores
from minnow.indexfile.keyword import MOST_SCORED, Keywords
from minnow.indexfile.keyword_sums import check_keywords
from minnow.indexfile.matrix import Ranking, best
from minnow.indexfile.models import check_questions, open_query_model
from minnow.indexfile.opening import open_store
from minnow.indexfile.store import OpenIndexFile
from minnow.options import Fusion, SidecarUse
from minnow.records import replace
from minnow.search.choice import read_choice
from minnow.search.chunk_ids import allowed_ids
from minnow.search.hits import read_hits, refine, scores_of, with_neighbours
from minnow.search.nearest import ChunkVectors
from minnow.search.options import Search, check_count
from minnow.search.scope import scope_of
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterable, Sequence

    from typing_extensions import Unpack

    from minnow.bundle import Bundle
    from minnow.engines import EngineArguments
    from minnow.indexfile.encodings import Floats, Ids
    from minnow.indexfile.filters import Parameters
    from minnow.indexfile.models import SearchModel
    from minnow.indexfile.store import Store
    from minnow.options import SearchMode
    from minnow.search.choice import SearchChoice
    from minnow.search.options import SearchOptions
    from minnow.search.results import Hit
    from minnow.search.shards import ShardedIndex


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
            sidecar: How to find the nearest vectors. "auto" compares with all of up to 100 000
                chunks; with more it asks the sidecar if a current one is there, else the binary
                codes in the file, which find nearly all. "always" asks the sidecar at any size,
                "codes" the codes, and "never" compares with all vectors.

        Raises:
            IndexFileError: The index is of another model.
            InputError: `sidecar` is none of the four.
        """
        if sidecar not in get_args(SidecarUse):
            names = ", ".join(get_args(SidecarUse))
            raise InputError(f"sidecar should be {names}, not {sidecar!r}.")
        super().__init__(store, model)
        with store.reading() as database:
            self._keywords = Keywords(database)
        self._vectors = ChunkVectors(store, self.fingerprint, self.migration, sidecar)
        self._kind = Similarity(self.fingerprint.similarity)
        self._checked: tuple[object, ...] = ()
        self._keywords_checked = -1

    @overload
    @classmethod
    def open(
        cls,
        file: str | Path,
        bundle: str | Path | Bundle | None = None,
        options: EngineOptions = EngineOptions(),
        *,
        sidecar: SidecarUse = "auto",
        **changes: Unpack[EngineArguments],
    ) -> Index: ...

    @overload
    @classmethod
    def open(
        cls,
        file: list[str] | list[Path],
        bundle: str | Path | Bundle | None = None,
        options: EngineOptions = EngineOptions(),
        *,
        sidecar: SidecarUse = "auto",
        **changes: Unpack[EngineArguments],
    ) -> ShardedIndex: ...

    @classmethod
    def open(
        cls,
        file: str | Path | list[str] | list[Path],
        bundle: str | Path | Bundle | None = None,
        options: EngineOptions = EngineOptions(),
        *,
        sidecar: SidecarUse = "auto",
        **changes: Unpack[EngineArguments],
    ) -> Index | ShardedIndex:
        """Open an index file for searching, or several as one.

        Args:
            file: The file that `minnow index` wrote; or a list of files of one model, which are
                opened as a `ShardedIndex`.
            bundle: The model that it was made with, in any precision that its proof allows, or
                static queries distilled from it. None is needed to search by keyword, or with
                vectors of your own.
            options: Which engine runs the model, and how.
            sidecar: As in `Index`.
            **changes: Fields of the options, as in `Embedder.open`.

        Raises:
            InputError: There is no such file.
            IndexFileError: It is not an index, is damaged, of another model, or from a newer
                minnow.
            BundleError, EngineError, SourceError, MissingExtraError: As `Embedder.open`.
        """
        if isinstance(file, list):
            from minnow.search.shards import ShardedIndex  # which is made of this class

            return ShardedIndex.open(file, bundle, replace(options, **changes), sidecar)
        with ExitStack() as stack:
            store = open_store(Path(file))
            stack.callback(store.close)
            model: SearchModel | None = None
            if bundle is not None:
                opened = open_query_model(bundle, replace(options, **changes))
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
                to follow each other in what the keyword search finds. An empty one finds what is
                nearest to the model's vector of no text, as in other vector stores, and nothing
                by keyword; `select` lists chunks.
            k: The most hits, from 1 to 1000.
            **options: What to search, and how:

                - `mode`: "vector" searches by the nearest vectors; "keyword" by BM25;
                  "hybrid" by both. By default what the file stores (`choice`), else "hybrid".
                - `where`: a condition in SQL on the columns of the view `passages`, such as
                  "metadata->>'lang' = ? AND source LIKE 'docs/%'"; its quotation marks are SQL's.
                  `params`: the values of its `?`, or of its `:name` as a mapping.
                - `paths`: patterns, such as "docs/**/*.md"; a file has to match one of them.
                - `since`, `until`: dates between which a document's lies; see
                  `minnow.search.scope`.
                - `fusion`: how `hybrid` fuses the two rankings; see `Fusion`.
                - `reranker`: an open `Reranker`, which orders the first `candidates` hits (by
                  default 50, at most 1000) by the question and each chunk's `text`, headings and
                  all; the best k of them are returned.
                - `fold`: whether hits that only repeat a better one are folded into it
                  (`Hit.folded`), so that others take their places.
                - `context`: how many chunks before and after each hit come with it
                  (`Hit.before`, `Hit.after`).

        Raises:
            InputError: There is no bundle to embed with, the question is no string, or an
                argument is out of range.
            EngineError: The reranker failed.
            IndexFileError, OutputError: The file is damaged, or cannot be read.
        """
        return self.search_many([query], k, **options)[0]

    def search_many(
        self, queries: Iterable[str], k: int = 10, **options: Unpack[SearchOptions]
    ) -> list[list[Hit]]:
        """Find the chunks that answer each of several questions; see `search`."""
        if isinstance(queries, str):
            raise InputError("queries is one string; search takes one, search_many several.")
        questions, asked = list(queries), Search(**options)
        asked.check(k)
        check_questions(questions)
        if asked.mode is None:
            asked = replace(asked, mode=self.default_mode)
        if asked.fold or asked.reranker is not None:  # the candidates of one question at a time
            answers = [self._refine(query, k, asked) for query in questions]
        else:
            answers = self._find(questions, k, asked)
        if not asked.context:
            return answers
        with self.store.reading() as database:
            return [with_neighbours(database, hits, asked.context) for hits in answers]

    @property
    def choice(self) -> SearchChoice | None:
        """The way of searching that `minnow evaluate` stored in the file, if it did."""
        return read_choice(self.store)

    @property
    def default_mode(self) -> SearchMode:
        """The mode of a search that names none: the file's choice, else "hybrid"."""
        choice = self.choice
        return "hybrid" if choice is None else choice.mode

    def _refine(self, query: str, k: int, asked: Search) -> list[Hit]:
        return refine(lambda count: self._find([query], count, asked)[0], query, k, asked)

    def _find(self, questions: Sequence[str], k: int, asked: Search) -> list[list[Hit]]:
        """Find the best k chunks for each question, in the mode and within the scope asked for."""
        mode = asked.mode
        vectors = None if mode == "keyword" else self._embed(questions)
        with self.store.reading() as database:
            self._check_documents(database)
            where, params = scope_of(database, asked)
            allowed = None if where is None else allowed_ids(self.store, where, params)
            if mode != "vector":
                self._check_keywords(database)
            if vectors is None:
                found = [self._keywords.search(query, k, allowed) for query in questions]
            elif mode == "vector":
                found = self._vectors.nearest(vectors, k, allowed)
            else:
                return self._hybrid(questions, vectors, k, allowed, Fusion(asked.fusion))
            pairs = zip(questions, found, strict=True)
            return [read_hits(database, rank, query, **{str(mode): rank}) for query, rank in pairs]

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
            rankings = self._vectors.nearest(rows, k, allowed)
            return [read_hits(database, ranking, "", vector=ranking) for ranking in rankings]

    def select(self, where: str, params: Parameters = ()) -> list[Hit]:
        """Return all chunks that a condition allows, in the file's order, with scores of 0."""
        with self.store.reading() as database:
            self._check_documents(database)
            ids = allowed_ids(self.store, where, params)
            return read_hits(database, Ranking(ids, np.zeros(len(ids))), "")

    def vectors(self, ids: Sequence[int]) -> Floats:
        """Return the vectors of chunks by their ids (`Hit.id`): float32 of shape (ids, width)."""
        with self.store.reading():
            return self._vectors.of(ids)

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
        if self.migration is not None:
            return False
        with self.store.reading() as database:
            self._check_documents(database)
            return self._vectors.build_sidecar(dtype, progress)

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

    def _embed(self, queries: Sequence[str]) -> Floats:
        model = self._require_model("To search by vectors in", "; mode='keyword' needs none")
        return model.encode_queries(queries)

    # --- both ways -------------------------------------------------------------------------

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
        nearest = self._vectors.nearest(vectors, depth, allowed)
        for query, vector, near in zip(queries, vectors, nearest, strict=True):
            worded = self._keywords.search(query, MOST_SCORED, allowed)
            others = np.setdiff1d(worded.ids[:depth], near.ids)
            ids = np.concatenate([near.ids, others])
            nearness = np.concatenate([near.scores, self._vectors.nearness(vector, others)])
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
