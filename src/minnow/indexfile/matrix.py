"""All vectors of a table in memory, and exact search in them.

A score depends on the two vectors alone. BLAS rounds differently from one shape of a matrix to
another, and from the middle of a matrix to its edge; so its products only choose candidates, with
a margin for rounding, and `exact_scores` ranks those. The same query thus has the same hits and
scores alone and among others, and equal vectors have equal scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from minnow.errors import IndexFileError
from minnow.indexfile.checksums import check_rows, damaged, read_checked
from minnow.indexfile.encodings import decode_rows
from minnow.resources import require_memory
from minnow.vectors import Similarity, similarity

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from minnow.indexfile.checksums import CheckedTable
    from minnow.indexfile.encodings import Doubles, Floats, Ids
    from minnow.vectors import VectorEncoding


_ROWS_AT_A_TIME = 8192
_COLUMNS_AT_A_TIME = 1024
_MANY = 128
_SELECTIVE = 0.1
_GROUP = 64
_SCORES_AT_A_TIME = 32_000_000
_PRODUCTS = (Similarity.COSINE, Similarity.DOT)
_Lengths = TypeVar("_Lengths", float, NDArray[np.float64])


@dataclass(frozen=True)
class Ranking:
    """Rows with their scores, the best first; equal scores in the order of ids.

    Attributes:
        ids: int64 of shape (found,).
        scores: float64 of shape (found,).
    """

    ids: NDArray[np.int64]
    scores: NDArray[np.float64]

    def top(self, count: int) -> Ranking:
        """Return the best of them."""
        return Ranking(self.ids[:count], self.scores[:count])


def best(ids: Ids, scores: NDArray[np.floating], count: int) -> Ranking:
    """Return up to `count` rows with the largest scores; rows with -inf are left out."""
    chosen = _candidates(scores, count)
    ids, scores = ids[chosen], scores[chosen]
    order = np.lexsort((ids, -scores))[:count]
    order = order[np.isfinite(scores[order])]
    return Ranking(ids[order], scores[order].astype(np.float64))


class Matrix:
    """The vectors of a table `(id, vector)`, as float32.

    A vector is a column, not a row: BLAS multiplies twice as fast that way.

    Attributes:
        ids: Ascending, int64 of shape (rows,).
        columns: float32 of shape (width, rows).
        longest: The length of the longest vector.
    """

    def __init__(
        self, table: CheckedTable, width: int, encoding: VectorEncoding, *, unit: bool
    ) -> None:
        """Hold no rows yet; `unit` says whether all vectors have to have length 1."""
        self._table, self._width, self._encoding, self._unit = table, width, encoding, unit
        self.ids: Ids = np.empty(0, np.int64)
        self.columns: Floats = np.empty((width, 0), np.float32)
        self._lengths: Floats = np.empty(0, np.float32)
        self.longest = 0.0

    def refresh(self, database: sqlite3.Connection, ids: Ids) -> None:
        """Read new rows and drop deleted ones; rows never change, and ids are not used again.

        `ids` are those of all rows that the table has now, ascending.

        Raises:
            IndexFileError: A vector is missing, has changed in the file, or has a wrong length; or
                the vectors do not fit into the memory that is left.
        """
        if ids is self.ids or np.array_equal(ids, self.ids):
            return
        _check_memory(len(ids), len(ids) - len(self.ids), self._width)
        stay = np.isin(self.ids, ids, assume_unique=True)
        last = int(self.ids[-1]) if len(self.ids) else -1
        columns = np.empty((self._width, len(ids)), np.float32)
        lengths = np.empty(len(ids), np.float32)
        filled = int(stay.sum())
        columns[:, :filled] = self.columns if stay.all() else self.columns[:, stay]
        lengths[:filled] = self._lengths[stay]
        for read, block in self._read(database, last):
            if not np.array_equal(read, ids[filled : filled + len(read)]):
                filled = -1
                break
            new = slice(filled, filled + len(read))
            columns[:, new] = block.T
            lengths[new] = np.linalg.norm(block.astype(np.float64), axis=1)
            filled += len(read)
        if filled != len(ids):
            raise damaged(database, f"{self._table.name} lacks vectors, or has too many")
        self.ids, self.columns, self._lengths = ids, columns, lengths
        self.longest = float(lengths.max(initial=0.0))

    def _read(self, database: sqlite3.Connection, after: int) -> Iterator[tuple[Ids, Floats]]:
        """Read the vectors after an id, in blocks of ids and float32 of shape (ids, width)."""
        return read_vectors(
            database, self._table, after, self._width, self._encoding, unit=self._unit
        )

    def _replace(self, places: NDArray[np.intp], vectors: Floats) -> None:
        """Put other vectors, float32 of shape (places, width), into some columns."""
        self.columns[:, places] = vectors.T
        self._lengths[places] = np.linalg.norm(vectors.astype(np.float64), axis=1)
        self._longest = float(self._lengths.max(initial=0.0))

    def search(
        self, queries: Floats, count: int, kind: Similarity, allowed: Ids | None = None
    ) -> list[Ranking]:
        """Return the nearest rows to each query, exactly.

        Args:
            queries: float32 of shape (queries, width).
            count: How many to find.
            kind: How to compare; for cosine, all vectors have length 1.
            allowed: Ids that may be found, ascending; all by default.
        """
        ids, columns, lengths = self.ids, self.columns, self._lengths
        mask = None
        if allowed is not None:
            mask = np.isin(ids, allowed, assume_unique=True)
            if mask.mean() < _SELECTIVE if len(mask) else True:
                ids, columns, lengths = ids[mask], columns[:, mask], lengths[mask]
                mask = None
        step = max(1, _SCORES_AT_A_TIME // max(1, len(ids)))
        found = []
        for start in range(0, len(queries), step):
            block = queries[start : start + step]
            for query, scores in zip(block, _approximate(block, columns, kind), strict=True):
                row = scores if mask is None else np.where(mask, scores, -np.inf)
                chosen = _candidates(row, count, 2 * rounding(query, self.longest, kind))
                if len(chosen) > count + _MANY:  # a single long vector makes the margin wide
                    margins = rounding(query, lengths[chosen].astype(np.float64), kind)
                    chosen = chosen[_within(row[chosen], margins, count)]
                exact = exact_scores(query, columns, kind, chosen)
                found.append(best(ids[chosen], exact, count))
        return found

    def scores(self, query: Floats, ids: Ids, kind: Similarity) -> Doubles:
        """Compare a query with some rows.

        Args:
            query: float32 of shape (width,).
            ids: The ids of the rows, int64 of shape (ids,).
            kind: How to compare.

        Returns:
            float64 of shape (ids,); -inf for rows that are not there.
        """
        places = np.minimum(np.searchsorted(self.ids, ids), max(0, len(self.ids) - 1))
        there = self.ids[places] == ids if len(self.ids) else np.zeros(len(ids), bool)
        scores = np.full(len(ids), -np.inf)
        scores[there] = exact_scores(query, self.columns, kind, places[there])
        return scores


def exact_scores(
    query: Floats, columns: Floats, kind: Similarity, places: NDArray[np.intp] | None = None
) -> Doubles:
    """Compare one query with vectors in float64, each in the same order of additions.

    It copies a few thousand vectors at a time.

    Args:
        query: float32 of shape (width,).
        columns: float32 of shape (width, vectors).
        kind: How to compare; for cosine, all have length 1.
        places: Which columns to compare with; all by default.

    Returns:
        float64 of shape (vectors,), or of the shape of `places`. A score depends neither on the
        other vectors nor on its place.
    """
    if places is None and kind in _PRODUCTS:  # needs no copy, but for one of other strides
        return _exact_scores_of_block(query, columns, kind)
    scores = np.empty(columns.shape[1] if places is None else len(places))
    for start in range(0, len(scores), _COLUMNS_AT_A_TIME):
        some = slice(start, start + _COLUMNS_AT_A_TIME)
        block = columns[:, some] if places is None else columns.take(places[some], axis=1)
        scores[some] = _exact_scores_of_block(query, block, kind)
    return scores


def _exact_scores_of_block(query: Floats, columns: Floats, kind: Similarity) -> Doubles:
    if columns.shape[1] == 1:  # NumPy would add a single column up in another order
        return _exact_scores_of_block(query, np.repeat(columns, 2, axis=1), kind)[:1]
    columns = np.ascontiguousarray(columns)
    if kind in _PRODUCTS:  # products of float32 are exact in float64: a fused addition is no other
        products: Doubles = np.einsum("k,kn->n", query, columns, dtype=np.float64)
        return products
    differences = columns - query.astype(np.float64)[:, None]
    if kind is Similarity.MANHATTAN:
        distances: Doubles = np.abs(differences).sum(axis=0)
    else:
        distances = np.sqrt(np.square(differences).sum(axis=0))
    return -distances


def rounding(query: Floats, longest: _Lengths, kind: Similarity) -> _Lengths:
    """Return how far a score in float32 may be from the exact one, with any BLAS.

    Args:
        query: float32 of shape (width,).
        longest: The greatest length of the vectors it is compared with, or the length of each:
            float64 of any shape, as the result has then.
        kind: How they are compared.

    Source: Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1: the error of
    a sum of n products is at most n * u / (1 - n * u) times the sum of their magnitudes, in any
    order; u is half of what is taken here.
    """
    length = float(np.linalg.norm(query.astype(np.float64)))
    if kind in _PRODUCTS:
        largest = length * longest
    else:
        largest = (length + longest) * (len(query) ** 0.5 if kind is Similarity.MANHATTAN else 1)
    return (len(query) + 4) * float(np.finfo(np.float32).eps) * largest


def _approximate(queries: Floats, columns: Floats, kind: Similarity) -> Floats:
    """Compare every query with every vector: float32 of shape (queries, vectors)."""
    if kind in _PRODUCTS:
        one = len(queries) == 1  # NumPy's product of a vector and a matrix is the faster one
        scores: Floats = (queries[0] @ columns)[None] if one else queries @ columns
        return scores
    return similarity(queries, columns.T, kind)


def _candidates(scores: NDArray[np.floating], count: int, margin: float = 0.0) -> NDArray[np.intp]:
    """Return the places of the largest scores, and of those that are less by up to a margin."""
    least, groups = -np.inf, len(scores) // _GROUP
    if groups > count:  # at least `count` groups, and so scores, reach this: faster than sorting
        maxima = scores[: groups * _GROUP].reshape(_GROUP, groups).max(axis=0)
        least = float(np.partition(maxima, groups - count)[groups - count]) - margin
    places = np.flatnonzero(scores >= least if np.isfinite(least) else scores != -np.inf)
    if len(places) > count:
        left = scores[places]
        least = float(np.partition(left, len(left) - count)[len(left) - count]) - margin
        places = places[left >= least] if np.isfinite(least) else places
    return places


def _within(scores: Floats, margins: Doubles, count: int) -> NDArray[np.intp]:
    """Return the places of scores that can be among the best `count`; there are more than that."""
    least = np.partition(scores - margins, len(scores) - count)[len(scores) - count]
    return np.flatnonzero(~(scores + margins < least))  # with NaN, all places


def read_vectors(
    database: sqlite3.Connection,
    table: CheckedTable,
    after: int,
    width: int,
    encoding: VectorEncoding,
    *,
    unit: bool,
) -> Iterator[tuple[Ids, Floats]]:
    """Read the vectors of a table after an id, in blocks, and check them.

    Yields:
        Ids, ascending, and float32 of shape (ids, width).

    Raises:
        IndexFileError: A row has changed; or, with `unit`, a vector has another length than 1.
    """
    rows = read_checked(database, table, "WHERE id > ? ORDER BY id", (after,))
    while block := list(islice(rows, _ROWS_AT_A_TIME)):
        check_rows(database, table, block)
        ids = np.array([row[0] for row in block], np.int64)
        blobs = [row[1] for row in block]
        yield ids, decode_rows(blobs, width, encoding, unit=unit)


def _check_memory(count: int, new: int, width: int) -> None:
    """Check that a matrix fits into memory beside the one that it replaces, and a block of rows."""
    row = width * np.dtype(np.float32).itemsize
    needed = count * (row + 32) + min(max(0, new), _ROWS_AT_A_TIME) * 6 * row
    require_memory(
        needed,
        f"Loading {count} vectors of {width} numbers",
        "Search by words, build a sidecar with `sidecar=always`, or divide the index.",
        IndexFileError,
    )
