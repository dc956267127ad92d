"""Prompts of known models apply by what a model is, and not by what its folder is called."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest
from fakes.checkpoint import edit_json, embedding_of, source_of, write_model

from minnow.model import prompts
from minnow.model.prompts import KNOWN_PROMPTS, KNOWN_WEIGHTS, identify
from minnow.sealing import sha256

if TYPE_CHECKING:
    from pathlib import Path

BGE = "BAAI/bge-small-en-v1.5"
E5 = "intfloat/e5-small-v2"


def front_matter(folder: Path, *lines: str) -> None:
    (folder / "README.md").write_text("\n".join(["---", *lines, "---", "# Tiny", BGE]) + "\n")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model that nothing is known of, with prompts in none of its files."""
    return write_model(tmp_path / "model")


def test_a_model_of_which_nothing_is_known_has_no_prompts(folder: Path) -> None:
    assert identify(source_of(folder)) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert embedding_of(folder).prompts_source == "none"


def test_the_weights_are_certain_wherever_they_lie(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = folder / "model.safetensors"
    known = {BGE: (sha256(weights), weights.stat().st_size)}
    monkeypatch.setattr(prompts, "KNOWN_WEIGHTS", known)

    found = embedding_of(folder)

    assert found.role_prompts.query == KNOWN_PROMPTS[BGE].query
    assert found.prompts_source == KNOWN_PROMPTS[BGE].source

    monkeypatch.setattr(prompts, "KNOWN_WEIGHTS", {BGE: ("0" * 64, weights.stat().st_size)})
    assert embedding_of(folder).prompts_source == "none"


@pytest.mark.parametrize(
    "name",
    ["bge-small-en-v1.5", "BAAI_bge-small-en-v1.5", "bge-small-en-v1___5", "BGE-small-EN-v1.5"],
)
def test_the_name_of_a_folder_gives_a_warning(tmp_path: Path, name: str) -> None:
    folder = write_model(tmp_path / name)

    with pytest.warns(UserWarning, match=f"its name is that of {BGE}, whose queries begin with"):
        found = embedding_of(folder)

    assert found.prompts_source == "none"


@pytest.mark.parametrize(
    ("lines", "model_id"),
    [
        (["model-index:", "- name: bge-small-en-v1.5"], BGE),
        (["base_model: intfloat/e5-small-v2"], E5),
        (["base_model:", "- intfloat/e5-small-v2", "tags: [x]"], E5),
    ],
)
def test_the_metadata_of_a_readme_gives_a_warning(
    folder: Path, lines: list[str], model_id: str
) -> None:
    front_matter(folder, *lines)

    with pytest.warns(UserWarning, match=f"its README names {model_id}") as caught:
        embedding_of(folder)

    said = str(caught[0].message)
    assert "Give `query_prompt=` and `document_prompt=`" in said
    assert ("documents with 'passage: '" in said) == (model_id == E5)


def test_the_text_of_a_readme_says_nothing(folder: Path) -> None:
    front_matter(folder, "license: mit")

    assert identify(source_of(folder)) is None


@pytest.mark.parametrize(
    "stated", [BGE, "/root/.cache/torch/BAAI_bge-small-en-v1.5/", "C:\\" + BGE]
)
def test_the_model_that_it_was_trained_from_gives_a_warning(folder: Path, stated: str) -> None:
    edit_json(folder / "config.json", _name_or_path=stated)

    with pytest.warns(UserWarning, match=f"config.json says that it was made from {BGE}"):
        embedding_of(folder)


@pytest.mark.parametrize("given", ["", "search: "])
def test_a_prompt_that_the_user_gives_ends_the_question(tmp_path: Path, given: str) -> None:
    folder = write_model(tmp_path / "bge-small-en-v1.5")

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert embedding_of(folder, query_prompt=given).role_prompts.query == given


def test_prompts_of_the_files_end_the_question(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "e5-small-v2", prompts={"query": "q: "})

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert embedding_of(folder).role_prompts.query == "q: "


@pytest.mark.parametrize("name", ["bge-small", "my-bge-small-en-v1.5-tuned", "small-v2", "e5"])
def test_another_name_gives_none(tmp_path: Path, name: str) -> None:
    assert identify(source_of(write_model(tmp_path / name))) is None


def test_every_known_hash_is_of_a_known_model() -> None:
    assert KNOWN_WEIGHTS.keys() <= KNOWN_PROMPTS.keys()
    assert all(len(known) == 64 and size > 1e8 for known, size in KNOWN_WEIGHTS.values())
