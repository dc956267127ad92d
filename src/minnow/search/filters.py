"""Which chunks a condition in SQL allows."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

from minnow.errors import InputError
from minnow.search.checks import reading_rows
from minnow.search.matrix import ids_of_ranges

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from minnow.search.store import Store

    Ids = NDArray[np.int64]

    Parameters = Sequence[Any] | Mapping[str, Any]

_TABLES = {"sources", "passages", "documents", "files", "chunks", "memories", "json_each"}
_FORBIDDEN = {"load_extension", "fts3_tokenizer", "zeroblob", "randomblob", "printf", "format"}
_ACTIONS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION}
_STEPS = 1000
_MOST_SECONDS = 10.0

_PASSAGE_HINT = (
    "Columns are file, name, source, metadata, heading, text, number, start, headings; "
    "values of the metadata are metadata->>'name'."
)


def allowed_ids(store: Store, where: str, parameters: Parameters = ()) -> Ids:
    """The ids of the chunks that a condition allows, ascending.

    It is an expression over the columns of the view `passages`, such as
    `metadata->>'lang' = 'de' AND source LIKE 'docs/%'`. SQLite's authorizer lets it read these
    tables and call functions that only compute, and a limit of time ends what would not end.
    A condition on documents alone is asked of them, and not of each chunk.

    Args:
        store: The index.
        where: The condition, in SQL.
        parameters: Of its ? or :name.

    Raises:
        InputError: It is not such a condition.
        IndexFileError, OutputError: The file cannot be read.
    """
    by_source = "SELECT first_chunk, chunks FROM sources"
    try:
        rows = ask(store, by_source, where, parameters, _PASSAGE_HINT)
    except InputError as error:
        if "no such column" not in str(error):
            raise
        rows = ask(store, "SELECT id, 1 FROM passages", where, parameters, _PASSAGE_HINT)
    with reading_rows("Which chunks the documents have"):
        return ids_of_ranges(rows)


def ask(store: Store, question: str, where: str, parameters: Parameters, hint: str) -> list[Any]:
    """The rows of a question that fulfil somebody's condition.

    Args:
        store: The index.
        question: In SQL, up to its WHERE.
        where: The condition.
        parameters: Of its ? or :name.
        hint: Which columns there are, for messages.

    Raises:
        InputError: It is not a condition, or does what it may not.
        IndexFileError, OutputError: The file cannot be read.
    """
    if "\0" in where or not where.strip():
        raise InputError("The filter is empty, or holds a NUL character.")
    with store.reading() as database:
        try:
            return _ask(database, question, where, parameters)
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            if "disk image is malformed" in str(error):
                raise
            raise _fault(where, error, hint) from error


def _ask(
    database: sqlite3.Connection, question: str, where: str, parameters: Parameters
) -> list[Any]:
    """Have SQLite read the condition twice: what fits both places is one expression and no more."""
    database.execute("SELECT 1 FROM json_each('[]')")  # to be made here, and not while forbidden
    end = time.monotonic() + _MOST_SECONDS
    database.set_authorizer(_authorize)
    database.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    try:
        database.execute(f"EXPLAIN {question} WHERE CASE WHEN\n{where}\nTHEN 1 END", parameters)
        return database.execute(f"{question} WHERE (\n{where}\n)", parameters).fetchall()
    finally:
        database.set_progress_handler(None, 0)
        database.set_authorizer(_allow)


def _allow(*_: object) -> int:
    """Forbid nothing; Python 3.10 cannot take an authorizer away."""
    return sqlite3.SQLITE_OK


def _authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
    if action not in _ACTIONS:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_READ and first not in _TABLES and first:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FORBIDDEN:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK


def _fault(where: str, error: Exception, hint: str) -> InputError:
    reason = str(error)
    if "interrupted" in reason:
        reason = f"it takes longer than {_MOST_SECONDS:.0f} s"
    if "not authorized" in reason or "prohibited" in reason:
        reason = "it may only compare columns"
    return InputError(f"The filter {where!r} cannot be used: {reason}. {hint}")
