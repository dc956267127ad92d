"""All vectors of an index in memory, and exact search in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minnow.errors import IndexFileError
from minnow.search.checks import reading_rows
from minnow.search.encodings import VectorEncoding, decode_rows
from minnow.vectors import Similarity, similarity

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    Floats = NDArray[np.float32]
    Ids = NDArray[np.int64]

_ROWS_AT_A_TIME = 8192
_SELECTIVE = 0.1
_SCORES_AT_A_TIME = 32_000_000


@dataclass(frozen=True)
class Ranking:
    """Chunks with their scores, the best first; equal scores in the order of ids.

    Attributes:
        ids: Of the chunks, int64 of shape (found,).
        scores: float64 of shape (found,).
    """

    ids: Ids
    scores: NDArray[np.float64]

    def top(self, count: int) -> Ranking:
        """The best of them."""
        return Ranking(self.ids[:count], self.scores[:count])


def best(ids: Ids, scores: NDArray[np.floating], count: int) -> Ranking:
    """The chunks with the largest scores.

    Args:
        ids: int64 of shape (chunks,).
        scores: Of the same shape; those of -inf are left out.
        count: How many at most.
    """
    if len(scores) > count:
        least = np.partition(scores, len(scores) - count)[len(scores) - count]
        chosen = np.flatnonzero(scores >= least)
        ids, scores = ids[chosen], scores[chosen]
    order = np.lexsort((ids, -scores))[:count]
    order = order[np.isfinite(scores[order])]
    return Ranking(ids[order], scores[order].astype(np.float64))


class Matrix:
    """The vectors of a table `(id, vector)`, as float32.

    They stand side by side, not below each other: BLAS goes through them twice as fast that way.

    Attributes:
        ids: Ascending, int64 of shape (rows,).
        columns: float32 of shape (width, rows).
    """

    def __init__(self, table: str, width: int, encoding: VectorEncoding) -> None:
        """Hold no rows yet."""
        self._table, self._width, self._encoding = table, width, encoding
        self.ids: Ids = np.empty(0, np.int64)
        self.columns: Floats = np.empty((width, 0), np.float32)

    def refresh(self, database: sqlite3.Connection, ids: Ids) -> None:
        """Read what is new and drop what is gone; a row never changes, nor is its id used again.

        Args:
            database: Where the table is.
            ids: Of all rows that it has now, ascending.

        Raises:
            IndexFileError: A vector is missing, or has a wrong length.
        """
        if np.array_equal(ids, self.ids):
            return
        stay = np.isin(self.ids, ids, assume_unique=True)
        last = int(self.ids[-1]) if len(self.ids) else -1
        columns = np.empty((self._width, len(ids)), np.float32)
        filled = int(stay.sum())
        columns[:, :filled] = self.columns if stay.all() else self.columns[:, stay]
        blocks = read_vectors(database, self._table, last, self._width, self._encoding)
        for read, block in blocks:
            if not np.array_equal(read, ids[filled : filled + len(read)]):
                break
            columns[:, filled : filled + len(read)] = block.T
            filled += len(read)
        if filled != len(ids):
            raise IndexFileError("The index lacks vectors, or has too many: the file is damaged.")
        self.ids, self.columns = ids, columns

    def search(
        self, queries: Floats, count: int, kind: Similarity, allowed: Ids | None = None
    ) -> list[Ranking]:
        """The nearest rows to each query, exactly.

        Args:
            queries: float32 of shape (queries, width).
            count: How many to find.
            kind: How to compare; for cosine, all vectors have length 1.
            allowed: Ids that may be found, ascending; all by default.
        """
        ids, columns = self.ids, self.columns
        mask = None
        if allowed is not None:
            mask = np.isin(ids, allowed, assume_unique=True)
            if mask.mean() < _SELECTIVE if len(mask) else True:
                ids, columns, mask = ids[mask], columns[:, mask], None
        step = max(1, _SCORES_AT_A_TIME // max(1, len(ids)))
        found = []
        for start in range(0, len(queries), step):
            for scores in compare(queries[start : start + step], columns, kind):
                row = scores if mask is None else np.where(mask, scores, -np.inf)
                found.append(best(ids, row, count))
        return found

    def scores(self, query: Floats, ids: Ids, kind: Similarity) -> NDArray[np.float64]:
        """How near some rows are to a query: float64 of shape (ids,); -inf for what is not there.

        Args:
            query: float32 of shape (width,).
            ids: Of the rows.
            kind: How to compare.
        """
        places = np.minimum(np.searchsorted(self.ids, ids), max(0, len(self.ids) - 1))
        there = self.ids[places] == ids if len(self.ids) else np.zeros(len(ids), bool)
        scores = np.full(len(ids), -np.inf)
        scores[there] = compare(query[None], self.columns[:, places[there]], kind)[0]
        return scores


def compare(queries: Floats, columns: Floats, kind: Similarity) -> Floats:
    """Every query with every vector.

    Args:
        queries: float32 of shape (queries, width).
        columns: float32 of shape (width, vectors).
        kind: How; for cosine, all have length 1.

    Returns:
        float32 of shape (queries, vectors).
    """
    if kind in (Similarity.COSINE, Similarity.DOT):
        one = len(queries) == 1  # NumPy's product of a vector and a matrix is the faster one
        scores: Floats = (queries[0] @ columns)[None] if one else queries @ columns
        return scores
    return similarity(queries, columns.T, kind)


def read_vectors(
    database: sqlite3.Connection, table: str, after: int, width: int, encoding: VectorEncoding
) -> Iterator[tuple[Ids, Floats]]:
    """The vectors of a table behind an id: ids, ascending, and float32 of shape (ids, width)."""
    cursor = database.execute(
        f"SELECT id, vector FROM {table} WHERE id > ? ORDER BY id",  # noqa: S608
        (after,),
    )
    while rows := cursor.fetchmany(_ROWS_AT_A_TIME):
        ids = np.array([id_ for id_, _ in rows], np.int64)
        yield ids, decode_rows([row for _, row in rows], width, encoding)


def vectors_of(
    database: sqlite3.Connection, ids: Sequence[int], width: int, encoding: VectorEncoding
) -> Floats:
    """The vectors of some chunks, in their order: float32 of shape (ids, width)."""
    question = "SELECT vector FROM vectors WHERE id = ?"
    with reading_rows("A vector"):
        rows = [database.execute(question, (id_,)).fetchone()[0] for id_ in ids]
    return decode_rows(rows, width, encoding) if rows else np.empty((0, width), np.float32)


def chunk_ids(database: sqlite3.Connection) -> Ids:
    """The ids of all chunks, ascending; read from the documents, which are few.

    Raises:
        IndexFileError: These cannot be the chunks' numbers.
    """
    rows = database.execute("SELECT first_chunk, chunks FROM documents WHERE chunks > 0").fetchall()
    with reading_rows("Which chunks the documents have"):
        (last,) = database.execute("SELECT coalesce(max(id), 0) FROM chunks").fetchone()
        if sum(count for _, count in rows) > last:
            raise ValueError("there are not so many")
        return ids_of_ranges(rows)


def ids_of_ranges(ranges: Sequence[tuple[int, int]]) -> Ids:
    """All whole numbers of ranges, ascending.

    Args:
        ranges: The first number of each, and how many there are; they do not overlap.
    """
    pairs = np.array(ranges, np.int64).reshape(-1, 2)
    pairs = pairs[np.argsort(pairs[:, 0])]
    firsts, counts = pairs[:, 0], pairs[:, 1]
    ends = np.cumsum(counts)
    shifts = np.repeat(firsts - (ends - counts), counts)
    ids: Ids = np.arange(len(shifts), dtype=np.int64) + shifts
    return ids
