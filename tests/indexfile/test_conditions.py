"""Conditions made of plain values mean in SQL what they mean in Python."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.errors import InputError
from minnow.indexfile.conditions import Condition, all_of, has_value, is_one_of, join_where

KEYS = st.text(st.characters(exclude_characters='"\0', exclude_categories=["Cs"]), max_size=4)
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), TEXTS,
    st.floats(allow_nan=False, allow_infinity=False, width=32),
)  # fmt: skip


def is_true(condition: Condition, metadata: object, **columns: str) -> bool:
    """Return SQLite's value of a condition on one document."""
    names = {"metadata": json.dumps(metadata, ensure_ascii=False), **columns}
    row = ", ".join(f"? AS {name}" for name in names)
    question = f"SELECT count(*) FROM (SELECT {row}) WHERE {condition.sql}"
    database = sqlite3.connect(":memory:")
    try:
        values = (*names.values(), *condition.values)
        return bool(database.execute(question, values).fetchone()[0])
    finally:
        database.close()


class TestHasValue:
    @given(st.dictionaries(KEYS, VALUES, max_size=3), KEYS, VALUES)
    def test_it_is_equality(self, metadata: dict[str, Any], key: str, value: Any) -> None:
        expected = metadata.get(key) == value
        assert is_true(has_value(key, value), metadata) == expected
        for known, itself in metadata.items():
            assert is_true(has_value(known, itself), metadata)

    def test_numbers_are_no_strings(self) -> None:
        assert not is_true(has_value("n", "1"), {"n": 1})
        assert is_true(has_value("n", 1), {"n": 1.0})

    @pytest.mark.parametrize("value", [["a"], {"a": 1}, b"a", ("a",), float("nan")])
    def test_what_is_not_compared_as_a_whole(self, value: object) -> None:
        with pytest.raises(InputError, match=f"'tags' to equal a {type(value).__name__}.*in SQL"):
            has_value("tags", value)

    def test_texts_that_sqlite_would_cut_off(self) -> None:
        with pytest.raises(InputError, match=r"U\+0000"):
            has_value("tags", "a\0b")

    @pytest.mark.parametrize("key", ['a"b', "a\0b", 3])
    def test_keys_that_cannot_be_named(self, key: Any) -> None:
        with pytest.raises(InputError, match="cannot name"):
            has_value(key, 1)


class TestTogether:
    def test_all_and_any(self) -> None:
        both = [has_value("a", 1), has_value("b", 2)]
        assert not is_true(all_of(both), {"a": 1})
        assert is_true(all_of(both, "OR"), {"a": 1})
        assert is_true(all_of(both), {"a": 1, "b": 2})

    def test_not_holds_where_nothing_is_known(self) -> None:
        greater = Condition("json_extract(metadata, ?) > ?", ("$.a", 1))
        for metadata, expected in (({"a": 2}, False), ({"a": 0}, True), ({}, True)):
            assert is_true(~greater, metadata) == expected

    @given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=3)))
    def test_one_of(self, names: list[str]) -> None:
        for name in ("", "a", *names[:2]):
            if "\0" not in name:
                assert is_true(is_one_of("name", names), {}, name=name) == (name in names)


class TestWithAUsersOwn:
    OWN = has_value("a", 1)

    def test_either_alone(self) -> None:
        assert join_where([], None) == (None, ())
        assert join_where([], "1 = ?", [1]) == ("1 = ?", [1])
        assert join_where([self.OWN], None) == (f"(({self.OWN.sql}))", self.OWN.values)

    @pytest.mark.parametrize(
        ("where", "params"), [("name = ? -- x", ["x"]), ("name = :name", {"name": "x"})]
    )
    def test_both(self, where: str, params: Any) -> None:
        sql, values = join_where([self.OWN, has_value("b", 2)], where, params)
        database = sqlite3.connect(":memory:")
        table = "(SELECT 'x' AS name, '{\"a\": 1, \"b\": 2}' AS metadata)"
        question = f"SELECT count(*) FROM {table} WHERE {sql}"
        assert database.execute(question, values).fetchone() == (1,)
        database.close()
