from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from minnow.model.prompts import KNOWN_PROMPTS, KnownPrompts, identify
from minnow.model.source import ModelSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PASSAGE_SEARCH = "Represent this sentence for searching relevant passages: "
PASSAGE_SEARCH_ZH = "为这个句子生成表示以用于检索相关文章："

SIZES = ("small", "base", "large")

EXPECTED = {
    **{f"BAAI/bge-{size}-en": (PASSAGE_SEARCH, "") for size in SIZES},
    **{f"BAAI/bge-{size}-en-v1.5": (PASSAGE_SEARCH, "") for size in SIZES},
    **{f"BAAI/bge-{size}-zh": (PASSAGE_SEARCH_ZH, "") for size in SIZES},
    **{f"BAAI/bge-{size}-zh-v1.5": (PASSAGE_SEARCH_ZH, "") for size in SIZES},
    **{f"intfloat/e5-{size}": ("query: ", "passage: ") for size in SIZES},
    **{f"intfloat/e5-{size}-v2": ("query: ", "passage: ") for size in SIZES},
    **{f"intfloat/e5-{size}-unsupervised": ("query: ", "passage: ") for size in SIZES},
    **{f"intfloat/multilingual-e5-{size}": ("query: ", "passage: ") for size in SIZES},
    "mixedbread-ai/mxbai-embed-large-v1": (PASSAGE_SEARCH, ""),
    "WhereIsAI/UAE-Large-V1": (PASSAGE_SEARCH, ""),
    **{
        f"Snowflake/snowflake-arctic-embed-{name}": (PASSAGE_SEARCH, "")
        for name in ("xs", "s", "m", "l", "m-v1.5")
    },
    "Snowflake/snowflake-arctic-embed-l-v2.0": ("query: ", ""),
}


def on_the_hub(model_id: str, folder: Path) -> ModelSource:
    return ModelSource(model_id, "hub", folder, None, model_id)


@pytest.mark.parametrize(("model_id", "prompts"), EXPECTED.items())
def test_a_known_model_has_its_authors_prompts(model_id: str, prompts: tuple[str, str]) -> None:
    known = KNOWN_PROMPTS[model_id]
    assert (known.query, known.document) == prompts


def test_the_table_has_no_row_that_is_not_expected_here() -> None:
    assert set(KNOWN_PROMPTS) == set(EXPECTED)


@pytest.mark.parametrize("model_id", EXPECTED)
@pytest.mark.parametrize("change", [str.lower, str.upper, str.swapcase])
def test_case_does_not_matter(model_id: str, change: Callable[[str], str], tmp_path: Path) -> None:
    identity = identify(on_the_hub(change(model_id), tmp_path))
    assert identity is not None
    assert (identity.model_id, identity.certain) == (model_id, True)


@pytest.mark.parametrize(
    "model_id",
    [
        "",
        "bge-small-en-v1.5",
        "BAAI/bge-small-en-v1.5 ",
        "BAAI/bge-small-en-v1.5/",
        "someone/bge-small-en-v1.5",
        "BAAI/bge-small",
        "BAAI/bge-m3",
        "BAAI/bge-large-zh-noinstruct",
        "intfloat/multilingual-e5-large-instruct",
        "intfloat/e5-mistral-7b-instruct",
        "sentence-transformers/all-MiniLM-L6-v2",
        "thenlper/gte-small",
        "avsolatorio/GIST-small-Embedding-v0",
    ],
)
def test_no_other_id_is_taken_for_one_of_them(model_id: str, tmp_path: Path) -> None:
    identity = identify(on_the_hub(model_id, tmp_path))
    assert identity is None or not identity.certain


@pytest.mark.parametrize("row", KNOWN_PROMPTS.values())
def test_every_row_names_its_source(row: KnownPrompts) -> None:
    assert row.source.startswith(("https://huggingface.co/", "https://github.com/"))


@pytest.mark.parametrize("row", KNOWN_PROMPTS.values())
def test_a_prompt_ends_where_the_text_may_begin(row: KnownPrompts) -> None:
    assert row.query.endswith((": ", "："))
    assert row.document == "" or row.document.endswith(": ")
    for prompt in (row.query, row.document):
        assert not prompt.startswith(" ")
        assert not prompt.endswith("  ")


def test_a_card_is_the_models_own() -> None:
    for model_id, row in KNOWN_PROMPTS.items():
        if row.source.startswith("https://huggingface.co/"):
            assert row.source == f"https://huggingface.co/{model_id}"


def test_rows_cannot_be_changed() -> None:
    row = KNOWN_PROMPTS["intfloat/e5-small"]

    with pytest.raises(dataclasses.FrozenInstanceError):
        row.query = ""  # type: ignore[misc]
    with pytest.raises(TypeError):
        KNOWN_PROMPTS["intfloat/e5-small"] = row  # type: ignore[index]
