"""An open index file: transactions, facts, checks. `opening.py` opens it."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

from minnow.errors import IndexFileError, InputError, MinnowError, OutputError
from minnow.indexfile.checks import find_faults, reading_rows
from minnow.indexfile.checksums import check_rows
from minnow.indexfile.fingerprint import Fingerprint
from minnow.indexfile.generations import check_model, find_migration, fits
from minnow.indexfile.keyword_sums import seal_keywords, should_seal
from minnow.indexfile.schema import FACTS, owners_in
from minnow.indexfile.settings import IndexSettings, from_json
from minnow.indexfile.sqlite_errors import execute_patiently, patiently, translated_errors
from minnow.indexfile.truncated import adapted

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from minnow.indexfile.generations import Migration
    from minnow.indexfile.models import SearchModel

Self = TypeVar("Self", bound="OpenIndexFile")

_CHECKPOINT_TIMEOUT_MS = 200
_BUSY_TIMEOUT_MS = 500


class Store:
    """A connection to an index file. Safe to use from several threads, which take turns.

    Attributes:
        path: The file.
        database: The connection; only `reading` and `writing` begin transactions.
        writable: Whether it may be changed.
    """

    def __init__(self, path: Path, database: sqlite3.Connection, *, writable: bool) -> None:
        """Take over a connection; `open_store` and `make_store` make one."""
        self.path, self.database, self.writable = path, database, writable
        self._lock = threading.RLock()
        self._depth = 0
        self._opened_for: list[tuple[str]] | None = None
        self._place = path.absolute()
        self._identity = self._identify()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Begin a transaction that sees one state of the file, regardless of what others write.

        Raises:
            IndexFileError, OutputError: The file is damaged, or cannot be read.
        """
        with self._lock, translated_errors(self.path), self._transaction("BEGIN"):
            yield self.database

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Begin a transaction that is written completely or not at all.

        It waits up to a minute for other writers.

        Raises:
            OutputError: The file cannot be written, the disk is full, or another process writes.
            IndexFileError: The file is damaged.
        """
        if not self.writable:
            raise OutputError(f"{self.path} was opened for reading only; open it as writable.")
        with self._lock, translated_errors(self.path), self._transaction("BEGIN IMMEDIATE"):
            yield self.database
            if self._depth == 1:
                write_fact(self.database, "changes", str(self.changes + 1))

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
        execute_patiently(self.database, begin)
        self._depth = 1
        try:
            self._check_not_replaced()
            self._check_not_rebuilt()
            yield
            self.database.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self.database.execute("ROLLBACK")
            raise
        finally:
            self._depth = 0

    def _identify(self) -> tuple[int, int] | None:
        try:
            found = self._place.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _check_not_replaced(self) -> None:
        """Check that the path still leads to the open file; what is written would be lost.

        Raises:
            IndexFileError: Another file is there, or none.
        """
        if self._identify() != self._identity:
            raise IndexFileError(
                f"{self.path} was replaced or removed while it was open. Open it again."
            )

    def _check_not_rebuilt(self) -> None:
        """Check that the file still has the model and settings that it was opened with."""
        current = self.database.execute(
            "SELECT value FROM meta WHERE name IN ('id', 'model', 'settings') ORDER BY name"
        ).fetchall()
        if self._opened_for not in (None, current):
            raise IndexFileError(
                f"{self.path} was rebuilt meanwhile, with another model or other settings. "
                "Open it again."
            )
        self._opened_for = current

    def fact(self, name: str) -> str | None:
        """Return a value of the table `meta`, or None."""
        with self.reading() as database:
            row = database.execute(
                "SELECT value, checksum FROM meta WHERE name = ?", (name,)
            ).fetchone()
            if row is not None and row[1] is not None:
                check_rows(database, FACTS, [(name, *row)])
        return None if row is None else str(row[0])

    def put_fact(self, name: str, value: str) -> None:
        """Set a value of the table `meta`."""
        with self.writing() as database:
            write_fact(database, name, value)
            if name in ("id", "model", "settings"):
                self._opened_for = None

    def _required_fact(self, name: str) -> str:
        value = self.fact(name)
        if value is None:
            raise IndexFileError(f"{self.path} has no {name}: the file is damaged.")
        return value

    @property
    def id(self) -> str:
        """The id of the file: 32 hexadecimal digits, chosen when it was made."""
        return self._required_fact("id")

    @property
    def changes(self) -> int:
        """The number of transactions that have written to it; another number, other content."""
        with reading_rows(f"The number of changes of {self.path}"):
            return int(self._required_fact("changes"))

    @property
    def fingerprint(self) -> Fingerprint:
        """The model that made its vectors."""
        fingerprint = from_json(self._required_fact("model"), Fingerprint, "model")
        with reading_rows(f"The model of {self.path}"):
            fingerprint.check()
        return fingerprint

    @property
    def settings(self) -> IndexSettings:
        """How its texts are cut and its vectors stored."""
        settings = from_json(self._required_fact("settings"), IndexSettings, "settings")
        with reading_rows(f"The settings of {self.path}"):
            settings.check()
        return settings

    def check(self) -> list[str]:
        """Read the whole file, and return a line for each fault."""
        with self.reading() as database:
            return find_faults(database, writable=self.writable)

    def compact(self) -> None:
        """Make the tables smaller, give free pages back, and leave one file without a log."""
        with self.writing() as database:
            for owner in owners_in(database):
                for statement in owner.compacting:
                    database.execute(statement)
        with self.writing() as database:  # FTS5 writes its blocks at the end of a transaction
            seal_keywords(database)
        with self._lock, translated_errors(self.path):
            vacuum = "PRAGMA incremental_vacuum"  # of which `execute` does one step
            patiently(lambda: self.database.executescript(vacuum))
        self.checkpoint()

    def checkpoint(self) -> None:
        """Move the log (FILE-wal) into the file, as far as readers allow.

        The timeout is short, because a reader may stay for long.
        """
        with self._lock, translated_errors(self.path), suppress(sqlite3.OperationalError):
            self.database.execute(f"PRAGMA busy_timeout = {_CHECKPOINT_TIMEOUT_MS}")
            try:
                self.database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            finally:
                self.database.execute(f"PRAGMA busy_timeout = {_BUSY_TIMEOUT_MS}")

    def close(self) -> None:
        """Close the connection; the last one to close leaves no log."""
        with self._lock, suppress(MinnowError, sqlite3.Error):
            if self.writable:
                self._seal_keywords()
        with self._lock:
            self.database.close()

    def _seal_keywords(self) -> None:
        with self.reading() as database:
            due = should_seal(database)
        if due:
            with self.writing() as database:
                if should_seal(database):
                    seal_keywords(database)


def write_fact(database: sqlite3.Connection, name: str, value: str) -> None:
    """Set a value of the table `meta`, within a transaction that writes."""
    database.execute(
        "INSERT INTO meta (name, value, checksum) VALUES (?, ?, ?) ON CONFLICT (name) "
        "DO UPDATE SET value = excluded.value, checksum = excluded.checksum",
        (name, value, FACTS.checksum((name, value))),
    )


class OpenIndexFile:
    """Base of every class that users open on an index file.

    Attributes:
        store: The file.
        fingerprint: The model that made its vectors, or that it is being migrated to.
        settings: How its texts are cut and its vectors stored.
        migration: The migration to the given model, if the file is under one.
    """

    takes_new_model = False

    def __init__(self, store: Store, model: SearchModel | None) -> None:
        """Check that a model, if there is one, fits the file.

        Raises:
            IndexFileError: The file is of another model.
        """
        self._stack = ExitStack()
        if model is not None:
            model = adapted(model, store.fingerprint)
        self.store, self._model = store, model
        self.fingerprint, self.settings = store.fingerprint, store.settings
        self.migration: Migration | None = None
        if model is not None and self.takes_new_model:
            found = find_migration(store)
            if found is not None and fits(found.model, model.fingerprint):
                self.migration, self.fingerprint = found, found.model
        if model is not None and self.migration is None:
            check_model(store, model.fingerprint)

    def check(self) -> list[str]:
        """Read the whole file, and return a line for each fault."""
        return self.store.check()

    def close(self) -> None:
        """Close the file, and the model if it was opened with the file."""
        self.store.close()
        self._stack.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _require_model(self, purpose: str, alternative: str = "") -> SearchModel:
        if self._model is None:
            raise InputError(
                f"{purpose} {self.store.path}, give the bundle it was made with "
                f"({self.fingerprint.shown}){alternative}."
            )
        return self._model
