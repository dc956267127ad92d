"""Version of the file format, and the tables by owner.

A package that keeps tables in the file describes them in a `TableOwner` and registers it.
`OWNERS` lists the modules that do so; a program with tables of its own registers them itself.
`docs/index-format.md` describes every column, for readers in other languages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

from minnow.indexfile.checksums import CHECKSUM, SUMS, SUMS_SCHEMA, CheckedTable, damaged

if TYPE_CHECKING:
    import sqlite3

APPLICATION_ID = 0x6D6E7731
"""SQLite's `application_id`: "mnw1". https://www.sqlite.org/pragma.html#pragma_application_id"""

VERSION = 2
"""SQLite's `user_version`."""

MIGRATING = 1000
"""What a migration to another model adds to `user_version`, so that no older reader takes the file
for one that it knows."""

META = "meta"
"""The table of facts about the file; every file has it, and no owner does."""

META_SCHEMA = (
    f"CREATE TABLE {META} (name TEXT PRIMARY KEY, value TEXT NOT NULL, {CHECKSUM}) WITHOUT ROWID"
)

FACTS = CheckedTable(META, ("name", "value"))
"""Rows that another program wrote in SQL have no checksum, and are not checked."""


@dataclass(frozen=True)
class TableOwner:
    """The tables of one package, and what has to be known to check, filter and rebuild a file.

    Attributes:
        tables: Names of all its tables, with the shadow tables of virtual ones. A file that has
            the first has them all, but for tables that are temporary.
        schema: SQL statements that create them.
        checked: Those whose rows have checksums.
        readable: Tables and views that a user's condition may read.
        checks: SQL queries that each count faults of one kind, and what to call those.
        write_checks: SQL statements that fail on a fault, and what to call it. SQLite takes them
            for changes, so they run on writable files only.
        compacting: SQL statements that make the tables smaller.
        clearing: SQL statements that delete what a rebuild makes again from its sources.
        of_model: SQL statements that delete facts in `meta` that describe the old model.
        kept: SQL queries that return a row if a rebuild keeps vectors, and a noun for what has
            them. Such a file can only be rebuilt with the model and encoding it has.
    """

    tables: tuple[str, ...]
    schema: tuple[str, ...]
    checked: tuple[CheckedTable, ...] = ()
    readable: frozenset[str] = frozenset()
    checks: tuple[tuple[str, str], ...] = ()
    write_checks: tuple[tuple[str, str], ...] = ()
    compacting: tuple[str, ...] = ()
    clearing: tuple[str, ...] = ()
    of_model: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()


OWNERS = (
    "minnow.indexfile.documents",
    "minnow.indexfile.codes",
    "minnow.indexfile.generations",
    "minnow.memory.schema",
)
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
    known = {META, SUMS}.union(*(owner.tables for owner in _owners()))
    known |= {second_generation(table).name for table in vector_tables(database)}
    rows = database.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite#_%' "
        "ESCAPE '#' ORDER BY name"
    )
    return [name for (name,) in rows if name not in known]


def has_table(database: sqlite3.Connection, name: str) -> bool:
    """Return whether a file has a table."""
    question = "SELECT count(*) FROM sqlite_master WHERE name = ?"
    return bool(database.execute(question, (name,)).fetchone()[0])


def checked_tables(database: sqlite3.Connection) -> list[CheckedTable]:
    """Return the tables of a file whose rows have checksums, without `meta`."""
    tables = [table for owner in owners_in(database) for table in owner.checked]
    seconds = [second_generation(table) for table in tables if table.texts]
    return tables + [table for table in seconds if has_table(database, table.name)]


def vector_tables(database: sqlite3.Connection) -> list[CheckedTable]:
    """Return the tables of a file whose vectors a model makes of texts."""
    return [t for owner in owners_in(database) for t in owner.checked if t.texts]


def second_generation(table: CheckedTable) -> CheckedTable:
    """Return the table that a migration collects the vectors of another model in."""
    return CheckedTable(f"migrated_{table.name}", table.columns, is_vectors=True)


def vectors_schema(table: CheckedTable) -> str:
    """Return the SQL that creates a table of vectors, none of which belongs to a text yet."""
    return (
        f"CREATE TABLE IF NOT EXISTS {table.name} "
        f"(id INTEGER PRIMARY KEY, vector BLOB NOT NULL, {CHECKSUM})"
    )


def check_schema(database: sqlite3.Connection) -> None:
    """Check that tables, views, indexes and triggers are those that their owners create.

    Raises:
        IndexFileError: One is missing or another; queries would have other answers.
    """
    there = {
        name: _plain(str(sql))
        for name, sql in database.execute("SELECT name, sql FROM sqlite_master WHERE sql NOT NULL")
    }
    statements = [META_SCHEMA, SUMS_SCHEMA]
    for owner in owners_in(database):
        statements += owner.schema
    for table in map(second_generation, vector_tables(database)):
        if has_table(database, table.name):
            statements.append(vectors_schema(table))
    for statement in statements:
        found = _CREATED.match(statement)
        assert found is not None
        if there.get(found[1]) != _plain(statement):
            raise damaged(database, f"{found[1]} is missing, or is not as minnow makes it")


_CREATED = re.compile(
    r"CREATE (?:UNIQUE |VIRTUAL )?(?:TABLE|INDEX|VIEW|TRIGGER) (?:IF NOT EXISTS )?(\w+)"
)


def _plain(statement: str) -> str:
    """Return a statement without white space, which `ALTER TABLE` changes."""
    return "".join(statement.replace("IF NOT EXISTS ", "").split())
