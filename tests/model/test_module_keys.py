"""Keys of the modules' files: honoured, known not to matter, or refused by name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from fakes.checkpoint import edit_json, embedding_of, write_json, write_model

from minnow.errors import SourceNotFoundError, UnsupportedModelError
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from pathlib import Path

LIMITS, PROMPTS, POOLING, NORMALIZE = (
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
    "2_Normalize/config.json",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def edit_row(folder: Path, number: int, **changes: Any) -> None:
    rows = json.loads((folder / "modules.json").read_text())
    rows[number].update(changes)
    write_json(folder / "modules.json", rows)


REFUSED: list[tuple[str, dict[str, Any]]] = [
    (LIMITS, {"processing_kwargs": {"text": {"padding": True}}}),
    (LIMITS, {"tokenizer_name_or_path": "acme/other"}),
    (LIMITS, {"modality_config": {"message": {"method": "forward"}}}),
    (LIMITS, {"modality_config": {"text": {"method": "encode", "method_output_name": "x"}}}),
    (LIMITS, {"pool_first": True}),
    (PROMPTS, {"model_type": "SparseEncoder"}),
    (PROMPTS, {"scale": 2}),
    (PROMPTS, {"output_dimension": None}),
    (POOLING, {"pooling_dropout": 0.1}),
    (NORMALIZE, {"module_input_name": "token_embeddings"}),
    (NORMALIZE, {"module_output_name": "other"}),
    (NORMALIZE, {"p": 1}),
]


@pytest.mark.parametrize(("file", "changes"), REFUSED, ids=lambda value: str(value)[:60])
def test_a_key_that_minnow_does_not_compute_is_refused_by_name(
    folder: Path, file: str, changes: dict[str, Any]
) -> None:
    edit_json(folder / file, **changes)

    with pytest.raises(UnsupportedModelError) as caught:
        embedding_of(folder)

    ((key, value),) = changes.items()
    assert f"{file} asks for {key}: {json.dumps(value)[:40]}" in str(caught.value)


def test_texts_that_become_messages_are_refused(folder: Path) -> None:
    """sentence-transformers puts every text through the chat template then."""
    method = {"method": "forward", "method_output_name": "last_hidden_state"}
    modalities = {"text": method, "message": {**method, "format": "flat"}}
    edit_json(folder / LIMITS, modality_config=modalities)

    refusal = r"makes messages of its texts \(modality_config\.message\)"
    with pytest.raises(UnsupportedModelError, match=refusal):
        embedding_of(folder)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("model_args", {"rope_scaling": 2}, "model_args.rope_scaling: 2"),
        ("config_kwargs", {"num_hidden_layers": 1}, "config_kwargs.num_hidden_layers: 1"),
        ("processor_kwargs", {"model_max_length": 8}, "processor_kwargs.model_max_length: 8"),
        ("tokenizer_args", "fast", 'tokenizer_args: "fast"'),
    ],
)
def test_arguments_of_loading_are_refused_one_by_one(
    folder: Path, key: str, value: Any, named: str
) -> None:
    edit_json(folder / LIMITS, **{key: value})

    with pytest.raises(UnsupportedModelError) as caught:
        embedding_of(folder)

    assert f"asks for {named}, which" in str(caught.value)


HARMLESS: list[tuple[str, dict[str, Any]]] = [
    (LIMITS, {"unpad_inputs": True, "processing_kwargs": {}, "query_expansion": None}),
    (LIMITS, {"model_args": {"torch_dtype": "float16", "attn_implementation": "sdpa"}}),
    (LIMITS, {"tokenizer_args": {"use_fast": True}, "config_args": {}}),
    (PROMPTS, {"__version__": {"sentence_transformers": "9"}, "model_type": None}),
    (PROMPTS, {"model_type": "SentenceTransformer", "truncate_dim": None}),
    (POOLING, {"include_prompt": True, "pooling_mode_attention": False}),
    (NORMALIZE, {"module_input_name": "sentence_embedding", "module_output_name": None}),
]


@pytest.mark.parametrize(("file", "changes"), HARMLESS, ids=lambda value: str(value)[:60])
def test_a_key_that_changes_no_vector_changes_nothing(
    folder: Path, file: str, changes: dict[str, Any]
) -> None:
    plain = embedding_of(folder)
    edit_json(folder / file, **changes)

    assert embedding_of(folder) == plain


@pytest.mark.extra("sentence-transformers")
@pytest.mark.parametrize("mode", ["mean", "lasttoken"])
def test_what_sentence_transformers_writes_today_is_read(
    folder: Path, tmp_path: Path, mode: str
) -> None:
    from sentence_transformers import SentenceTransformer

    edit_json(folder / POOLING, pooling_mode=mode)
    model = SentenceTransformer(str(folder), device="cpu", prompts={"query": "q: "})
    model.save_pretrained(str(tmp_path / "saved"))

    found = embedding_of(tmp_path / "saved")

    assert (found.pooling, found.normalize) == (Pooling(mode), True)
    assert (found.max_tokens, found.role_prompts.query) == (24, "q: ")


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"kwargs": ["task"]}, 'kwargs: ["task"]'),
        ({"revision": "main"}, 'revision: "main"'),
        ({"name": "0"}, "two modules of one name"),
    ],
)
def test_a_row_of_modules_that_asks_for_more_is_refused(
    folder: Path, changes: dict[str, Any], named: str
) -> None:
    edit_row(folder, 1, **changes)

    with pytest.raises(UnsupportedModelError) as caught:
        embedding_of(folder)

    assert f"modules.json asks for {named}" in str(caught.value)


@pytest.mark.parametrize("written", ["1_Pooling/", "./1_Pooling", "1_Pooling"])
def test_the_folder_of_a_module_is_found_however_it_is_written(folder: Path, written: str) -> None:
    plain = embedding_of(folder)
    edit_row(folder, 1, path=written)

    assert embedding_of(folder) == plain


def test_a_copy_without_subfolders_is_said_to_be_incomplete(folder: Path) -> None:
    (folder / POOLING).unlink()

    with pytest.raises(SourceNotFoundError, match=r"no 1_Pooling/config\.json, which its modules"):
        embedding_of(folder)


def test_an_empty_file_of_limits_is_passed_over(folder: Path) -> None:
    (folder / LIMITS).rename(folder / "sentence_roberta_config.json")
    write_json(folder / LIMITS, {})

    assert embedding_of(folder).max_tokens == 24
