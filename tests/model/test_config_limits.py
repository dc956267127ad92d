from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from fakes.checkpoint import (
    edit_json,
    embedding_of,
    encoder_of,
    write_json,
    write_model,
)

from minnow.errors import (
    AmbiguousModelError,
    SourceError,
    UnsupportedModelError,
)
from minnow.model.prompts import KNOWN_PROMPTS
from minnow.vectors import Similarity

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.model.spec import EmbeddingSpec

PROMPTS_FILE = "config_sentence_transformers.json"
LIMITS_FILE = "sentence_bert_config.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


# --- the limit ---------------------------------------------------------------------------


def limit_of(folder: Path, stated: Any, tokenizers: Any, **choices: Any) -> int:
    """Return the limit if two files state these; "nothing" is a file without the key."""
    for name, key, value in (
        (LIMITS_FILE, "max_seq_length", stated),
        ("tokenizer_config.json", "model_max_length", tokenizers),
    ):
        if value == "no file":
            (folder / name).unlink()
        elif value == "nothing":
            edit_json(folder / name, without=(key,))
        else:
            edit_json(folder / name, **{key: value})
    return embedding_of(folder, **choices).max_tokens


@pytest.mark.parametrize(
    ("stated", "tokenizers", "limit"),
    [
        (24, 30, 24),
        (24, 10, 24),
        (24, "no file", 24),
        (None, 30, 30),
        ("nothing", 30, 30),
        ("no file", 30, 30),
        ("no file", 30.0, 30),
        ("no file", 1e30, 40),
        ("no file", 1000000000000000019884624838656, 40),
        ("no file", float("inf"), 40),
        ("no file", "nothing", 40),
        ("no file", "no file", 40),
        (512, 30, 40),
        (3, 30, 3),
    ],
)
def test_the_limit_is_the_first_one_stated_and_never_over_the_positions(
    folder: Path, stated: object, tokenizers: object, limit: int
) -> None:
    assert limit_of(folder, stated, tokenizers) == limit


@pytest.mark.parametrize(
    ("stated", "tokenizers"),
    [(2, 30), (0, 30), (-1, 30), (True, 30), ("24", 30), ([24], 30), (float("nan"), 30), (None, 2)],
)
def test_an_invalid_limit_is_the_users_choice(
    folder: Path, stated: object, tokenizers: object
) -> None:
    with pytest.raises(AmbiguousModelError, match=r"states a limit of .* tokens\. Give `max_tok"):
        limit_of(folder, stated, tokenizers)
    assert limit_of(folder, stated, tokenizers, max_tokens=16) == 16


def test_the_limit_of_roberta_leaves_out_the_positions_before_the_first(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", family="roberta", max_tokens=512)

    assert encoder_of(folder).positions == 42
    assert embedding_of(folder).max_tokens == 40
    with pytest.raises(SourceError, match="`max_tokens=41` is outside of 3 to 40"):
        embedding_of(folder, max_tokens=41)


def test_a_network_without_room_for_a_token_has_no_limit(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", family="roberta", max_position_embeddings=4)

    with pytest.raises(AmbiguousModelError, match="states a limit of 24 tokens"):
        embedding_of(folder)


@pytest.mark.parametrize("chosen", [3, 25, 40])
def test_the_users_limit_wins_over_the_files(folder: Path, chosen: int) -> None:
    assert embedding_of(folder, max_tokens=chosen).max_tokens == chosen


@pytest.mark.parametrize("chosen", [-1, 0, 2, 41, 512])
def test_the_users_limit_is_within_the_positions(folder: Path, chosen: int) -> None:
    with pytest.raises(SourceError, match=f"`max_tokens={chosen}` is outside of 3 to 40"):
        embedding_of(folder, max_tokens=chosen)


@pytest.mark.parametrize("kind", ["roberta", "distilbert", "camembert", "xlm-roberta"])
def test_the_limits_file_has_had_several_names(folder: Path, kind: str) -> None:
    (folder / LIMITS_FILE).rename(folder / f"sentence_{kind}_config.json")

    assert embedding_of(folder).max_tokens == 24


@pytest.mark.parametrize("lowercase", [True, False])
def test_lowercasing_is_read_from_the_limits_file(folder: Path, lowercase: bool) -> None:
    edit_json(folder / LIMITS_FILE, do_lower_case=lowercase)

    assert embedding_of(folder).lowercase is lowercase


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("query_length", 32),
        ("document_length", 180),
        ("query_expansion", {"length": 32}),
        ("transformer_task", "fill-mask"),
        ("module_output_name", "sentence_embedding"),
    ],
)
def test_what_sentence_transformers_6_can_ask_for_besides_is_refused(
    folder: Path, key: str, value: Any
) -> None:
    edit_json(folder / LIMITS_FILE, **{key: value})

    with pytest.raises(UnsupportedModelError) as caught:
        embedding_of(folder)

    assert f"{LIMITS_FILE} asks for {key}: {json.dumps(value)}, which" in str(caught.value)


# --- prompts and similarity --------------------------------------------------------------


def prompt_of(embedding: EmbeddingSpec) -> tuple[str, str]:
    return embedding.role_prompts.query, embedding.role_prompts.document


@pytest.mark.parametrize(
    ("prompts", "query", "document"),
    [
        ({"query": "q: ", "document": "d: "}, "q: ", "d: "),
        ({"query": "q: ", "passage": "p: "}, "q: ", "p: "),
        ({"query": "q: ", "corpus": "c: "}, "q: ", "c: "),
        ({"query": "q: ", "corpus": "c: ", "passage": "p: ", "document": "d: "}, "q: ", "d: "),
        ({"query": "q: ", "document": "", "passage": "p: "}, "q: ", ""),
        ({"query": "q: "}, "q: ", ""),
        ({"passage": "p: ", "clustering": "c: "}, "", "p: "),
    ],
)
def test_prompts_are_read_from_their_file(
    folder: Path, prompts: dict[str, str], query: str, document: str
) -> None:
    edit_json(folder / PROMPTS_FILE, prompts=prompts)

    embedding = embedding_of(folder)

    assert embedding.prompts == prompts
    assert prompt_of(embedding) == (query, document)
    assert embedding.prompts_source == PROMPTS_FILE


@pytest.mark.parametrize("content", [{}, {"prompts": {}}, {"prompts": None}, None])
def test_a_model_may_have_no_prompts(folder: Path, content: object) -> None:
    (folder / PROMPTS_FILE).unlink()
    if content is not None:
        write_json(folder / PROMPTS_FILE, content)

    embedding = embedding_of(folder)

    assert (embedding.prompts, embedding.prompts_source) == ({}, "none")
    assert prompt_of(embedding) == ("", "")


KNOWN = KNOWN_PROMPTS["intfloat/e5-small-v2"]


@pytest.mark.parametrize("prompts", [{}, {"query": "", "document": ""}])
def test_a_well_known_model_has_prompts_that_its_file_lacks(
    folder: Path, prompts: dict[str, str]
) -> None:
    edit_json(folder / PROMPTS_FILE, prompts=prompts)

    embedding = embedding_of(folder, "intfloat/e5-small-v2")

    assert prompt_of(embedding) == (KNOWN.query, KNOWN.document) == ("query: ", "passage: ")
    assert embedding.prompts_source == KNOWN.source


def test_the_file_of_a_well_known_model_wins_over_the_table(folder: Path) -> None:
    edit_json(folder / PROMPTS_FILE, prompts={"query": "mine: "})

    embedding = embedding_of(folder, "intfloat/e5-small-v2")

    assert prompt_of(embedding) == ("mine: ", "")
    assert embedding.prompts_source == PROMPTS_FILE


def test_prompts_of_the_table_keep_the_files_default_prompt(folder: Path) -> None:
    edit_json(folder / PROMPTS_FILE, prompts={"plain": ""}, default_prompt_name="plain")

    embedding = embedding_of(folder, "intfloat/e5-small-v2")

    assert embedding.default_prompt_name == "plain"
    assert embedding.prompts == {"plain": "", "query": "query: ", "document": "passage: "}


@pytest.mark.parametrize("model_id", [None, "intfloat/e5-small-v2"])
def test_the_users_prompts_win(folder: Path, model_id: str | None) -> None:
    edit_json(folder / PROMPTS_FILE, prompts={"query": "q: ", "document": "d: "})

    one = embedding_of(folder, model_id, query_prompt="mine: ")
    both = embedding_of(folder, model_id, query_prompt="", document_prompt="theirs: ")

    assert prompt_of(one) == ("mine: ", "d: ")
    assert prompt_of(both) == ("", "theirs: ")
    assert one.prompts_source == both.prompts_source == "given by the user"


def test_the_users_document_prompt_wins_over_one_of_another_name(folder: Path) -> None:
    edit_json(folder / PROMPTS_FILE, prompts={"query": "q: ", "passage": "p: "})

    assert prompt_of(embedding_of(folder, document_prompt="mine: ")) == ("q: ", "mine: ")


def test_a_default_prompt_is_one_of_the_prompts(folder: Path) -> None:
    edit_json(folder / PROMPTS_FILE, prompts={"query": "q: "}, default_prompt_name="query")
    assert embedding_of(folder).default_prompt_name == "query"

    edit_json(folder / PROMPTS_FILE, default_prompt_name="document")
    with pytest.raises(SourceError, match="default_prompt_name 'document' is not among the pro"):
        embedding_of(folder)


def test_prompts_that_are_for_neither_side_are_the_users_choice(folder: Path) -> None:
    edit_json(folder / PROMPTS_FILE, prompts={"s2p_query": "q: ", "sts_query": "s: "})

    with pytest.raises(
        AmbiguousModelError,
        match=r"names the prompts s2p_query, sts_query, .*Give `query_prompt=` and `document_pr",
    ):
        embedding_of(folder)
    chosen = embedding_of(folder, query_prompt="q: ", document_prompt="")
    assert prompt_of(chosen) == ("q: ", "")
    assert chosen.prompts["sts_query"] == "s: "


def test_null_is_no_prompt(folder: Path) -> None:
    prompts = {"query": None, "document": None, "sts": "s: "}
    edit_json(folder / PROMPTS_FILE, prompts=prompts, default_prompt_name="query")

    found = embedding_of(folder)

    assert found.prompts == {"query": "", "document": "", "sts": "s: "}
    assert (prompt_of(found), found.default_prompt_name) == (("", ""), "query")


@pytest.mark.parametrize("prompts", [["query: "], "query: ", {"query": 1}])
def test_prompts_map_names_to_texts(folder: Path, prompts: object) -> None:
    edit_json(folder / PROMPTS_FILE, prompts=prompts)

    with pytest.raises(SourceError, match=f"{PROMPTS_FILE}: prompts should map names to texts"):
        embedding_of(folder)


@pytest.mark.parametrize("kind", Similarity)
def test_similarity_is_read_from_its_file(folder: Path, kind: Similarity) -> None:
    edit_json(folder / PROMPTS_FILE, similarity_fn_name=kind.value)

    assert embedding_of(folder).similarity is kind


@pytest.mark.parametrize("stated", [{}, {"similarity_fn_name": None}])
def test_similarity_is_cosine_where_the_file_is_silent(
    folder: Path, stated: dict[str, Any]
) -> None:
    edit_json(folder / PROMPTS_FILE, **stated)

    assert embedding_of(folder).similarity is Similarity.COSINE


@pytest.mark.parametrize("named", ["maxsim", "COSINE", 3, ["cosine"]])
def test_another_similarity_is_refused(folder: Path, named: object) -> None:
    edit_json(folder / PROMPTS_FILE, similarity_fn_name=named)

    with pytest.raises(UnsupportedModelError, match="unknown similarity_fn_name "):
        embedding_of(folder)
