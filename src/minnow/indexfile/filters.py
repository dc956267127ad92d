"""A user's condition in SQL, which may read some tables and change nothing."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from minnow.errors import InputError
from minnow.indexfile.schema import readable_tables
from minnow.indexfile.sqlite_errors import listen

if TYPE_CHECKING:
    from minnow.indexfile.store import Store

Parameters = Sequence[Any] | Mapping[str, Any]

_FUNCTION_TABLES = {"json_each"}
# The last four could use memory without limit.
_FORBIDDEN = {"load_extension", "fts3_tokenizer", "zeroblob", "randomblob", "printf", "format"}
_ACTIONS = {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION}
_STEPS = 1000
_BEHIND = "\nTHEN 1 END"
"""What follows the condition where it is parsed first."""
_QUOTED = re.compile(
    r"""'(?:[^']|'')*' | `(?:[^`]|``)*` | \[[^\]]*\] | --[^\n]* | /\*.*?(?:\*/|\Z)
    | "(?P<name>(?:[^"]|"")*)" """,
    re.DOTALL | re.VERBOSE,
)
"""Texts, comments and quoted names in SQL; the group `name` is one in double quotation marks."""
_TIMEOUT = 10.0


def select_where(
    store: Store, query: str, where: str, parameters: Parameters, hint: str
) -> list[Any]:
    """Return the rows of a query that fulfil a user's condition.

    It may read only the tables that their owners list as readable, and call only functions
    without side effects; after 10 s it is stopped. Words in double quotation marks are names of
    columns and nothing else: SQLite takes those that name no column for texts, without an error.

    Args:
        store: The index.
        query: The query, up to its WHERE.
        where: The condition, with ? or :name for `parameters`.
        parameters: Their values.
        hint: A sentence that lists the columns, for messages.

    Raises:
        InputError: It is not a condition, or does something that is not allowed.
        IndexFileError, OutputError: The file cannot be read.
    """
    if "\0" in where or not where.strip():
        raise InputError("The filter is empty, or holds a NUL character.")
    with store.reading() as database:
        try:
            return _select(database, query, _QUOTED.sub(_name_only, where), parameters)
        except (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError) as error:
            if "disk image is malformed" in str(error):
                raise
            raise _rejected(where, error, hint) from error


def _name_only(found: re.Match[str]) -> str:
    """Put a name from double quotation marks into backticks, which never hold a text in SQLite."""
    if found["name"] is None:
        return found[0]
    name = found["name"].replace('""', '"').replace("`", "``")
    return f"`{name}`"


def _select(
    database: sqlite3.Connection, query: str, where: str, parameters: Parameters
) -> list[Any]:
    """Parse the condition twice: text that closes either CASE or parenthesis early fails."""
    database.execute("SELECT 1 FROM json_each('[]')")  # made now: the authorizer would forbid it
    end = time.monotonic() + _TIMEOUT
    tables = readable_tables() | _FUNCTION_TABLES

    def authorize(action: int, first: str | None, second: str | None, *_: object) -> int:
        unreadable = action == sqlite3.SQLITE_READ and first and first not in tables
        forbidden = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FORBIDDEN
        if action not in _ACTIONS or unreadable or forbidden:
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    database.set_authorizer(authorize)
    database.set_progress_handler(lambda: time.monotonic() > end, _STEPS)
    try:
        database.execute(f"EXPLAIN {query} WHERE CASE WHEN\n{where}{_BEHIND}", parameters)
        return database.execute(f"{query} WHERE (\n{where}\n)", parameters).fetchall()
    finally:
        listen(database)
        database.set_authorizer(_allow)


def _allow(*_: object) -> int:
    """Allow everything; set_authorizer(None) needs Python 3.11."""
    return sqlite3.SQLITE_OK


def _rejected(where: str, error: Exception, hint: str) -> InputError:
    reason = str(error)
    if "interrupted" in reason:
        reason = f"it takes longer than {_TIMEOUT:.0f} s"
    if "not authorized" in reason or "prohibited" in reason:
        reason = "it may only compare columns"
    if "no such column" in reason and '"' in where:
        reason += "; texts stand in 'single quotation marks'"
    if reason.endswith(f'{_BEHIND}"'):
        reason = "a quotation mark has no partner"
    if reason == 'near "THEN": syntax error':
        reason = "it ends too early"
    return InputError(f"The filter {where!r} cannot be used: {reason}. {hint}")
