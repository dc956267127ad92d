"""Errors of SQLite as errors of minnow."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from minnow.errors import IndexFileError, InputError, OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUSY_TIMEOUT = 60.0
"""Seconds to wait for another process that writes."""

_FULL = ("database or disk is full", "disk I/O error")
_BUSY = ("database is locked", "database table is locked")
_READ_ONLY = ("readonly", "unable to open")
_BROKEN = ("malformed", "no such", "Could not decode", "invalid fts5", "SQL logic error")


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
        raise _operational(path, error) from error
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:  # of a message with a broken name
        if "not a database" in str(error):
            raise IndexFileError(f"{path} is not an index: it is no SQLite file.") from error
        raise _damaged(path, error) from error


def _damaged(path: Path, reason: Exception) -> IndexFileError:
    return IndexFileError(
        f"{path} is damaged ({reason}). Restore a copy of it, or index again into another file."
    )


def _operational(path: Path, error: sqlite3.OperationalError) -> OutputError | IndexFileError:
    text = str(error)
    if text.startswith(_FULL):
        return OutputError(
            f"Cannot write {path}: {text}. What was indexed until then is in it; free some space "
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
