"""Any body becomes a request or an error that says why."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.model.tokenizer import TokenizedText
from minnow.serve.errors import ApiError
from minnow.serve.inputs import Rows, decode, texts_of
from minnow.serve.requests import EmbeddingsRequest, SimilarityRequest, TokenizeRequest

REQUESTS = (EmbeddingsRequest, SimilarityRequest, TokenizeRequest)

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    ["model", "input", "encoding_format", "dimensions", "user", "input_type", "prompt_name",
     "truncate", "query", "documents"]
)  # fmt: skip


def check(body: bytes, kind: type[Any]) -> None:
    with suppress(ApiError):
        assert isinstance(decode(body, kind), kind)


@given(st.binary(max_size=200), st.sampled_from(REQUESTS))
def test_any_bytes(body: bytes, kind: type[Any]) -> None:
    check(body, kind)


@given(st.dictionaries(fields, values), st.sampled_from(REQUESTS))
def test_any_json(body: dict[str, Any], kind: type[Any]) -> None:
    check(json.dumps(body).encode(), kind)


@given(st.dictionaries(fields, values))
def test_a_text_is_not_repeated_in_an_error(body: dict[str, Any]) -> None:
    """Errors may be logged by clients."""
    body["input"] = {"xyzzy": "xyzzy"}
    with pytest.raises(ApiError) as refused:
        decode(json.dumps(body).encode(), EmbeddingsRequest)
    assert "xyzzy" not in refused.value.message


@given(
    st.text(min_size=1).filter(lambda text: text.isascii()),
    st.one_of(st.text(), st.lists(st.text()), st.lists(st.integers(0, 9**9))),
    st.one_of(st.none(), st.integers(1, 2**31 - 1)),
)
def test_what_is_right_is_read(model: str, given_input: Any, dimensions: int | None) -> None:
    body = {"model": model, "input": given_input, "dimensions": dimensions}
    if any(0xD800 <= ord(letter) < 0xE000 for letter in str(given_input)):
        return
    asked = decode(json.dumps(body).encode(), EmbeddingsRequest)
    assert (asked.model, asked.input, asked.dimensions) == (model, given_input, dimensions)


def test_the_place_of_a_fault_is_reported() -> None:
    with pytest.raises(ApiError) as refused:
        decode(b'{"model": "a", "input": ["b", 1.5]}', EmbeddingsRequest)
    assert refused.value.param == "input"
    assert refused.value.message.startswith("input[1]: Expected")


def test_a_value_that_is_none_of_some_words_is_repeated_in_part() -> None:
    value = "fish - at `$.home` " + "river " * 1000
    body = {"model": "a", "input": "b", "input_type": value}
    with pytest.raises(ApiError) as caught:
        decode(json.dumps(body).encode(), EmbeddingsRequest)
    assert caught.value.param == "input_type"
    assert len(caught.value.message) < 200


def test_one_text_is_a_list_of_one() -> None:
    assert texts_of("fish", 2, "input") == ["fish"]
    with pytest.raises(ApiError) as refused:
        texts_of(["a", "b", "c"], 2, "input")
    assert refused.value.status == 422


def test_rows_are_joined() -> None:
    one, two, three = (TokenizedText(ids, len(ids) != 1, 9) for ids in ([1], [2, 3], [4, 5]))
    joined = Rows([one, two]).joined(Rows([three]))
    assert (joined.texts, joined.truncated, joined.tokens) == ([one, two, three], [1, 2], 5)


def test_schemas_are_those_of_openai() -> None:
    schema = msgspec.json.schema(EmbeddingsRequest)["$defs"]["EmbeddingsRequest"]
    assert schema["required"] == ["model", "input"]
    assert set(schema["properties"]) >= {"encoding_format", "dimensions", "user"}
