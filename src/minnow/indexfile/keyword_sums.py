"""The checksum of the keyword index, which FTS5 writes itself, as one for all its blocks.

It reads all blocks, so it is not written at every change: `rows` of its row in `sums` counts the
chunks that came or went since, and `total` is NULL meanwhile.
"""

from __future__ import annotations

import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from minnow.errors import IndexFileError
from minnow.indexfile.checksums import SUMS, damaged
from minnow.indexfile.documents import KEYWORDS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_BLOCKS_PER_CHANGE = 20


def seal_keywords(database: sqlite3.Connection) -> None:
    """Write the checksum of the keyword index, within a transaction of its own."""
    database.execute(
        f"INSERT OR REPLACE INTO {SUMS} VALUES (?, 0, ?)",  # noqa: S608
        (KEYWORDS, _checksum(database)),
    )


def should_seal(database: sqlite3.Connection) -> bool:
    """Return whether as much has changed that reading the whole keyword index is worth it."""
    changed, total = _stored(database)
    if total is not None:
        return False
    question = f"SELECT count(*) FROM {KEYWORDS}_idx"  # noqa: S608
    return bool(database.execute(question).fetchone()[0] <= _BLOCKS_PER_CHANGE * changed)


def check_keywords(database: sqlite3.Connection) -> None:
    """Check the keyword index against its checksum, if that was written since the last change.

    Raises:
        IndexFileError: It has changed.
    """
    _, total = _stored(database)
    if total is not None and total != _checksum(database):
        raise damaged(database, "the keyword index has changed")


def rebuild_keywords(database: sqlite3.Connection) -> None:
    """Make the keyword index again from the texts."""
    database.execute(f"INSERT INTO {KEYWORDS} ({KEYWORDS}) VALUES ('rebuild')")  # noqa: S608


@contextmanager
def repaired_keywords(database: sqlite3.Connection) -> Iterator[None]:
    """Make the keyword index again before many chunks are deleted, if it is damaged, and after.

    FTS5 refuses to delete what a damaged index does not have, and leaves words of damaged texts.
    """
    try:
        check_keywords(database)
    except IndexFileError:
        rebuild_keywords(database)
    yield
    rebuild_keywords(database)


def _stored(database: sqlite3.Connection) -> tuple[int, int | None]:
    row = database.execute(
        f"SELECT rows, total FROM {SUMS} WHERE name = ?",  # noqa: S608
        (KEYWORDS,),
    ).fetchone()
    if row is None or not isinstance(row[0], int):
        raise damaged(database, f"{SUMS} has no count of {KEYWORDS}")
    return row[0], row[1]


def _checksum(database: sqlite3.Connection) -> int:
    """Return the CRC-32 of all blocks, then of all other rows, each as a MessagePack array."""
    checksum = 0
    for columns, table, order in (
        ("id, block", "data", "id"),
        ("segid, term, pgno", "idx", "segid, term"),
        ("k, v", "config", "k"),
    ):
        for row in database.execute(
            f"SELECT {columns} FROM {KEYWORDS}_{table} ORDER BY {order}"  # noqa: S608
        ):
            checksum = zlib.crc32(msgspec.msgpack.encode(row), checksum)
    return checksum
