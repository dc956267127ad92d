"""Ids of chunks: all of them, those that a condition allows, and their vectors."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from minnow.errors import InputError
from minnow.indexfile.checks import reading_rows
from minnow.indexfile.checksums import check_rows, check_table, damaged, read_checked
from minnow.indexfile.documents import CHUNKS, VECTORS
from minnow.indexfile.encodings import decode_rows
from minnow.indexfile.filters import select_where

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from minnow.indexfile.encodings import Floats, Ids
    from minnow.indexfile.filters import Parameters
    from minnow.indexfile.store import Store
    from minnow.vectors import VectorEncoding


_LEAST_ROW_BYTES = 4
_BY_DOCUMENT = (
    "SELECT first_chunk, chunks FROM "
    "(SELECT file, name, source, metadata, first_chunk, chunks FROM sources) AS passages"
)
"""Only the columns that mean the same in the view `passages`: `id` there is that of a chunk."""
_HINT = (
    "Columns are file, name, source, metadata, heading, text, number, start, headings; "
    "values of the metadata are metadata->>'name'."
)


def allowed_ids(store: Store, where: str, parameters: Parameters = ()) -> Ids:
    """Return the ids of the chunks that a condition allows, ascending.

    The condition is an expression over the columns of the view `passages`, such as
    `metadata->>'lang' = 'de' AND source LIKE 'docs/%'`; see `select_where` for what it may do. One
    on documents alone is evaluated for each document, and not for each chunk.

    Raises:
        InputError: It is not such a condition.
        IndexFileError, OutputError: The file cannot be read.
    """
    try:
        rows = select_where(store, _BY_DOCUMENT, where, parameters, _HINT)
    except InputError as error:
        if "no such column" not in str(error):
            raise
        with store.reading() as database:  # the condition reads the texts of all chunks
            check_table(database, CHUNKS)
            rows = select_where(store, "SELECT id, 1 FROM passages", where, parameters, _HINT)
    with reading_rows("The chunks of the documents"):
        return ids_of_ranges(rows)


def chunk_ids(database: sqlite3.Connection) -> Ids:
    """Return the ids of all chunks, ascending; read from the documents, which are few.

    Raises:
        IndexFileError: The documents cannot have these chunks.
    """
    rows = database.execute("SELECT first_chunk, chunks FROM documents WHERE chunks > 0").fetchall()
    with reading_rows("The chunks of the documents"):
        (last,) = database.execute("SELECT coalesce(max(id), 0) FROM chunks").fetchone()
        pages, size = (
            database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
        )
        if sum(count for _, count in rows) > min(last, pages * size // _LEAST_ROW_BYTES):
            raise ValueError("there are fewer")
        return ids_of_ranges(rows)


def ids_of_ranges(ranges: Sequence[tuple[int, int]]) -> Ids:
    """Return all numbers of ranges, ascending; each is a first number and a count."""
    pairs = np.array(ranges, np.int64).reshape(-1, 2)
    pairs = pairs[np.argsort(pairs[:, 0])]
    firsts, counts = pairs[:, 0], pairs[:, 1]
    ends = np.cumsum(counts)
    shifts = np.repeat(firsts - (ends - counts), counts)
    ids: Ids = np.arange(len(shifts), dtype=np.int64) + shifts
    return ids


def vectors_of(
    database: sqlite3.Connection,
    ids: Sequence[int],
    width: int,
    encoding: VectorEncoding,
    *,
    unit: bool,
) -> Floats:
    """Return the vectors of some chunks, in their order: float32 of shape (ids, width)."""
    wanted = [int(id_) for id_ in ids]
    one_of = "WHERE id IN (SELECT value FROM json_each(?))"
    rows = read_checked(database, VECTORS, one_of, (json.dumps(wanted),)).fetchall()
    check_rows(database, VECTORS, rows)
    found = {row[0]: row[1] for row in rows}
    if not found.keys() >= set(wanted):
        raise damaged(database, "a chunk has no vector")
    blobs = [found[id_] for id_ in wanted]
    if not blobs:
        return np.empty((0, width), np.float32)
    return decode_rows(blobs, width, encoding, unit=unit)
