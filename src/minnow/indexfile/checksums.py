"""Checksums of rows: a changed bit in the file is an error, never another answer.

Every row has a checksum of its columns. Tables whose rows are counted (`CheckedTable.counted`) also
have the number of their rows and the total of their checksums in the table `sums`, so that a lost
row is noticed too. `docs/index-format.md` describes the formulas, for readers in other languages.
"""

from __future__ import annotations

import sqlite3
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from minnow.errors import IndexFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Row = tuple[Any, ...]

CHECKSUM = "checksum INTEGER"
"""The column of every table; it is the last one."""

SUMS = "sums"
SUMS_SCHEMA = (
    f"CREATE TABLE {SUMS} (name TEXT PRIMARY KEY, rows INTEGER NOT NULL, total INTEGER) "
    "WITHOUT ROWID"
)
"""For each counted table the number of its rows, and the total of their checksums."""

_ID_BYTES = 8
_AT_A_TIME = 4096
_SHOWN = 5


@dataclass(frozen=True)
class CheckedTable:
    """A table whose rows have checksums.

    Attributes:
        name: Its name.
        columns: The columns that a checksum covers, in this order, and which begin
            with the key.
        keys: How many of the first columns identify a row.
        counted: Whether `sums` has its number of rows and their total.
        is_vectors: Whether it is `(id, vector, checksum)`.
        texts: For a table of vectors, the table with the texts that were embedded, by id.
    """

    name: str
    columns: tuple[str, ...]
    keys: int = 1
    counted: bool = False
    is_vectors: bool = False
    texts: str = ""

    @property
    def triggers(self) -> tuple[str, ...]:
        """SQL that keeps its row of `sums`; a row may get its checksum after it is inserted."""
        if not self.counted:
            return ()
        changes = {
            "insert": "rows = rows + 1, total = total + coalesce(new.checksum, 0)",
            "delete": "rows = rows - 1, total = total - coalesce(old.checksum, 0)",
            "update": "total = total + coalesce(new.checksum, 0) - coalesce(old.checksum, 0)",
        }
        return tuple(
            f"CREATE TRIGGER {self.name}_{event}_counted AFTER {event.upper()} ON {self.name} "  # noqa: S608
            f"BEGIN UPDATE {SUMS} SET {change} WHERE name = '{self.name}'; END"
            for event, change in changes.items()
        )

    def checksum(self, values: Row) -> int | float:
        """Return the checksum of a row's columns."""
        return vector_checksum(*values) if self.is_vectors else row_checksum(values)


def row_checksum(values: Row) -> int:
    """Return the CRC-32 of a row as a MessagePack array, each number in the shortest form.

    Source: https://github.com/msgpack/msgpack/blob/master/spec.md
    """
    return zlib.crc32(msgspec.msgpack.encode(values))


def vector_checksum(id_: object, vector: object) -> int | float:
    """Return the CRC-32 of an id, as int64 in little-endian order, and the blob behind it.

    Values of other types, which minnow never writes, have NaN, which equals no checksum.
    """
    if not isinstance(id_, int) or not isinstance(vector, bytes):
        return float("nan")
    return zlib.crc32(vector, zlib.crc32(id_.to_bytes(_ID_BYTES, "little", signed=True)))


def damaged(database: sqlite3.Connection, what: str) -> IndexFileError:
    """Return an error that names the file and what in it is damaged."""
    file = database.execute("SELECT file FROM pragma_database_list WHERE name = 'main'").fetchone()
    name = (file and file[0]) or "The index"
    return IndexFileError(
        f"{name} is damaged: {what}. `minnow index` repairs what it can; else restore a copy, or "
        "index again into another file."
    )


def check_rows(database: sqlite3.Connection, table: CheckedTable, rows: Iterable[Row]) -> None:
    """Check rows that were read, each its columns and then its checksum.

    Raises:
        IndexFileError: A row is not the one that was written; the message names it.
    """
    for key in _changed(table, rows):
        raise damaged(database, f"row {key!r} of {table.name} has changed")


def _changed(table: CheckedTable, rows: Iterable[Row]) -> list[Any]:
    """Return the keys of rows whose checksums are wrong; it is written for speed."""
    if table.is_vectors:
        return [id_ for id_, row, checksum in rows if vector_checksum(id_, row) != checksum]
    crc32, encode = zlib.crc32, msgspec.msgpack.encode
    return [row[0] for row in rows if crc32(encode(row[:-1])) != row[-1]]


def read_checked(
    database: sqlite3.Connection,
    table: CheckedTable,
    end: str = "",
    parameters: Sequence[object] = (),
) -> sqlite3.Cursor:
    """Select rows of a table with their checksums, which are not checked yet."""
    columns = ", ".join((*table.columns, "checksum"))
    return database.execute(f"SELECT {columns} FROM {table.name} {end}", parameters)  # noqa: S608


def check_table(database: sqlite3.Connection, table: CheckedTable) -> None:
    """Check every row of a table, and the number of rows where the file records it.

    Raises:
        IndexFileError: A row has changed, or some are missing.
    """
    for _ in read_table(database, table):
        pass


def read_table(database: sqlite3.Connection, table: CheckedTable) -> Iterator[list[Row]]:
    """Read and check a whole table in blocks of rows with their checksums, in the order of keys.

    Raises:
        IndexFileError: A row has changed; or, at the end, some are missing.
    """
    count, total = 0, 0
    cursor = read_checked(database, table, f"ORDER BY {table.columns[0]}")
    while rows := cursor.fetchmany(_AT_A_TIME):
        check_rows(database, table, rows)
        count, total = count + len(rows), total + sum(row[-1] for row in rows)
        yield rows
    if table.counted and _sums(database, table.name) != (count, total):
        raise damaged(database, f"rows of {table.name} are missing, or there are too many")


def states(database: sqlite3.Connection, tables: Iterable[CheckedTable]) -> tuple[object, ...]:
    """Return what changes with the content of counted tables; it costs no reading of rows."""
    return tuple(_sums(database, table.name) for table in tables)


def _sums(database: sqlite3.Connection, name: str) -> tuple[int, int | None] | None:
    row: tuple[int, int | None] | None = database.execute(
        f"SELECT rows, total FROM {SUMS} WHERE name = ?",  # noqa: S608
        (name,),
    ).fetchone()
    return row


def write_checksum(database: sqlite3.Connection, table: CheckedTable, key: object) -> None:
    """Set the checksum of a row that was inserted or changed."""
    first = table.columns[0]
    values = database.execute(
        f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE {first} = ?",  # noqa: S608
        (key,),
    ).fetchone()
    database.execute(
        f"UPDATE {table.name} SET checksum = ? WHERE {first} = ?",  # noqa: S608
        (table.checksum(values), key),
    )


def count_rows(database: sqlite3.Connection, tables: Iterable[CheckedTable]) -> None:
    """Write the rows of `sums` for counted tables, from what the tables hold."""
    for table in tables:
        if table.counted:
            database.execute(
                f"INSERT OR REPLACE INTO {SUMS} "  # noqa: S608
                f"SELECT ?, count(*), coalesce(sum(checksum), 0) FROM {table.name}",
                (table.name,),
            )


def broken_keys(database: sqlite3.Connection, table: CheckedTable) -> list[Any]:
    """Return the keys of all rows that are not those that were written.

    Raises:
        sqlite3.DatabaseError: SQLite cannot read the table.
    """
    try:
        return _changed(table, read_checked(database, table))
    except (sqlite3.OperationalError, UnicodeDecodeError):  # a text that is no UTF-8
        if len(table.columns) < 2 or table.columns[0] != "id":
            raise
    found = []
    for (key,) in database.execute(f"SELECT id FROM {table.name}").fetchall():  # noqa: S608
        try:
            found += _changed(table, read_checked(database, table, "WHERE id = ?", (key,)))
        except (sqlite3.OperationalError, UnicodeDecodeError):
            found.append(key)
    return found


def find_changed_rows(
    database: sqlite3.Connection, tables: Iterable[CheckedTable]
) -> Iterator[str]:
    """Yield a line for each table with rows that are damaged, missing or too many."""
    for table in tables:
        if keys := broken_keys(database, table):
            some = ", ".join(map(repr, keys[:_SHOWN])) + (", ..." if len(keys) > _SHOWN else "")
            yield f"{len(keys)} rows of {table.name} have changed ({some})"
        elif table.counted:
            question = f"SELECT count(*), coalesce(sum(checksum), 0) FROM {table.name}"  # noqa: S608
            if _sums(database, table.name) != database.execute(question).fetchone():
                yield f"rows of {table.name} are missing, or there are too many"
