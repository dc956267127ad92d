"""What minnow thinks that transformers makes of tokenizer files, against transformers itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fakes.checkpoint import edit_json, source_of
from fakes.tokenizers import CLASSES, SPECIALS, disturb_files, tokenizer_of, write_tokenizer_of

from minnow.model.families import FAMILIES
from minnow.model.tokenizer import load_whole_tokenizer
from minnow.model.tokenizer_check import check_tokenizer, transformers_faults
from minnow.model.tokenizer_classes import rebuild_tokenizer
from minnow.model.tokenizer_files import (
    model_class,
    named_tokens,
    read_tokenizer_files,
    resave_line,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.extra("sentence-transformers")

TEXTS = (
    "",
    " ",
    "How do FISH sleep?",
    "  the  river\tlamp\n\nfish ",
    "naïve Café cafe\u0301 鱼 한국 don't 3.14",
    "the river \u2581fish\u00a0fish\u200bfish\x00 <one> lamp",
    "[CLS] fish [SEP] <s> fish </s> <mask> [MASK] <pad> [PAD] <unk>",
    "[cls]fish[sep]<S>fish</S>  <MASK>fish <extra_id_0> <eos><bos><|endoftext|>",
)


def theirs(folder: Path) -> Any:
    """What AutoTokenizer gives: a function from text to ids, or the error that it raises."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return lambda text: tokenizer(text)["input_ids"]


def ours(folder: Path) -> Any:
    tokenizer = rebuild_tokenizer(read_tokenizer_files(source_of(folder)))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return lambda text: tokenizer.encode(text).ids


def texts_of(folder: Path) -> list[str]:
    tokens = named_tokens(source_of(folder))
    return [*TEXTS, *(f"fish {token}fish  {token} a" for token in tokens)]


def assert_same(folder: Path) -> None:
    one, other = ours(folder), theirs(folder)
    for text in texts_of(folder):
        assert (text, one(text)) == (text, other(text))


@pytest.mark.parametrize("model_type", CLASSES)
def test_files_as_transformers_writes_them_are_the_whole_tokenizer(
    tmp_path: Path, model_type: str
) -> None:
    folder = write_tokenizer_of(tmp_path, model_type)
    files, plain = read_tokenizer_files(source_of(folder)), tokenizer_of(model_type)

    assert transformers_faults(source_of(folder), files, plain) == []
    other = theirs(folder)
    assert [plain.encode(text).ids for text in TEXTS] == [other(text) for text in TEXTS]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("model_type", CLASSES)
def test_disturbed_files_are_read_as_transformers_reads_them(
    tmp_path: Path, model_type: str, seed: int
) -> None:
    assert_same(disturb_files(write_tokenizer_of(tmp_path, model_type), model_type, seed))


CASES: list[tuple[str, dict[str, Any]]] = [
    ("bert", {"do_lower_case": False}),
    ("bert", {"tokenizer_class": None, "do_lower_case": False}),
    ("bert", {"tokenizer_class": "PreTrainedTokenizerFast", "do_lower_case": False}),
    ("bert", {"tokenizer_class": "TokenizersBackend", "cls_token": "fish"}),
    ("bert", {"tokenizer_class": "DistilBertTokenizerFast", "strip_accents": False}),
    ("bert", {"tokenizer_class": "ElectraTokenizer", "tokenize_chinese_chars": False}),
    ("bert", {"cls_token": "fish", "sep_token": "water"}),
    ("bert", {"mask_token": "<new>"}),
    ("bert", {"do_basic_tokenize": False, "never_split": ["fish"]}),
    ("bert", {"additional_special_tokens": ["fish", "<one>"]}),
    ("mpnet", {"unk_token": "a", "do_lower_case": False}),
    ("roberta", {"add_prefix_space": True}),
    ("roberta", {"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": True}),
    ("roberta", {"cls_token": "</s>"}),
    ("xlm-roberta", {"add_prefix_space": False}),
    ("t5", {"extra_ids": 3}),
    ("t5", {"additional_special_tokens": ["<one>"], "add_prefix_space": False}),
    ("gemma3_text", {"add_eos_token": False, "add_bos_token": False}),
    ("qwen3", {"add_prefix_space": True, "bos_token": "<|im_start|>"}),
]


@pytest.mark.parametrize(("model_type", "config"), CASES)
def test_each_key_has_the_effect_that_it_has_there(
    tmp_path: Path, model_type: str, config: dict[str, Any]
) -> None:
    assert_same(write_tokenizer_of(tmp_path, model_type, **config))


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("bert", {"do_lower_case": False}),
    ("bert", {"cls_token": "fish"}),
    ("bert", {"additional_special_tokens": ["fish"]}),
    ("roberta", {"add_prefix_space": True}),
    ("t5", {"additional_special_tokens": ["fish"]}),
]


@pytest.mark.parametrize(("model_type", "config"), REFUSED)
def test_a_difference_is_shown_with_both_ids_and_mended_by_the_line_in_the_message(
    tmp_path: Path, model_type: str, config: dict[str, Any]
) -> None:
    from transformers import AutoTokenizer

    folder = write_tokenizer_of(tmp_path, model_type, **config)
    source, plain = source_of(folder), tokenizer_of(model_type)

    (fault,) = transformers_faults(source, read_tokenizer_files(source), plain)
    text = fault.split("'")[1]
    row = plain.encode(text).ids
    assert f"has the ids {row} by tokenizer.json, but {theirs(folder)(text)} in" in fault
    assert resave_line(source) in fault

    exec(resave_line(source), {"AutoTokenizer": AutoTokenizer})
    mended = load_whole_tokenizer(folder / "tokenizer.json")
    assert transformers_faults(source, read_tokenizer_files(source), mended) == []
    assert mended.encode(text).ids == theirs(folder)(text)


def test_a_tokenizer_written_in_another_way_passes(tmp_path: Path) -> None:
    """No text shows a difference: the normalizer twice, and RoBERTa's post-processor."""
    from tokenizers import normalizers, processors

    folder = write_tokenizer_of(tmp_path, "mpnet", strip_accents=False, do_lower_case=False)
    plain = tokenizer_of("mpnet")
    cased = normalizers.BertNormalizer(strip_accents=False, lowercase=False)
    plain.normalizer = normalizers.Sequence([cased, cased])
    plain.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    plain.save(str(folder / "tokenizer.json"))

    source = source_of(folder)
    assert transformers_faults(source, read_tokenizer_files(source), plain) == []
    assert_same(folder)


@pytest.mark.parametrize("name", ["BigBirdTokenizer", "XLNetTokenizerFast", "BertweetTokenizer"])
def test_a_class_that_minnow_does_not_know_is_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = write_tokenizer_of(tmp_path, "bert", tokenizer_class=name)
    source = source_of(folder)

    (fault,) = transformers_faults(source, read_tokenizer_files(source), tokenizer_of("bert"))

    assert f"its class in transformers, {name.removesuffix('Fast')}, builds" in fault
    assert "set tokenizer_class to PreTrainedTokenizerFast" in fault


@pytest.mark.parametrize("name", [None, "RobertaTokenizer"])
def test_a_class_of_another_type_of_tokenizer_is_refused_and_mended_by_its_name(
    tmp_path: Path, name: str | None
) -> None:
    """An XLM-R vocabulary under `model_type` bert, or under the class of RoBERTa."""
    folder = write_tokenizer_of(tmp_path, "xlm-roberta", tokenizer_class=name)
    edit_json(folder / "config.json", model_type="bert")
    source, plain = source_of(folder), tokenizer_of("xlm-roberta")
    text = "how do fish sleep"
    assert theirs(folder)(text) != plain.encode(text).ids

    (fault,) = transformers_faults(source, read_tokenizer_files(source), plain)

    assert "of a vocabulary of type Unigram" in fault
    edit_json(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    assert transformers_faults(source, read_tokenizer_files(source), plain) == []
    assert theirs(folder)(text) == plain.encode(text).ids


def test_the_class_of_every_model_type_is_that_of_transformers() -> None:
    from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES

    kinds = {kind for family in FAMILIES for kind in family.model_types} | set(SPECIALS)

    found = {kind: model_class(kind) for kind in sorted(kinds)}

    assert found == {kind: TOKENIZER_MAPPING_NAMES.get(kind) for kind in sorted(kinds)}


def test_an_older_vocabulary_is_written_whole_by_the_line_in_the_message(tmp_path: Path) -> None:
    from fakes.checkpoint import encoder_of, write_model
    from transformers import AutoTokenizer

    from minnow.errors import SourceNotFoundError

    folder = write_model(tmp_path / "model")
    expected = theirs(folder)("How do FISH sleep?")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(SourceNotFoundError) as caught:
        check_tokenizer(source_of(folder), encoder_of(folder))
    line = resave_line(source_of(folder))
    assert line in str(caught.value)

    exec(line, {"AutoTokenizer": AutoTokenizer})

    check_tokenizer(source_of(folder), encoder_of(folder))
    assert load_whole_tokenizer(folder / "tokenizer.json").encode("How do FISH sleep?").ids == (
        expected
    )
