"""Search by binary codes, which choose among many vectors without reading them.

Two steps choose candidates. The Hamming distance of every code to the question's is one pass over
48 MB for a million vectors of 384 numbers. For the nearest of them, the question's own numbers are
added up with the signs that a code has, which ranks as well as five times as many codes by
distance alone (docs/benchmarks.md). The caller compares the candidates with the stored vectors, the
best first, until the others are too far away to be hits.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minnow.engines.base import default_threads
from minnow.errors import IndexFileError
from minnow.indexfile.codes import (
    code_bytes,
    codes_of,
    has_codes,
    read_centre,
    read_codes,
    update_codes,
)
from minnow.resources import require_memory
from minnow.search.chunk_ids import chunk_ids, vectors_of

if TYPE_CHECKING:
    import sqlite3

    from minnow.indexfile.codes import Codes
    from minnow.indexfile.encodings import Doubles, Floats, Ids
    from minnow.indexfile.store import Store
    from minnow.vectors import VectorEncoding

Words = NDArray[np.uint64]
Distances = NDArray[np.uint16]

_WORD_BYTES = 8
_COLUMNS_AT_A_TIME = 65_536
"""Codes of a step. A thread hands the interpreter over between NumPy's calls and waits for it, so
calls are few and steps are large; the intermediate results of one take 1.8 MB."""

_WORDS_IN_A_SUM = 3
"""Words whose bits are counted in a byte, which holds up to 255, before the sum is added to a
distance of two bytes: adding bytes is faster."""

_CODES_PER_THREAD = 200_000
_VECTORS_AT_A_TIME = 1024
_SAMPLE, _SAMPLED_MORE, _MARGIN = 16_384, 2, 16
"""Size of the sample of distances, and what is looked for by it: the number needed times
`_SAMPLED_MORE`, and `_MARGIN` of the sample more, so that it seldom finds too few."""

_LEAST_NEAR, _NEAR = 2000, 20
_LEAST_CANDIDATES, _CANDIDATES = 512, 8
_LEAST_COMPARED, _COMPARED = 64, 2
"""Codes that are compared by signs, candidates, and those that are compared in any case: at least
so many, and per hit asked for."""
_CODES_PER_NEAR = 250
"""In a large file, one of so many codes is compared by signs."""
_ERRORS = 3.0
"""A candidate is left out if its score would have to be so many standard errors above a line."""

_BITS = np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1).astype(np.float32)
"""The bits of each value of a byte."""


class CodeMatrix:
    """The codes of the chunks of a file, in memory.

    A code is a column of words of 64 bits, so that NumPy goes through one word of many codes at a
    time.

    Attributes:
        ids: Ascending, int64 of shape (chunks,).
        columns: uint64 of shape (words, chunks); bits beyond the width are 0.
    """

    def __init__(self, width: int, encoding: VectorEncoding) -> None:
        """Hold no codes yet."""
        self._width, self._encoding = width, encoding
        self._words = -(-code_bytes(width) // _WORD_BYTES)
        self._centre: Floats = np.empty(0, np.float32)
        self.ids: Ids = np.empty(0, np.int64)
        self.columns: Words = np.empty((self._words, 0), np.uint64)

    def refresh(self, database: sqlite3.Connection, ids: Ids) -> bool:
        """Read codes of new chunks, and drop those of deleted ones; chunks keep their codes.

        Vectors without a code, as another program may have added, are read and coded here.

        Args:
            database: The file.
            ids: Of all chunks, ascending.

        Returns:
            Whether the file has codes.

        Raises:
            IndexFileError: A row has changed, a vector is missing, or there is too little memory.
        """
        if ids is self.ids:
            return True
        centre = read_centre(database, self._width)
        if centre is None:
            return False
        if not np.array_equal(centre, self._centre):
            self._centre, self.ids = centre, np.empty(0, np.int64)
            self.columns = np.empty((self._words, 0), np.uint64)
        if np.array_equal(ids, self.ids):
            return True
        require_memory(
            len(ids) * (self._words * _WORD_BYTES + 16),
            f"Loading {len(ids)} codes of {self._width} bits",
            "Search by words, or divide the index.",
            IndexFileError,
        )
        stay = np.isin(self.ids, ids, assume_unique=True)
        last = int(self.ids[-1]) if len(self.ids) else 0
        columns = np.empty((self._words, len(ids)), np.uint64)
        coded = np.isin(ids, self.ids, assume_unique=True)
        columns[:, coded] = self.columns if stay.all() else self.columns[:, stay]
        for some, codes in read_codes(database, self._width, last + 1):
            places = np.searchsorted(ids, some)
            there = places < len(ids)
            there[there] = ids[places[there]] == some[there]
            columns[:, places[there]] = self._columns_of(codes[there])
            coded[places[there]] = True
        missing = np.flatnonzero(~coded)
        for start in range(0, len(missing), _VECTORS_AT_A_TIME):
            places = missing[start : start + _VECTORS_AT_A_TIME]
            vectors = vectors_of(
                database, ids[places].tolist(), self._width, self._encoding, unit=True
            )
            columns[:, places] = self._columns_of(codes_of(vectors, centre))
        self.ids, self.columns = ids, columns
        return True

    def _columns_of(self, codes: Codes) -> Words:
        """Return codes, uint8 of shape (rows, bytes), as columns of words."""
        padded = np.zeros((len(codes), self._words * _WORD_BYTES), np.uint8)
        padded[:, : codes.shape[1]] = codes
        columns: Words = padded.view(np.uint64).T
        return columns

    def candidates(
        self, query: Floats, count: int, allowed: Ids | None = None
    ) -> tuple[Ids, Floats]:
        """Choose chunks that can be the nearest to a question.

        Args:
            query: float32 of shape (width,).
            count: How many hits are asked for.
            allowed: Ids that may be chosen, ascending; all by default.

        Returns:
            Their ids, more than `count` where there are more, and their sums of signs: float32, the
            greatest first.
        """
        columns, ids = self.columns, self.ids
        if allowed is not None:
            there = np.isin(ids, allowed, assume_unique=True)
            columns, ids = columns[:, there], ids[there]
        enough = max(_LEAST_NEAR, _NEAR * count, len(ids) // _CODES_PER_NEAR)
        if len(ids) > enough:
            own = self._columns_of(codes_of(query[None], self._centre))[:, 0]
            near = _nearest(_distances(columns, own), enough)
            columns, ids = columns.take(near, axis=1), ids[near]
        sums = self._sums_of_signs(query, columns)
        most = max(_LEAST_CANDIDATES, _CANDIDATES * count)
        if len(ids) > most:
            best = np.argpartition(-sums, most)[:most]
            ids, sums = ids[best], sums[best]
        order = np.lexsort((ids, -sums))
        return ids[order], sums[order]

    def _sums_of_signs(self, query: Floats, columns: Words) -> Floats:
        """Add the numbers of a question up where a code has a 1: float32 of shape (codes,).

        A table has the sum for each value of each byte, so that a code is a few look-ups.
        """
        numbers = np.zeros(self._words * _WORD_BYTES * 8, np.float32)
        numbers[: self._width] = query - self._centre
        table = numbers.reshape(-1, 8) @ _BITS.T
        codes = np.ascontiguousarray(columns.T).view(np.uint8)
        places = codes + np.arange(len(table)) * len(_BITS)
        sums: Floats = table.take(places).sum(axis=1)
        return sums


def count_to_compare(sums: Floats, scores: Doubles, count: int) -> int:
    """Return how many candidates to compare with a question before its hits are known.

    The scores of those that were compared are predicted from their sums by a line. Another one is
    left out if the line and three standard errors do not take it to the last hit.

    Args:
        sums: Of all candidates, the greatest first.
        scores: Of the first of them, which were compared; may be empty.
        count: How many hits are asked for.

    Returns:
        At most twice as many as were compared, so that a prediction is made anew with more.
    """
    done = len(scores)
    if done in (0, len(sums)):
        return min(len(sums), max(_LEAST_COMPARED, _COMPARED * count))
    apart = sums.astype(np.float64) - sums[:done].mean(dtype=np.float64)
    known, mean = apart[:done], scores.mean()
    spread = known @ known
    slope = known @ (scores - mean) / spread if spread > 0 else 0.0
    error = np.sqrt(np.mean((scores - mean - slope * known) ** 2))
    last_hit = np.partition(scores, done - count)[done - count]
    hopeful = mean + slope * apart[done:] + _ERRORS * error >= last_hit
    return min(done + int(np.count_nonzero(hopeful)), 2 * done)


def _distances(columns: Words, own: Words) -> Distances:
    """Return the Hamming distance of each code, uint64 of shape (words, codes), to another."""
    found = np.empty(columns.shape[1], np.uint16)
    threads = min(default_threads(), 1 + len(found) // _CODES_PER_THREAD)
    ends = np.linspace(0, len(found), threads + 1).astype(int).tolist()
    first, *others = [slice(*pair) for pair in pairwise(ends)]

    def write(part: slice) -> None:
        _write_distances(found[part], columns[:, part], own)

    with ThreadPoolExecutor(threads) as pool:  # NumPy lets other threads run meanwhile
        written = pool.map(write, others)
        write(first)
        list(written)  # raises what a thread raised
    return found


def _write_distances(found: Distances, columns: Words, own: Words) -> None:
    """Write the Hamming distance of each code to another into an array."""
    shape = (_WORDS_IN_A_SUM, min(_COLUMNS_AT_A_TIME, len(found)))
    differing, counts = np.empty(shape, np.uint64), np.empty(shape, np.uint8)
    for start in range(0, len(found), _COLUMNS_AT_A_TIME):
        total = found[start : start + _COLUMNS_AT_A_TIME]
        total[:] = 0
        for first in range(0, len(own), _WORDS_IN_A_SUM):
            some = own[first : first + _WORDS_IN_A_SUM, None]
            part = (slice(len(some)), slice(len(total)))
            block = columns[first : first + len(some), start : start + len(total)]
            bits = _count_bits(np.bitwise_xor(block, some, out=differing[part]), counts[part])
            total += bits.sum(axis=0, dtype=np.uint8)


def _count_bits(words: Words, out: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
    """Return the number of bits that are set in each word, in `out` where NumPy can count them."""
    if hasattr(np, "bitwise_count"):
        counts: NDArray[np.uint8] = np.bitwise_count(words, out=out)
        return counts
    # NumPy 1: counts of 2, then 4, then 8 bits side by side, and their sum in the highest byte.
    # Source: Warren, Hacker's Delight, 2nd edition, figure 5-2.
    pairs = words - ((words >> np.uint64(1)) & np.uint64(0x5555555555555555))
    fours = (pairs & np.uint64(0x3333333333333333)) + (
        (pairs >> np.uint64(2)) & np.uint64(0x3333333333333333)
    )
    eights = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    highest: NDArray[np.uint8] = (eights * np.uint64(0x0101010101010101) >> np.uint64(56)).astype(
        np.uint8
    )
    return highest


def _nearest(distances: Distances, count: int) -> NDArray[np.intp]:
    """Return the places of the least distances: at least `count`, and at most twice as many.

    A sample estimates a distance that enough are within, so that only those are sorted further.
    """
    count = min(count, len(distances))
    sample = distances[:: max(1, len(distances) // _SAMPLE)]
    rank = min(len(sample) - 1, _SAMPLED_MORE * count * len(sample) // len(distances) + _MARGIN)
    places = np.flatnonzero(distances <= np.partition(sample, rank)[rank])
    if len(places) < count:
        places = np.arange(len(distances))
    within = distances[places]
    border = np.partition(within, count - 1)[count - 1]
    inner = places[within < border]
    return np.concatenate([inner, places[within == border][: 2 * count - len(inner)]])


def tidy_codes(store: Store) -> None:
    """Make all codes of a file again where vectors lack one, or most are of deleted chunks."""
    if not has_codes(store.fingerprint):
        return
    with store.reading() as database:
        width, encoding = store.fingerprint.width, store.settings.encoding
        ids = chunk_ids(database)
        if read_centre(database, width) is not None:
            coded = np.concatenate(
                [np.empty(0, np.int64), *(some for some, _ in read_codes(database, width, 1))]
            )
            if len(coded) <= 2 * len(ids) + _VECTORS_AT_A_TIME and np.isin(ids, coded).all():
                return
    with store.writing() as database:
        update_codes(database, width, encoding, anew=True)
