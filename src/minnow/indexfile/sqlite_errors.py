"""Errors of SQLite as errors of minnow."""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from minnow.errors import IndexFileError, InputError, OutputError
from minnow.signals import Stopped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BUSY_TIMEOUT = 60.0
"""Seconds to wait for another process that writes."""

_STEP = 0.5
_SHOWN = 120
_OPERATIONS = 100_000

_FULL = ("database or disk is full", "disk I/O error")
_BUSY = ("database is locked", "database table is locked")
_READ_ONLY = ("readonly", "unable to open")
_BROKEN = (
    "malformed",
    "no such",
    "Could not decode",
    "invalid fts5",
    "SQL logic error",
    "integer overflow",
)


def connect(uri: str) -> sqlite3.Connection:
    """Connect to a file; a request to stop ends waiting and long statements.

    SQLite waits for others in C, where Python handles no signals, so it waits for half a second
    only, and `execute_patiently` repeats that.
    """
    database = sqlite3.connect(
        uri, uri=True, timeout=_STEP, isolation_level=None, check_same_thread=False
    )
    listen(database)
    return database


def listen(database: sqlite3.Connection) -> None:
    """Let Python handle signals while SQLite runs a long statement."""
    database.set_progress_handler(lambda: 0, _OPERATIONS)


def execute_patiently(database: sqlite3.Connection, statement: str) -> None:
    """Execute a statement that takes a lock, and wait for others that have it.

    Raises:
        sqlite3.OperationalError: Another process has it for longer than a minute.
    """
    patiently(lambda: database.execute(statement).fetchall())


def patiently(execute: Callable[[], object]) -> None:
    """Call a function that takes a lock, and again as long as others have it.

    Raises:
        sqlite3.OperationalError: Another process has it for longer than a minute.
    """
    end = time.monotonic() + BUSY_TIMEOUT
    while True:
        try:
            execute()
        except sqlite3.OperationalError as error:
            if not str(error).startswith(_BUSY) or time.monotonic() > end:
                raise
        else:
            return


@contextmanager
def translated_errors(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into minnow's.

    Raises:
        OutputError: The file cannot be written, or another process writes.
        IndexFileError: The file is damaged, or no SQLite file.
        InputError: The connection is closed.
    """
    try:
        yield
    except sqlite3.ProgrammingError as error:
        if "closed database" in str(error):
            raise InputError(f"{path} is closed. Open it again.") from error
        raise
    except sqlite3.OperationalError as error:
        if str(error) == "interrupted":  # by a request to stop, within a long statement
            raise Stopped from error
        raise _operational(path, error) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # of a message with a broken name
        if "not a database" in str(error):
            raise IndexFileError(f"{path} is not an index: it is no SQLite file.") from error
        raise _damaged(path, error) from error


def _damaged(path: Path, reason: Exception) -> IndexFileError:
    shown = " ".join(str(reason).split())[:_SHOWN]  # SQLite quotes whole texts and statements
    return IndexFileError(
        f"{path} is damaged ({shown}). Restore a copy of it, or index again into another file."
    )


def _operational(path: Path, error: sqlite3.OperationalError) -> OutputError | IndexFileError:
    text = str(error)
    if text.startswith(_FULL):
        return OutputError(
            f"Cannot write {path}: {text}. What was written until then is in it; free some space "
            "and run the same command again."
        )
    if text.startswith(_BUSY):
        return OutputError(
            f"Cannot use {path}: another process has been writing for {BUSY_TIMEOUT:.0f} s. "
            "Try again."
        )
    if any(part in text for part in _READ_ONLY):
        return OutputError(f"Cannot use {path}: {text}. Copy it to where it can be written.")
    if any(part in text for part in _BROKEN):
        return _damaged(path, error)
    return OutputError(f"Cannot use {path}: {text}.")
