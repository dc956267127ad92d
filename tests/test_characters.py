"""The rule for halves of surrogate pairs and NUL."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.characters import clean_text, clean_values, replace_halves, replace_json_halves

ANY = st.text(st.characters(), max_size=8)  # halves of pairs too


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("fish 鱼 🐟", "fish 鱼 🐟"),
        ("half \ud83d end", "half \ufffd end"),
        ("\udc1f", "\ufffd"),
        ("\udc1f\ud83d", "\ufffd\ufffd"),
        ("\ud83d\udc1f", "🐟"),
        ("\ud83d\ud83d\udc1f", "\ufffd🐟"),
        ("a\ud83d", "a\ufffd"),
    ],
)
def test_halves_become_the_replacement_character_and_pairs_their_own(
    text: str, expected: str
) -> None:
    assert replace_halves(text) == expected


def test_nul_is_dropped_from_what_is_stored() -> None:
    assert clean_text("The o\0ce \ud835") == "The oce \ufffd"
    assert replace_halves("a\0b") == "a\0b"


def test_values_are_cleaned_at_every_depth() -> None:
    value = {"a\0": ["x\ud800", {"b": "\0"}, 3, None, True], "t": ("y\0",)}
    expected = {"a": ["x\ufffd", {"b": ""}, 3, None, True], "t": ("y\0",)}
    assert clean_values(value) == expected
    assert clean_values({"a": 1, "a\0": 2}) == {"a": 1, "a\0": 2}


@given(ANY)
def test_any_text_can_be_stored_and_valid_ones_are_unchanged(text: str) -> None:
    cleaned = clean_text(text)
    assert clean_text(cleaned) == cleaned
    assert "\0" not in cleaned
    encoded = cleaned.encode()
    if "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text):
        assert encoded == text.encode()


@given(ANY)
def test_json_means_the_same_as_the_text(text: str) -> None:
    """Backslashes before a "u" included: `\\\\ud83d` is no escape."""
    data = json.dumps([text, text + "\\ud83d"]).encode()
    expected = [replace_halves(text), replace_halves(text + "\\ud83d")]
    assert json.loads(replace_json_halves(data)) == expected
    raw = json.dumps([text, text + "\\ud83d"], ensure_ascii=False).encode(errors="surrogatepass")
    assert json.loads(replace_json_halves(raw)) == expected
