"""Conditions in SQL, made of plain values: which documents a search may find.

They read the columns of the view `passages`, and their values stay apart from the SQL.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.search.filters import Parameters

_SCALARS = (str, int, float, type(None))


@dataclass(frozen=True)
class Condition:
    """An expression in SQL.

    Attributes:
        sql: With a "?" for each value, and no other.
        values: What the "?" stand for.
    """

    sql: str
    values: tuple[object, ...] = ()

    def __invert__(self) -> Condition:
        """The opposite; what is not known counts as not so."""
        return Condition(f"NOT coalesce({self.sql}, 0)", self.values)


def joined(conditions: Sequence[Condition], word: str = "AND") -> Condition:
    """All of some conditions, or with "OR" any of them."""
    sql = f" {word} ".join(f"({condition.sql})" for condition in conditions)
    return Condition(f"({sql})", tuple(v for condition in conditions for v in condition.values))


def json_path(key: str) -> str:
    """Where a value of the metadata is, for SQLite's JSON functions.

    Raises:
        InputError: SQLite has no way to write it.

    Source: https://www.sqlite.org/json1.html#path_arguments
    """
    if not isinstance(key, str) or '"' in key or "\0" in key:
        raise InputError(f"A filter cannot name {key!r}: keys are strings without '\"' and U+0000.")
    return f"$.{json.dumps(key, ensure_ascii=False)}"


def has_value(key: str, value: object) -> Condition:
    """Documents whose metadata has that value; None where there is none, or null.

    Raises:
        InputError: The value is a list, a dict or something else that is not compared as a whole.
    """
    if not isinstance(value, _SCALARS) or value != value:  # NaN would be null
        raise InputError(
            f"The filter wants {key!r} to equal a {type(value).__name__}; it compares with "
            "strings, numbers, booleans and None. Say all else in SQL, with where=."
        )
    if isinstance(value, str) and "\0" in value:  # where SQLite's JSON ends a text
        raise InputError(f"The filter wants {key!r} to equal {value!r}; take U+0000 out of that.")
    return Condition("json_extract(metadata, ?) IS ?", (json_path(key), value))


def is_one_of(column: str, values: Sequence[str]) -> Condition:
    """Chunks with one of some values in a column; none has one with U+0000."""
    sql = f"{column} IN (SELECT value FROM json_each(?))"  # noqa: S608
    return Condition(sql, (json.dumps([value for value in values if "\0" not in value]),))


def with_own(
    conditions: Sequence[Condition], where: str | None, params: Parameters = ()
) -> tuple[str | None, Parameters]:
    """Conditions and a user's own, as `Index.search` takes them.

    Args:
        conditions: All of them have to hold.
        where: The user's, in SQL; it has to hold too.
        params: Of its ? or :name.

    Returns:
        One condition, None where there is none at all, and its values.
    """
    if not conditions:
        return where, params
    every = joined(conditions)
    if where is None:
        return every.sql, every.values
    if isinstance(params, Mapping):
        names = {f"minnow_{i}": value for i, value in enumerate(every.values)}
        sql = every.sql.replace("?", "{}").format(*(f":{name}" for name in names))
        return f"{sql} AND (\n{where}\n)", {**params, **names}
    return f"{every.sql} AND (\n{where}\n)", (*every.values, *params)
