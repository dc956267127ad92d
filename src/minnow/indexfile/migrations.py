"""Migrations of old files; each runs within the transaction that migrates a file."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from minnow.errors import IndexFileError
from minnow.indexfile.checksums import CHECKSUM, SUMS, SUMS_SCHEMA, count_rows, read_checked
from minnow.indexfile.documents import KEYWORD_SCHEMA, KEYWORDS, KEYWORDS_TRIGGERS
from minnow.indexfile.encodings import decode_rows
from minnow.indexfile.fingerprint import Fingerprint
from minnow.indexfile.schema import FACTS, checked_tables
from minnow.indexfile.settings import IndexSettings, from_json
from minnow.indexfile.words import words_of
from minnow.vectors import Similarity

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

    from minnow.indexfile.checksums import CheckedTable, Row

_AT_A_TIME = 4096


def to_version_2(database: sqlite3.Connection) -> None:
    """Write the words of all texts, give every row a checksum, and count the rows of some tables.

    A vector that cannot be right gets no checksum, so that it is reported and embedded again.
    """
    _write_words(database)
    database.execute(SUMS_SCHEMA)
    for table in (FACTS, *checked_tables(database)):
        database.execute(f"ALTER TABLE {table.name} ADD COLUMN {CHECKSUM}")
    _write_checksums(database, FACTS, lambda _: True)
    is_sound = _soundness(database)
    for table in checked_tables(database):
        _write_checksums(database, table, is_sound if table.is_vectors else lambda _: True)
        for trigger in table.triggers:
            database.execute(trigger)
    count_rows(database, checked_tables(database))
    database.execute(f"INSERT INTO {SUMS} VALUES (?, 1, NULL)", (KEYWORDS,))  # noqa: S608
    for trigger in KEYWORDS_TRIGGERS:
        database.execute(trigger)


MIGRATIONS: Mapping[int, Callable[[sqlite3.Connection], None]] = {1: to_version_2}
"""Functions from one version to the next."""


def _write_words(database: sqlite3.Connection) -> None:
    for trigger in ("chunks_added", "chunks_removed"):
        database.execute(f"DROP TRIGGER {trigger}")
    database.execute("DROP TABLE chunks_fts")
    database.execute("ALTER TABLE chunks ADD COLUMN words")
    last = 0
    while rows := database.execute(
        "SELECT id, text FROM chunks WHERE id > ? ORDER BY id LIMIT ?", (last, _AT_A_TIME)
    ).fetchall():
        found = ((words_of(text), id_) for id_, text in rows)
        database.executemany(
            "UPDATE chunks SET words = ? WHERE id = ?", (row for row in found if row[0] is not None)
        )
        last = rows[-1][0]
    for statement in KEYWORD_SCHEMA:
        database.execute(statement)
    database.execute("INSERT INTO chunks_fts (chunks_fts) VALUES ('rebuild')")


def _write_checksums(
    database: sqlite3.Connection, table: CheckedTable, is_sound: Callable[[Row], bool]
) -> None:
    keys = table.columns[: table.keys]
    condition = " AND ".join(f"{key} = ?" for key in keys)
    update = f"UPDATE {table.name} SET checksum = ? WHERE {condition}"  # noqa: S608
    rows = read_checked(database, table)
    while block := [row[:-1] for row in islice(rows, _AT_A_TIME)]:
        database.executemany(
            update, [(table.checksum(row), *row[: len(keys)]) for row in block if is_sound(row)]
        )


def _soundness(database: sqlite3.Connection) -> Callable[[Row], bool]:
    """Return whether a row of a table of vectors can be one."""
    facts = dict(database.execute("SELECT name, value FROM meta"))
    fingerprint = from_json(str(facts.get("model")), Fingerprint, "model")
    settings = from_json(str(facts.get("settings")), IndexSettings, "settings")
    unit = fingerprint.similarity == Similarity.COSINE.value

    def is_sound(row: Row) -> bool:
        try:
            decode_rows([row[1]], fingerprint.width, settings.encoding, unit=unit)
        except IndexFileError:
            return False
        return True

    return is_sound
