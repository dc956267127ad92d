"""The scope of a search: documents chosen by the paths of files and by dates."""

from __future__ import annotations

import re
import warnings
from datetime import date, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from minnow.errors import InputError
from minnow.indexfile.conditions import Condition, is_one_of, join_where

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from minnow.indexfile.filters import Parameters
    from minnow.search.options import Search

Moment = str | date
"""A `date`, a `datetime` (UTC where it has no zone), or their ISO 8601 form; also "2024-05" and
"2024"."""

MODIFIED = "modified"
"""The key in the metadata of a file's document for the time of its last change."""

_DATE = (
    f"coalesce(json_extract(metadata, '$.date'), json_extract(metadata, '$.{MODIFIED}'))"
)  # fmt: skip
_IS_DATE = (
    f"{_DATE} GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]*' AND julianday({_DATE}) IS NOT NULL"
)
"""SQLite would read "2024" as a day of the Julian calendar, and cannot read an offset "+0200"."""

_LAST = datetime.max.replace(tzinfo=timezone.utc)

_MONTH = re.compile(r"(\d{4})(?:-(\d\d))?")
_GLOB = re.compile(r"\*\*/|\*\*|\*|\?|[^*?]+")
_MEANINGS = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}


def scope_of(database: sqlite3.Connection, asked: Search) -> tuple[str | None, Parameters]:
    """Return the condition of a search's `where`, `paths`, `since` and `until`, and its values.

    It warns where no file matches `paths`, and where documents have no date to compare.

    Raises:
        InputError: A pattern is empty, or a date cannot be read.
    """
    conditions = []
    if asked.paths:
        conditions.append(_in_paths(database, asked.paths))
    if asked.since is not None or asked.until is not None:
        conditions.append(_within(asked.since, asked.until))
        _warn_of_undated(database)
    return join_where(conditions, asked.where, asked.params)


def _in_paths(database: sqlite3.Connection, patterns: Sequence[str]) -> Condition:
    wanted = [_compile(pattern) for pattern in patterns]
    names = [str(name) for (name,) in database.execute("SELECT path FROM files ORDER BY path")]
    found = [name for name in names if any(pattern.fullmatch(name) for pattern in wanted)]
    if not found and names:
        warnings.warn(
            f"No file of the index matches {', '.join(map(repr, patterns))}. Its files have names "
            f"such as {names[0]!r}.",
            stacklevel=2,
        )
    return is_one_of("file", found)


def _compile(pattern: str) -> re.Pattern[str]:
    """Return what a pattern matches: names of files, and all below a folder.

    `*` and `?` stand for characters within a name, `**` for any. A pattern without a slash may
    stand for a name anywhere on the path.

    Raises:
        InputError: It is empty.
    """
    plain = pattern.removeprefix("./").rstrip("/") if isinstance(pattern, str) else ""
    if not plain:
        raise InputError(f"A pattern of paths is {pattern!r:.60}; give one such as 'docs/*.md'.")
    parts = "".join(_MEANINGS.get(part) or re.escape(part) for part in _GLOB.findall(plain))
    anywhere = "" if "/" in plain else "(?:.*/)?"
    return re.compile(f"{anywhere}{parts}(?:/.*)?", re.DOTALL)


def _within(since: Moment | None, until: Moment | None) -> Condition:
    """Match documents that have a date in a period, both ends included."""
    first = None if since is None else _period(since, "since")[0]
    end = None if until is None else _period(until, "until")[1]
    if first is not None and end is not None and end <= first:
        raise InputError(f"`since=` {since} is after `until=` {until}.")
    tests, values = [_IS_DATE], []
    for sign, moment in ((">=", first), ("<", end)):
        if moment is not None:
            tests.append(f"julianday({_DATE}) {sign} julianday(?)")
            values.append(moment.isoformat(sep=" ", timespec="milliseconds"))
    return Condition(" AND ".join(tests), tuple(values))


def _period(moment: Moment, name: str) -> tuple[datetime, datetime]:
    """Return where a year, month, day or instant begins, and where the next one does.

    After the year 9999 there is none; then it is the last instant.

    Raises:
        InputError: It is none of them.
    """
    try:
        if isinstance(moment, str) and (found := _MONTH.fullmatch(moment)):
            year, month = int(found[1]), int(found[2] or 1)
            begin = datetime(year, month, 1, tzinfo=timezone.utc)
            months = 12 * year + month - 1 + (1 if found[2] else 12)
            if months >= 12 * (_LAST.year + 1):
                return begin, _LAST
            return begin, datetime(months // 12, months % 12 + 1, 1, tzinfo=timezone.utc)
        if isinstance(moment, str):
            is_day = len(moment) == len("2024-05-31")
            moment = (date if is_day else datetime).fromisoformat(moment.replace("Z", "+00:00"))
        if isinstance(moment, datetime):
            instant = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
            instant = instant.astimezone(timezone.utc)
            return instant, instant + min(timedelta(milliseconds=1), _LAST - instant)
        day = datetime(moment.year, moment.month, moment.day, tzinfo=timezone.utc)
        return day, day + min(timedelta(days=1), _LAST - day)
    except (ValueError, OverflowError, AttributeError) as error:
        raise InputError(
            f"`{name}=` should be a date such as 2024-05-31, 2024-05 or 2024, not {moment!r:.60}."
        ) from error


def _warn_of_undated(database: sqlite3.Connection) -> None:
    question = f"SELECT count(*), count(CASE WHEN {_IS_DATE} THEN 1 END) FROM sources"  # noqa: S608
    every, dated = database.execute(question).fetchone()
    if dated < every:
        warnings.warn(
            f"{every - dated} of {every} documents have no date that can be read and are left out: "
            f"it would be `date` in their metadata, such as 2024-05-31 or 2024-05-31T18:00+02:00, "
            f"else `{MODIFIED}`, as files have it.",
            stacklevel=2,
        )
