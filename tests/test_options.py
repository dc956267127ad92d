"""Which prompt a call uses, and messages about wrong arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from minnow.errors import InputError
from minnow.model.spec import EmbeddingSpec
from minnow.options import EncodeOptions, check_options, with_role
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from minnow.options import Role

ASK, TELL = "query: ", "passage: "
NONE: dict[str, str] = {}


def spec(prompts: dict[str, str], default: str | None = None) -> EmbeddingSpec:
    return EmbeddingSpec(
        Pooling.MEAN, normalize=True, max_tokens=24, prompts=prompts, default_prompt_name=default
    )


def prompt_of(given: EncodeOptions, embedding: EmbeddingSpec) -> str:
    return check_options(given, embedding, 32, "warn").prompt


@pytest.mark.parametrize(
    ("given", "prompts", "default", "expected"),
    [
        ({}, NONE, None, ""),
        ({}, {"query": ASK}, None, ""),
        ({}, {"query": ASK}, "query", ASK),
        ({"prompt": "a "}, NONE, None, "a "),
        ({"prompt": "a "}, {"query": ASK}, "query", "a "),
        ({"prompt": ""}, {"query": ASK}, "query", ""),
        ({"prompt_name": "query"}, {"query": ASK}, None, ASK),
        ({"prompt_name": "red"}, {"query": ASK, "red": "red "}, "query", "red "),
        ({"prompt_name": "query"}, NONE, None, ""),
        ({"prompt_name": "document"}, {"query": ASK}, "query", ""),
        ({"prompt": "a ", "prompt_name": "query"}, {"query": ASK}, None, "a "),
        ({"prompt": "a ", "prompt_name": "unknown"}, NONE, None, "a "),
        ({"prompt": None, "prompt_name": None}, {"query": ASK}, None, ""),
    ],
)
def test_a_prompt_wins_over_its_name_over_the_default(
    given: EncodeOptions, prompts: dict[str, str], default: str | None, expected: str
) -> None:
    assert prompt_of(given, spec(prompts, default)) == expected


@pytest.mark.parametrize(
    ("role", "prompts", "default", "expected"),
    [
        ("query", NONE, None, ""),
        ("document", NONE, None, ""),
        ("query", {"query": ASK, "document": TELL}, None, ASK),
        ("document", {"query": ASK, "document": TELL}, None, TELL),
        ("document", {"query": ASK, "passage": TELL}, None, TELL),
        ("document", {"query": ASK, "corpus": TELL}, None, TELL),
        ("document", {"corpus": "c", "passage": "p", "document": "d"}, None, "d"),
        ("document", {"corpus": "c", "passage": "p"}, None, "p"),
        ("document", {"query": ASK}, "query", ""),
        ("query", {"red": "red "}, "red", ""),
    ],
)
def test_a_role_has_its_own_prompt_and_never_the_default(
    role: Role, prompts: dict[str, str], default: str | None, expected: str
) -> None:
    embedding = spec(prompts, default)
    assert prompt_of(with_role(role, {}, embedding), embedding) == expected


@pytest.mark.parametrize(
    ("given", "expected"),
    [({"prompt": "a "}, "a "), ({"prompt": ""}, ""), ({"prompt_name": "red"}, "red ")],
)
def test_a_caller_wins_over_the_role(given: EncodeOptions, expected: str) -> None:
    embedding = spec({"query": ASK, "red": "red "})
    assert prompt_of(with_role("query", given, embedding), embedding) == expected


def test_a_role_keeps_the_other_options() -> None:
    options = with_role("query", {"batch_size": 5}, spec({"query": ASK}))
    assert options == {"batch_size": 5, "prompt": ASK, "task": "query"}


@pytest.mark.parametrize("name", ["unknown", "Query", ""])
def test_an_unknown_name_is_reported_with_the_known_ones(name: str) -> None:
    with pytest.raises(InputError, match=f"no prompt named '{name}'; there is query, document, r"):
        prompt_of({"prompt_name": name}, spec({"query": ASK, "red": "red "}))


def test_what_is_not_given_is_filled_in() -> None:
    options = check_options({}, spec(NONE), 32, "error")
    assert (options.batch_size, options.width, options.on_truncate) == (32, 32, "error")
    assert not options.normalize
    assert not options.show_progress
