"""What may be wrong with an index, looked for in all of it."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from minnow.errors import IndexFileError
from minnow.search.schema import has_table

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHECKS = (
    (
        "SELECT count(*) FROM chunks WHERE document NOT IN (SELECT id FROM documents)",
        "chunks belong to no document",
    ),
    (
        "SELECT count(*) FROM documents AS d WHERE d.chunks != (SELECT count(*) FROM chunks AS c "
        "WHERE c.id >= d.first_chunk AND c.id < d.first_chunk + d.chunks AND c.document = d.id)",
        "documents lack chunks",
    ),
    (
        "SELECT count(*) FROM chunks WHERE id NOT IN (SELECT id FROM vectors)",
        "chunks have no vector",
    ),
    (
        "SELECT count(*) FROM vectors WHERE id NOT IN (SELECT id FROM chunks)",
        "vectors belong to no chunk",
    ),
    (
        "SELECT (SELECT coalesce(sum(chunks), 0) FROM documents) != (SELECT count(*) FROM chunks)",
        "count of chunks is wrong",
    ),
)

_MEMORY_CHECKS = (
    (
        "SELECT count(*) FROM memories WHERE id NOT IN (SELECT id FROM memory_vectors)",
        "memories have no vector",
    ),
)


@contextmanager
def reading_rows(what: str) -> Iterator[None]:
    """Make of rows what they stand for; values that minnow never writes are damage.

    Args:
        what: Is read, for messages.

    Raises:
        IndexFileError: A value is missing, or of another kind.
    """
    try:
        yield
    except (TypeError, ValueError, OverflowError) as error:
        raise IndexFileError(f"{what} cannot be read ({error}): the file is damaged.") from error


def is_unicode(text: str) -> bool:
    """Whether it has no half of a surrogate pair, which a file cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def find_faults(database: sqlite3.Connection, *, writable: bool) -> list[str]:
    """Ask SQLite about its pages, and the tables about each other.

    Args:
        database: In a transaction.
        writable: Whether FTS5 may be asked too, which it takes for a change.

    Returns:
        What is wrong; nothing is good news.
    """
    found = [str(line) for (line,) in database.execute("PRAGMA integrity_check") if line != "ok"]
    for table, row, parent, _ in database.execute("PRAGMA foreign_key_check"):
        found.append(f"row {row} of {table} has no {parent}")
    more = _MEMORY_CHECKS if has_table(database, "memories") else ()
    for question, what in (*_CHECKS, *more):
        (count,) = database.execute(question).fetchone()
        if count:
            found.append(f"{count} {what}")
    if writable:
        try:
            database.execute(
                "INSERT INTO chunks_fts (chunks_fts, rank) VALUES ('integrity-check', 1)"
            )
        except sqlite3.DatabaseError as error:
            found.append(f"the keywords do not fit the texts ({error})")
    return found
