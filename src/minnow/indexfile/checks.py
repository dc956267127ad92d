"""Faults of an index file, of a row, and of a text."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from minnow.errors import IndexFileError
from minnow.indexfile.checksums import find_changed_rows, read_checked
from minnow.indexfile.keyword_sums import check_keywords
from minnow.indexfile.schema import FACTS, checked_tables, owners_in

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def reading_rows(what: str) -> Iterator[None]:
    """Report values in some rows that minnow never writes as damage, while they are converted.

    Raises:
        IndexFileError: A value is missing, or of another kind.
    """
    try:
        yield
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise IndexFileError(f"{what} cannot be read ({error}): the file is damaged.") from error


def is_unicode(text: str) -> bool:
    """Return whether a text has no lone surrogate, which a file cannot hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_storable(text: str) -> bool:
    """Return whether SQLite can hold a text: NUL ends it, and a lone surrogate is no UTF-8."""
    return "\0" not in text and is_unicode(text)


def changed_facts(database: sqlite3.Connection) -> list[str]:
    """Return a line for each row of `meta` that has changed; one without a checksum may."""
    facts = [row for row in read_checked(database, FACTS) if row[-1] is not None]
    changed = [row[0] for row in facts if FACTS.checksum(row[:-1]) != row[-1]]
    return [f"the fact {name!r} has changed" for name in changed]


def find_faults(database: sqlite3.Connection, *, writable: bool) -> list[str]:
    """Check pages, foreign keys and the tables of each owner; return a line for each fault.

    Checks that SQLite takes for changes run on a writable file only.
    """
    found = [str(line) for (line,) in database.execute("PRAGMA integrity_check") if line != "ok"]
    for table, row, parent, _ in database.execute("PRAGMA foreign_key_check"):
        found.append(f"row {row} of {table} has no {parent}")
    found += changed_facts(database)
    found += find_changed_rows(database, checked_tables(database))
    try:
        check_keywords(database)
    except IndexFileError:
        found.append("the keyword index has changed")
    for owner in owners_in(database):
        for question, fault in owner.checks:
            try:
                (count,) = database.execute(question).fetchone()
            except sqlite3.OperationalError as error:
                found.append(f"{fault} ({error})")
                continue
            if count:
                found.append(f"{count} {fault}")
        for statement, fault in owner.write_checks if writable else ():
            try:
                database.execute(statement)
            except sqlite3.DatabaseError as error:
                found.append(f"{fault} ({error})")
    return found
