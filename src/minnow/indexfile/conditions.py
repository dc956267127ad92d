"""Conditions in SQL made of plain values: which documents a search may find.

They read the columns of the view `passages`, and pass their values as parameters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.indexfile.filters import Parameters

_SCALARS = (str, int, float, type(None))


@dataclass(frozen=True)
class Condition:
    """An expression in SQL.

    Attributes:
        sql: It has a "?" for each value, and no other.
        values: The values of the "?".
    """

    sql: str
    values: tuple[object, ...] = ()

    def __invert__(self) -> Condition:
        """Return the opposite; NULL counts as false."""
        return Condition(f"NOT coalesce({self.sql}, 0)", self.values)


def all_of(conditions: Sequence[Condition], word: str = "AND") -> Condition:
    """Join conditions that all have to hold; with "OR" one of them."""
    sql = f" {word} ".join(f"({condition.sql})" for condition in conditions)
    return Condition(f"({sql})", tuple(v for condition in conditions for v in condition.values))


def json_path(key: str) -> str:
    """Return the path of a metadata value for SQLite's JSON functions.

    Raises:
        InputError: SQLite cannot express the key.

    Source: https://www.sqlite.org/json1.html#path_arguments
    """
    if not isinstance(key, str) or '"' in key or "\0" in key:
        raise InputError(f"A filter cannot name {key!r}: keys are strings without '\"' and U+0000.")
    return f"$.{json.dumps(key, ensure_ascii=False)}"


def has_value(key: str, value: object) -> Condition:
    """Match documents whose metadata has a value; None matches a missing one, and null.

    Raises:
        InputError: The value is a list, a dict or something else that SQL cannot compare whole.
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
    """Match chunks with one of some values in a column; no column has U+0000."""
    sql = f"{column} IN (SELECT value FROM json_each(?))"  # noqa: S608
    return Condition(sql, (json.dumps([value for value in values if "\0" not in value]),))


def join_where(
    conditions: Sequence[Condition], where: str | None, params: Parameters = ()
) -> tuple[str | None, Parameters]:
    """Join conditions with a user's, which `Index.search` takes as `where` and `params`.

    Returns:
        One condition, None where there is none at all, and its values.
    """
    if not conditions:
        return where, params
    every = all_of(conditions)
    if where is None:
        return every.sql, every.values
    if isinstance(params, Mapping):
        names = {f"minnow_{i}": value for i, value in enumerate(every.values)}
        sql = every.sql.replace("?", "{}").format(*(f":{name}" for name in names))
        return f"{sql} AND (\n{where}\n)", {**params, **names}
    return f"{every.sql} AND (\n{where}\n)", (*every.values, *params)
