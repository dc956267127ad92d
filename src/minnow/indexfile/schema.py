"""Version of the file format, the tables by owner, and migrations from older versions.

A package that keeps tables in the file describes them in a `TableOwner` and registers it.
`OWNERS` lists the modules that do so; a program with tables of its own registers them itself.
`docs/index-format.md` describes every column, for readers in other languages.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

APPLICATION_ID = 0x6D6E7731
"""SQLite's `application_id`: "mnw1". https://www.sqlite.org/pragma.html#pragma_application_id"""

VERSION = 1
"""SQLite's `user_version`."""

MIGRATIONS: Mapping[int, Callable[[sqlite3.Connection], None]] = {}
"""Functions from one version to the next; each runs within the transaction that migrates a file."""

META = "meta"
"""The table of facts about the file; every file has it, and no owner does."""

META_SCHEMA = f"CREATE TABLE {META} (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"


@dataclass(frozen=True)
class TableOwner:
    """The tables of one package, and what has to be known to check, filter and rebuild a file.

    Attributes:
        tables: Names of all its tables, with the shadow tables of virtual ones. A file that has
            the first has them all, but for tables that are temporary.
        schema: SQL statements that create them.
        readable: Tables and views that a user's condition may read.
        checks: SQL queries that each count faults of one kind, and what to call those.
        write_checks: SQL statements that fail on a fault, and what to call it. SQLite takes them
            for changes, so they run on writable files only.
        compacting: SQL statements that make the tables smaller.
        clearing: SQL statements that delete what a rebuild makes again from its sources, and
            facts in `meta` that describe the old model.
        kept: SQL queries that return a row if a rebuild keeps vectors, and a noun for what has
            them. Such a file can only be rebuilt with the model and encoding it has.
    """

    tables: tuple[str, ...]
    schema: tuple[str, ...]
    readable: frozenset[str] = frozenset()
    checks: tuple[tuple[str, str], ...] = ()
    write_checks: tuple[tuple[str, str], ...] = ()
    compacting: tuple[str, ...] = ()
    clearing: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()


OWNERS = ("minnow.indexfile.documents", "minnow.memory.schema")
"""Modules that register tables. They stand in higher layers, so they are imported by name when a
file's tables are first asked for: import-linter does not see it, and need not, because nothing here
uses a name of theirs. Otherwise a check, filter or rebuild would depend on what a process imported.
They import nothing but this module, and the `__init__.py` of their packages imports lazily."""

_OWNERS: list[TableOwner] = []


def register(owner: TableOwner) -> TableOwner:
    """Add an owner's tables to those that are checked, filtered and rebuilt."""
    _OWNERS.append(owner)
    return owner


def _owners() -> list[TableOwner]:
    """Return all owners, in an order that does not depend on which was imported first."""
    for module in OWNERS:
        import_module(module)
    return sorted(_OWNERS, key=lambda owner: owner.tables[0])


def owners_in(database: sqlite3.Connection) -> list[TableOwner]:
    """Return the registered owners whose tables a file has."""
    return [owner for owner in _owners() if has_table(database, owner.tables[0])]


def readable_tables() -> frozenset[str]:
    """Return the tables and views that a user's condition may read."""
    return frozenset().union(*(owner.readable for owner in _owners()))


def unknown_tables(database: sqlite3.Connection) -> list[str]:
    """Return the tables that no registered owner has, as of another program."""
    known = {META}.union(*(owner.tables for owner in _owners()))
    rows = database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite#_%' "
        "ESCAPE '#' ORDER BY name"
    )
    return [name for (name,) in rows if name not in known]


def has_table(database: sqlite3.Connection, name: str) -> bool:
    """Return whether a file has a table."""
    question = "SELECT count(*) FROM sqlite_master WHERE name = ?"
    return bool(database.execute(question, (name,)).fetchone()[0])
