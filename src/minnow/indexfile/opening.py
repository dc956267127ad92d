"""Opening of index files: they are made, checked and migrated."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.errors import IndexFileError, InputError
from minnow.files import check_file
from minnow.indexfile import schema
from minnow.indexfile.checksums import SUMS_SCHEMA, count_rows
from minnow.indexfile.documents import DOCUMENTS
from minnow.indexfile.encodings import page_size
from minnow.indexfile.keyword_sums import seal_keywords
from minnow.indexfile.migrations import MIGRATIONS
from minnow.indexfile.settings import to_json
from minnow.indexfile.sqlite_errors import connect, execute_patiently, translated_errors
from minnow.indexfile.store import Store, write_fact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minnow.indexfile.fingerprint import Fingerprint
    from minnow.indexfile.settings import IndexSettings


def make_store(path: Path, fingerprint: Fingerprint, settings: IndexSettings) -> Store:
    """Make an index file where there is none, or an empty one; else open it for writing.

    Raises:
        OutputError: The path is a directory, or cannot be written.
        IndexFileError: As `open_store`.
    """
    check_file(path)
    _check_kinds(path)
    with translated_errors(path):
        database = _connect(path, "rwc")
        try:
            if _is_empty(database):
                _create(database, fingerprint, settings)
            _prepare(database, path, writable=True)
        except BaseException:
            database.close()
            raise
    return Store(path, database, writable=True)


def open_store(path: Path, *, writable: bool = False) -> Store:
    """Open an index file.

    Where neither the file nor SQLite's log can be written, it is assumed that the log is empty and
    that nobody writes.

    Args:
        path: The file.
        writable: Whether to open it for changes. A file of an older version is migrated first,
            also where this is False, if the file can be written.

    Raises:
        InputError: There is no such file, or it is a directory.
        IndexFileError: It is not an index, is damaged, or from a newer minnow.
        OutputError: It cannot be opened, or not for writing.
    """
    try:
        if path.is_dir():
            raise InputError(f"{path} is a folder, not an index. `minnow index` writes one file.")
        if not path.exists():
            raise InputError(
                f"There is no file {path}. `minnow index` or `minnow memory add` makes one."
            )
    except OSError as error:
        raise InputError(f"Cannot open {path}: {error.strerror}.") from error
    _check_kinds(path)
    with translated_errors(path):
        database = _connect_to_write(path) if writable else _connect_with_fallback(path)
        try:
            if _is_empty(database):
                raise IndexFileError(
                    f"{path} is empty: indexing was stopped before it began. Run it again."
                )
            _prepare(database, path, writable=writable)
        except BaseException:
            database.close()
            raise
    return Store(path, database, writable=writable)


def _check_kinds(path: Path) -> None:
    """Check that an index and SQLite's files beside it are files; reading a pipe could hang.

    Raises:
        InputError: One of them is a pipe, a socket, a device or a folder.
    """
    target = Path(os.path.realpath(path))
    for suffix in ("", "-wal", "-shm", "-journal"):
        place = target.with_name(target.name + suffix)
        with suppress(OSError):
            if place.exists() and not place.is_file():
                shown = path.with_name(path.name + suffix)
                raise InputError(
                    f"{shown} is not a file, but a folder, pipe, socket or device. Remove it, or "
                    "name another file."
                )


def is_writable(path: Path) -> bool:
    """Return whether an existing file can be written, and SQLite's log beside it."""
    parent = Path(os.path.realpath(path)).parent
    return os.access(path, os.W_OK) and os.access(parent, os.W_OK)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = Path(os.path.realpath(path)).as_uri()
    options = "mode=ro&immutable=1" if mode == "immutable" else f"mode={mode}"
    database = connect(f"{uri}?{options}")
    try:
        execute_patiently(database, "SELECT count(*) FROM sqlite_master")
    except sqlite3.Error:
        database.close()
        raise
    return database


def _connect_to_write(path: Path) -> sqlite3.Connection:
    """Connect for writing; where the file cannot be written, the first statement that does says so.

    A full disk is named as such, since there is no other way of opening the file.
    """
    return _connect(path, "rw" if is_writable(path) else "ro")


def _connect_with_fallback(path: Path) -> sqlite3.Connection:
    """Connect for writing if possible, because the last writer to close leaves no log."""
    try:
        return _connect_to_write(path)
    except sqlite3.OperationalError:
        log = path.with_name(f"{path.name}-wal")
        if log.exists() and log.stat().st_size:
            raise
    return _connect(path, "immutable")


def _is_empty(database: sqlite3.Connection) -> bool:
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return not tables and not _pragma(database, "application_id")


def _pragma(database: sqlite3.Connection, name: str) -> int:
    return int(database.execute(f"PRAGMA {name}").fetchone()[0])


def _create(
    database: sqlite3.Connection, fingerprint: Fingerprint, settings: IndexSettings
) -> None:
    database.execute(
        f"PRAGMA page_size = {page_size(settings.encoding.row_bytes(fingerprint.width))}"
    )
    database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    execute_patiently(database, "PRAGMA journal_mode = WAL")
    with _transaction(database, "BEGIN IMMEDIATE"):
        if not _is_empty(database):
            return  # another process has made it meanwhile
        for statement in (schema.META_SCHEMA, SUMS_SCHEMA, *DOCUMENTS.schema):
            database.execute(statement)
        count_rows(database, DOCUMENTS.checked)
        seal_keywords(database)
        facts = {
            "id": os.urandom(16).hex(),
            "changes": "0",
            "model": to_json(fingerprint),
            "settings": to_json(settings),
        }
        for fact in facts.items():
            write_fact(database, *fact)
        database.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {schema.VERSION}")


def _prepare(database: sqlite3.Connection, path: Path, *, writable: bool) -> None:
    """Check that it is an index, migrate it, and set the connection up."""
    if _pragma(database, "application_id") != schema.APPLICATION_ID:
        raise IndexFileError(
            f"{path} is a SQLite file, but not an index of minnow. Name another file, or delete "
            "this one if it is not needed."
        )
    version = _pragma(database, "user_version")
    is_migrating = version > schema.MIGRATING
    if version - is_migrating * schema.MIGRATING > schema.VERSION:
        raise IndexFileError(
            f"{path} has version {version}; this minnow reads up to {schema.VERSION}. "
            "Update minnow."
        )
    if writable:
        execute_patiently(database, "PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA foreign_keys = ON")
    if version - is_migrating * schema.MIGRATING < schema.VERSION:
        _migrate(database, path)
    with _transaction(database, "BEGIN"):  # one state, whatever other processes write meanwhile
        schema.check_schema(database)


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    with _transaction(database, "BEGIN IMMEDIATE"):
        found = _pragma(database, "user_version")
        offset = schema.MIGRATING if found > schema.MIGRATING else 0
        for version in range(found - offset, schema.VERSION):
            step = MIGRATIONS.get(version)
            if step is None:
                raise IndexFileError(
                    f"{path} has version {version}, which this minnow cannot migrate to "
                    f"{schema.VERSION}. Index again into another file."
                )
            step(database)
            database.execute(f"PRAGMA user_version = {offset + version + 1}")


@contextmanager
def _transaction(database: sqlite3.Connection, begin: str) -> Iterator[None]:
    execute_patiently(database, begin)
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            database.execute("ROLLBACK")
        raise
