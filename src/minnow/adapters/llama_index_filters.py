"""LlamaIndex's metadata filters as conditions in SQL, with the meaning of its own stores."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilters

from minnow.errors import InputError
from minnow.indexfile.conditions import Condition, all_of, json_path

if TYPE_CHECKING:
    from llama_index.core.vector_stores.types import MetadataFilter

_VALUE = "json_extract(metadata, :path)"
_SAME_KIND = f"(typeof({_VALUE}) = 'text') = (typeof(:value) = 'text')"
_LIST = "(SELECT value FROM json_each(:value))"
_ITEM = "SELECT 1 FROM json_each(metadata, :path) AS item WHERE item.value"
_WANTED = "SELECT 1 FROM json_each(:value) AS wanted WHERE"
_IS_TEXT = "json_type(metadata, :path) = 'text'"

_OPERATORS = {
    FilterOperator.EQ: f"{_VALUE} = :value",
    FilterOperator.NE: f"coalesce({_VALUE} != :value, 1)",
    FilterOperator.GT: f"{_VALUE} > :value AND {_SAME_KIND}",
    FilterOperator.GTE: f"{_VALUE} >= :value AND {_SAME_KIND}",
    FilterOperator.LT: f"{_VALUE} < :value AND {_SAME_KIND}",
    FilterOperator.LTE: f"{_VALUE} <= :value AND {_SAME_KIND}",
    FilterOperator.CONTAINS: f"EXISTS ({_ITEM} = :value)",
    FilterOperator.TEXT_MATCH: f"{_IS_TEXT} AND instr({_VALUE}, :value) > 0",
    FilterOperator.TEXT_MATCH_INSENSITIVE: (
        f"{_IS_TEXT} AND instr(lower({_VALUE}), lower(:value)) > 0"
    ),
    FilterOperator.IS_EMPTY: (
        f"coalesce({_VALUE}, '') = '' OR json_type(metadata, :path) = 'array' "
        "AND json_array_length(metadata, :path) = 0"
    ),
}
_OPERATORS_ON_LISTS = {
    FilterOperator.IN: f"{_VALUE} IN {_LIST}",
    FilterOperator.NIN: f"coalesce({_VALUE} NOT IN {_LIST}, 1)",
    FilterOperator.ANY: f"EXISTS ({_ITEM} IN {_LIST})",
    FilterOperator.ALL: (
        "json_type(metadata, :path) = 'array' AND NOT EXISTS "
        f"({_WANTED} NOT EXISTS ({_ITEM} = wanted.value))"
    ),
}


def conditions_of(filters: MetadataFilters | None) -> list[Condition]:
    """Translate LlamaIndex's filters to at most one condition.

    Raises:
        InputError: A filter has a value that its operator does not take.
    """
    if filters is None or not filters.filters:
        return []
    parts = [
        part
        for filter_ in filters.filters
        for part in (
            conditions_of(filter_) if isinstance(filter_, MetadataFilters) else [_compared(filter_)]
        )
    ]
    if filters.condition is FilterCondition.NOT:
        return [~all_of(parts, "OR")]
    return [all_of(parts, "OR" if filters.condition is FilterCondition.OR else "AND")]


def _compared(filter_: MetadataFilter) -> Condition:
    operator, value = filter_.operator, filter_.value
    on_list = operator in _OPERATORS_ON_LISTS
    if isinstance(value, list) != on_list:
        wanted = "a list" if on_list else "a string or a number"
        raise InputError(
            f"The filter {operator.value!r} on {filter_.key!r} takes {wanted}, not {value!r}."
        )
    text = operator in (FilterOperator.TEXT_MATCH, FilterOperator.TEXT_MATCH_INSENSITIVE)
    if text and not isinstance(value, str):
        raise InputError(f"The filter {operator.value!r} on {filter_.key!r} takes a string.")
    if operator is FilterOperator.TEXT_MATCH_INSENSITIVE and not str(value).isascii():
        raise InputError(f"Case can be ignored in ASCII letters only, not in {value!r}.")
    sql = (_OPERATORS_ON_LISTS if on_list else _OPERATORS)[operator]
    known = {":path": json_path(filter_.key), ":value": json.dumps(value) if on_list else value}
    names = re.findall("|".join(known), sql)
    return Condition(re.sub("|".join(known), "?", sql), tuple(known[name] for name in names))
