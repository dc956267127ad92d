"""An index file: opened, checked, migrated; read and written in transactions.

A `Store` knows nothing of documents and chunks but the tables' names. Whatever else is to live in
the same file (memories, say) adds tables in `schema.py`, and uses the same connection.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.errors import IndexFileError, InputError, OutputError
from minnow.files import check_file
from minnow.search import schema
from minnow.search.checks import find_faults, reading_rows
from minnow.search.facts import from_json, to_json
from minnow.search.fingerprint import Fingerprint
from minnow.search.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

_PATIENCE = 60.0
_FULL = ("database or disk is full", "disk I/O error")
_BUSY = ("database is locked", "database table is locked")
_READ_ONLY = ("readonly", "unable to open")
_BROKEN = ("malformed", "no such", "Could not decode", "invalid fts5", "SQL logic error")
_NOT_OURS = "Name another file, or delete this one if it is not needed."


class Store:
    """A connection to an index file. Safe to use from several threads, one at a time each.

    Attributes:
        path: The file.
        database: The connection; transactions are begun by `reading` and `writing` alone.
        writable: Whether it may be changed.
    """

    def __init__(self, path: Path, database: sqlite3.Connection, *, writable: bool) -> None:
        """Take over a connection; `open_store` and `make_store` make one."""
        self.path, self.database, self.writable = path, database, writable
        self._lock = threading.RLock()
        self._depth = 0
        self._made: list[tuple[str]] | None = None

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A transaction that sees one state of the file, whatever others write meanwhile.

        Raises:
            IndexFileError, OutputError: The file is damaged, or cannot be read.
        """
        with self._lock, faults(self.path), self._transaction("BEGIN"):
            yield self.database

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that is there whole or not at all; it waits its turn for a minute.

        Raises:
            OutputError: The file cannot be written, the disk is full, or another process writes.
            IndexFileError: The file is damaged.
        """
        if not self.writable:
            raise OutputError(f"{self.path} was opened for reading only; open it as writable.")
        with self._lock, faults(self.path), self._transaction("BEGIN IMMEDIATE"):
            yield self.database
            if self._depth == 1:
                self.database.execute(
                    "UPDATE meta SET value = CAST(value AS INTEGER) + 1 WHERE name = 'changes'"
                )

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[None]:
        if self._depth:
            if begin != "BEGIN" and not self.database.in_transaction:
                raise AssertionError("a transaction was lost")
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
            return
        self.database.execute(begin)
        self._depth = 1
        try:
            self._check_made()
            yield
            self.database.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self.database.execute("ROLLBACK")
            raise
        finally:
            self._depth = 0

    def _check_made(self) -> None:
        """Make sure that nobody has rebuilt it, for what is open goes by the model it had."""
        made = self.database.execute(
            "SELECT value FROM meta WHERE name IN ('model', 'settings') ORDER BY name"
        ).fetchall()
        if self._made not in (None, made):
            raise IndexFileError(
                f"{self.path} was rebuilt meanwhile, with another model or other settings. "
                "Open it again."
            )
        self._made = made

    def fact(self, name: str) -> str | None:
        """What the table `meta` says under a name."""
        with self.reading() as database:
            row = database.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def put_fact(self, name: str, value: str) -> None:
        """Have the table `meta` say something."""
        with self.writing() as database:
            database.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))
            if name in ("model", "settings"):
                self._made = None

    def required_fact(self, name: str) -> str:
        """A fact that every index has.

        Raises:
            IndexFileError: This one has not.
        """
        value = self.fact(name)
        if value is None:
            raise IndexFileError(f"{self.path} does not say its {name}: the file is damaged.")
        return value

    @property
    def id(self) -> str:
        """The file's own name for itself: 32 hexadecimal digits, made when it was made."""
        return self.required_fact("id")

    @property
    def changes(self) -> int:
        """How many transactions have written to it; another number means other content."""
        with reading_rows(f"What {self.path} says of its changes"):
            return int(self.required_fact("changes"))

    @property
    def fingerprint(self) -> Fingerprint:
        """Which model its vectors are of."""
        return from_json(self.required_fact("model"), Fingerprint)

    @property
    def settings(self) -> Settings:
        """How its texts are cut and its vectors stored."""
        return from_json(self.required_fact("settings"), Settings)

    def check(self) -> list[str]:
        """Look at everything, and name what is wrong; this reads the whole file."""
        with self.reading() as database:
            return find_faults(database, writable=self.writable)

    def compact(self) -> None:
        """Merge the keyword index, give free pages back, and leave one file without a log."""
        with self.writing() as database:
            database.execute("INSERT INTO chunks_fts (chunks_fts) VALUES ('optimize')")
        with self._lock, faults(self.path):
            self.database.executescript("PRAGMA incremental_vacuum")  # `execute` does one step
        self.checkpoint()

    def checkpoint(self) -> None:
        """Bring what is in the log (FILE-wal) into the file, as far as readers allow.

        With the patience of the connection, a reader that stays would be waited for a minute.
        """
        with self._lock, faults(self.path), suppress(sqlite3.OperationalError):
            self.database.execute("PRAGMA busy_timeout = 200")
            try:
                self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                self.database.execute(f"PRAGMA busy_timeout = {_PATIENCE * 1000:.0f}")

    def close(self) -> None:
        """Close the connection; the last one to close leaves no log."""
        with self._lock:
            self.database.close()


def make_store(path: Path, fingerprint: Fingerprint, settings: Settings) -> Store:
    """Make an index file where there is none, or an empty one; else open it for writing.

    Raises:
        OutputError: There is something else, or it cannot be written.
        IndexFileError: As `open_store`.
    """
    check_file(path)
    with faults(path):
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

    Of a file in a place that cannot be written, where SQLite's log cannot be made either, the log
    is taken to be empty, and nobody to be writing.

    Args:
        path: The file.
        writable: Whether it is to be changed. A file of an older form is migrated first; where it
            is not to be changed it is, if it can be.

    Raises:
        InputError: There is no such file, or it is a folder.
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
    with faults(path):
        database = _connect_somehow(path)
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


def is_writable(path: Path) -> bool:
    """Whether a file that is there can be written, and SQLite's log beside it."""
    folder = Path(os.path.realpath(path)).parent
    return os.access(path, os.W_OK) and os.access(folder, os.W_OK)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    uri = Path(os.path.realpath(path)).as_uri()
    extra = "&immutable=1" if mode == "immutable" else ""
    access = "ro" if mode == "immutable" else mode
    database = sqlite3.connect(
        f"{uri}?mode={access}{extra}",
        uri=True,
        timeout=_PATIENCE,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error:
        database.close()
        raise
    return database


def _connect_somehow(path: Path) -> sqlite3.Connection:
    """For writing if that is possible, for then the last to close leaves no log."""
    try:
        if is_writable(path):
            return _connect(path, "rw")
        return _connect(path, "ro")
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


def _create(database: sqlite3.Connection, fingerprint: Fingerprint, settings: Settings) -> None:
    database.execute(f"PRAGMA page_size = {settings.page_size(fingerprint.width)}")
    database.execute("PRAGMA auto_vacuum = INCREMENTAL")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("BEGIN IMMEDIATE")
    try:
        if _is_empty(database):  # nobody else has made it meanwhile
            for statement in schema.SCHEMA:
                database.execute(statement)
            facts = {
                "id": os.urandom(16).hex(),
                "changes": "0",
                "model": to_json(fingerprint),
                "settings": to_json(settings),
            }
            database.executemany("INSERT INTO meta VALUES (?, ?)", facts.items())
            database.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
            database.execute(f"PRAGMA user_version = {schema.VERSION}")
        database.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            database.execute("ROLLBACK")
        raise


def _prepare(database: sqlite3.Connection, path: Path, *, writable: bool) -> None:
    """Make sure that it is an index of ours, bring it up to date, and set the connection up."""
    if _pragma(database, "application_id") != schema.APPLICATION_ID:
        raise IndexFileError(f"{path} is a SQLite file, but not an index of minnow. {_NOT_OURS}")
    version = _pragma(database, "user_version")
    if version > schema.VERSION:
        raise IndexFileError(
            f"{path} has version {version}; this minnow reads up to {schema.VERSION}. "
            "Update minnow."
        )
    if writable:
        database.execute("PRAGMA journal_mode = WAL").fetchone()
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("PRAGMA foreign_keys = ON")
    if version < schema.VERSION:
        _migrate(database, path)


def _migrate(database: sqlite3.Connection, path: Path) -> None:
    """Bring a file of an older form to this one, in one transaction."""
    database.execute("BEGIN IMMEDIATE")
    try:
        for version in range(_pragma(database, "user_version"), schema.VERSION):
            step = schema.MIGRATIONS.get(version)
            if step is None:
                raise IndexFileError(
                    f"{path} has version {version}, which this minnow cannot bring to "
                    f"{schema.VERSION}. Index again into another file."
                )
            step(database)
            database.execute(f"PRAGMA user_version = {version + 1}")
        database.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            database.execute("ROLLBACK")
        raise


@contextmanager
def faults(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours.

    Raises:
        OutputError: The file cannot be written, or somebody else writes.
        IndexFileError: It is damaged, or no SQLite file.
        InputError: It is closed.
    """
    try:
        yield
    except sqlite3.ProgrammingError as error:
        if "closed database" in str(error):
            raise InputError(f"{path} is closed. Open it again.") from error
        raise
    except sqlite3.OperationalError as error:
        raise _told(path, error) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # of a message with a broken name
        if "not a database" in str(error):
            raise IndexFileError(f"{path} is not an index: it is no SQLite file.") from error
        raise _damaged(path, error) from error


def _damaged(path: Path, reason: Exception) -> IndexFileError:
    return IndexFileError(
        f"{path} is damaged ({reason}). Take a copy of it from before, or index again into "
        "another file."
    )


def _told(path: Path, error: sqlite3.OperationalError) -> OutputError | IndexFileError:
    text = str(error)
    if text.startswith(_FULL):
        return OutputError(
            f"Cannot write {path}: {text}. What was indexed before is there; make room and run "
            "the same command again."
        )
    if text.startswith(_BUSY):
        return OutputError(
            f"Cannot use {path}: another process has been writing for {_PATIENCE:.0f} s. Try again."
        )
    if any(part in text for part in _READ_ONLY):
        return OutputError(f"Cannot use {path}: {text}. Copy it to where it can be written.")
    if any(part in text for part in _BROKEN):
        return _damaged(path, error)
    return OutputError(f"Cannot use {path}: {text}.")
