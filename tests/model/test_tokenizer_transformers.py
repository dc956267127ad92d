"""What minnow thinks that transformers makes of tokenizer files, against transformers itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from fakes.checkpoint import edit_json, source_of, write_json
from fakes.tokenizers import CLASSES, SPECIALS, disturb_files, tokenizer_of, write_tokenizer_of

from minnow.errors import AmbiguousModelError
from minnow.model.families import FAMILIES
from minnow.model.tokenizer import load_whole_tokenizer
from minnow.model.tokenizer_adoption import TokenizerComparison, compare_with_transformers
from minnow.model.tokenizer_check import check_tokenizer
from minnow.model.tokenizer_classes import rebuild_tokenizer
from minnow.model.tokenizer_files import (
    gives_token_types,
    model_class,
    named_tokens,
    read_tokenizer_files,
    resave_line,
)

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.extra("sentence-transformers"), pytest.mark.transformers_5]

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


def compare(folder: Path) -> TokenizerComparison:
    """What minnow decides, for a word table of as many rows as the tokenizer has ids."""
    source, plain = source_of(folder), load_whole_tokenizer(folder / "tokenizer.json")
    return compare_with_transformers(
        source, read_tokenizer_files(source), plain, plain.get_vocab_size()
    )


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
    plain = tokenizer_of(model_type)

    assert compare(folder) == TokenizerComparison()
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
    (
        "xlm-roberta",
        {"tokenizer_class": "AlbertTokenizer", "cls_token": "<s>", "sep_token": "</s>"},
    ),
    (
        "camembert",
        {"tokenizer_class": "AlbertTokenizerFast", "do_lower_case": False, "keep_accents": True},
    ),
    ("xlm-roberta", {"tokenizer_class": "DebertaV2Tokenizer"}),
    (
        "camembert",
        {
            "tokenizer_class": "DebertaV2TokenizerFast",
            "do_lower_case": True,
            "split_by_punct": True,
        },
    ),
]


@pytest.mark.parametrize(("model_type", "config"), CASES)
def test_each_key_has_the_effect_that_it_has_there(
    tmp_path: Path, model_type: str, config: dict[str, Any]
) -> None:
    assert_same(write_tokenizer_of(tmp_path, model_type, **config))


ADOPTED: list[tuple[str, dict[str, Any]]] = [
    ("bert", {"do_lower_case": False}),
    ("bert", {"strip_accents": False}),
    ("bert", {"additional_special_tokens": ["fish"]}),
    ("roberta", {"add_prefix_space": True}),
    ("t5", {"additional_special_tokens": ["fish"]}),
]
"""Where transformers 4 and 5 give ordinary texts the same ids, unlike those of tokenizer.json."""


@pytest.mark.parametrize(("model_type", "config"), ADOPTED)
def test_the_tokenizer_of_all_files_is_adopted(
    tmp_path: Path, model_type: str, config: dict[str, Any]
) -> None:
    folder = write_tokenizer_of(tmp_path, model_type, **config)
    plain = tokenizer_of(model_type)

    found = compare(folder)

    assert found.faults == ()
    assert found.rebuilt is not None
    assert found.difference is not None
    other = theirs(folder)
    text = found.difference.split("'")[1]
    assert other(text) != plain.encode(text).ids
    shown = ", ".join(map(str, other(text)[:12]))
    assert found.difference.startswith(f"{text!r} has the ids [{shown}")
    found.rebuilt.save(str(folder / "tokenizer.json"))
    assert [load_whole_tokenizer(folder / "tokenizer.json").encode(text).ids for text in TEXTS] == [
        other(text) for text in TEXTS
    ]
    assert [theirs(folder)(text) for text in TEXTS] == [other(text) for text in TEXTS]
    assert compare(folder) == TokenizerComparison()


CHARACTERS = (
    "AAQAAAAgAAAJCQAACgUAAAAAAIDMDAIADRkAAIEFAAAHAACAoC0AAIAgAgCLJQAAgBwCAIA9AACsCAIAgQUAAAQAAI"
    "CGBQAAAgAAgBMAAAASAAAAFQAAABQAAAAXAAAAFgAAABkAAAAYAAAAGwAAABoAAAC9KAIAHAAAAB8AAAAeAAAAIQAA"
    "ACAAAAAjAAAAIgAAACUAAAAkAAAAJwAAACYAAAApAAAAKAAAACsAAAAqAAAALQAAACwAAAAvAAAALgAAADEAAAAwAA"
    "AAMwAAADIAAAA1AAAANAAAADcAAAA2AAAAOQAAADgAAAA7AAAAOgAAAD0AAAA8AAAAPwAAAD4AAABBAAAAQAAAAEMA"
    "AABCAAAARQAAAEQAAABHAAAARgAAAEkAAABIAAAASwAAAEoAAABNAAAATAAAAE8AAABOAAAAUQAAAFAAAABTAAAAUg"
    "AAAFUAAABUAAAAVwAAAFYAAABZAAAAWAAAAFsAAABaAAAAXQAAAFwAAABfAAAAXgAAAGEAAABgAAAAYwAAAGIAAABl"
    "AAAAZAAAAGcAAABmAAAAaQAAAGgAAABrAAAAagAAAG0AAABllAIAbwAAAG4AAABxAAAAcAAAAHMAAAByAAAAdQAAAH"
    "QAAAB3AAAAdgAAAHkAAAB4AAAAewAAAHoAAAB9AAAAfAAAAH8AAAB+AAAAgQAAAIAAAACDAAAAggAAAIUAAACEAAAA"
    "hwAAAIYAAACJAAAAiAAAAIsAAACKAAAAjQAAAIwAAACPAAAAjgAAAJEAAACQAAAAkwAAAJIAAACVAAAAlAAAAJcAAA"
    "CWAAAAmQAAAJgAAACbAAAAmgAAAJ0AAACcAAAAnwAAAJ4AAAChAAAAoAAAAKMAAACiAAAApQAAAKQAAACnAAAApgAA"
    "AKkAAACoAAAAqwAAAKoAAACtAAAArAAAAK8AAACuAAAAsQAAALAAAACzAAAAsgAAALUAAAC0AAAAtwAAALYAAAC5AA"
    "AAuAAAALsAAAC6AAAAvQAAALwAAAC/AAAAvgAAAMEAAADAAAAAwwAAAMIAAADFAAAAxAAAAMcAAADGAAAAyQAAAMgA"
    "AADCiAEAygAAAM0AAADMAAAAzwAAAM4AAADRAAAA0AAAANMAAADSAAAA1QAAANQAAADXAAAA1gAAANkAAADYAAAA2w"
    "AAANoAAADdAAAA3AAAAN8AAADeAAAA4QAAAOAAAADjAAAA4gAAAOUAAADkAAAA5wAAAO8YAQDpAAAA6AAAAOKMAQDj"
    "gAEA7QAAAOwAAADvAAAA7gAAAPEAAADwAAAA8wAAAPIAAAD1AAAA9AAAAPcAAAD2AAAA+QAAAPgAAAD7AAAA+gAAAP"
    "0AAAD8AAAA/wAAAP4AAAAgAGYAZmkAw6kA"
)
"""SentencePiece's character map of a few rules: TAB, LF, CR, U+00A0, U+3000, U+200B are spaces."""

SHORTENS = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}
MARKS = {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}
STRIPS = {"type": "Strip", "strip_left": False, "strip_right": True}
SPLITS = {"type": "WhitespaceSplit"}
METASPACES: list[dict[str, Any]] = [
    {"type": "Metaspace", "replacement": "▁", "str_rep": "▁", "add_prefix_space": True},
    {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": True},
]
LAYOUTS: list[tuple[str, list[dict[str, Any]], list[dict[str, Any]]]] = [
    ("only the character map, Metaspace", [], []),
    ("spaces shortened, Metaspace", [SHORTENS], []),
    ("spaces marked, Metaspace", [STRIPS, MARKS], []),
    ("spaces marked, words", [MARKS], [SPLITS]),
]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout[0])
@pytest.mark.parametrize("model_type", ["xlm-roberta", "camembert"])
@pytest.mark.parametrize("metaspace", METASPACES, ids=["old", "new"])
def test_published_layouts_of_sentencepiece_are_adopted(
    tmp_path: Path, layout: Any, model_type: str, metaspace: dict[str, Any]
) -> None:
    """Each way in which transformers has written XLM-R's tokenizer since version 3."""
    _, more, before = layout
    folder = write_tokenizer_of(tmp_path, model_type)
    stored = json.loads((folder / "tokenizer.json").read_text())
    steps = [{"type": "Precompiled", "precompiled_charsmap": CHARACTERS}, *more]
    stored["normalizer"] = {"type": "Sequence", "normalizers": steps}
    stored["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [*before, metaspace]}
    write_json(folder / "tokenizer.json", stored)

    found = compare(folder)

    assert found.faults == ()
    assert found.rebuilt is not None
    other = theirs(folder)
    texts = [*TEXTS, "fish\u3000lamp\u200bx \ufb01sh", " \t fish\r\n  <s>  </s> lamp  "]
    assert [found.rebuilt.encode(text).ids for text in texts] == [other(text) for text in texts]


REFUSED: list[tuple[str, dict[str, Any]]] = [
    ("bert", {"cls_token": "fish"}),
    ("qwen3", {"add_prefix_space": True}),
]


@pytest.mark.parametrize(("model_type", "config"), REFUSED)
def test_where_transformers_4_and_5_differ_both_ids_are_shown_and_a_line_mends_it(
    tmp_path: Path, model_type: str, config: dict[str, Any]
) -> None:
    from transformers import AutoTokenizer

    folder = write_tokenizer_of(tmp_path, model_type, **config)
    plain = tokenizer_of(model_type)

    (fault,) = compare(folder).faults
    text = fault.split("'")[1]
    row = plain.encode(text).ids
    assert (
        f"has the ids {row} by tokenizer.json, as in transformers 4, but {theirs(folder)(text)} in"
        in fault
    )
    line = resave_line(source_of(folder))
    assert line in fault

    exec(line, {"AutoTokenizer": AutoTokenizer})
    assert compare(folder) == TokenizerComparison()
    mended = load_whole_tokenizer(folder / "tokenizer.json")
    assert mended.encode(text).ids == theirs(folder)(text)


def test_an_added_token_that_only_transformers_4_keeps_is_refused(tmp_path: Path) -> None:
    special = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False)
    folder = write_tokenizer_of(
        tmp_path,
        "bert",
        added_tokens_decoder={"0": {"content": "[PAD]", **special, "special": True}},
    )
    stored = json.loads((folder / "tokenizer.json").read_text())
    number = stored["model"]["vocab"]["fish"]
    stored["added_tokens"].append({"id": number, "content": "fish", **special, "special": False})
    write_json(folder / "tokenizer.json", stored)
    assert (
        theirs(folder)("fishfish")
        != load_whole_tokenizer(folder / "tokenizer.json").encode("fishfish").ids
    )

    (fault,) = compare(folder).faults

    assert (
        "its added token 'fish' is missing in the BertTokenizer that transformers 5 makes" in fault
    )


def test_a_token_that_only_the_class_asks_for_does_not_grow_the_word_table(tmp_path: Path) -> None:
    """BertTokenizer adds a [MASK] with a new id; a text with it has no vector in transformers."""
    folder = write_tokenizer_of(tmp_path, "bert", mask_token=None, do_lower_case=False)
    stored = json.loads((folder / "tokenizer.json").read_text())
    stored["added_tokens"] = [row for row in stored["added_tokens"] if row["content"] != "[MASK]"]
    vocabulary = stored["model"]["vocab"]
    vocabulary["[other]"] = vocabulary.pop("[MASK]")
    write_json(folder / "tokenizer.json", stored)
    assert max(theirs(folder)("[MASK]")) == len(vocabulary)

    found = compare(folder)

    assert found.faults == ()
    assert found.rebuilt is not None
    assert found.rebuilt.token_to_id("[MASK]") is None
    assert found.rebuilt.encode("Fish sleep").ids == theirs(folder)("Fish sleep")


def test_a_tokenizer_written_in_another_way_passes(tmp_path: Path) -> None:
    """No text shows a difference: the normalizer twice, and RoBERTa's post-processor."""
    from tokenizers import normalizers, processors

    folder = write_tokenizer_of(tmp_path, "mpnet", strip_accents=False, do_lower_case=False)
    plain = tokenizer_of("mpnet")
    cased = normalizers.BertNormalizer(strip_accents=False, lowercase=False)
    plain.normalizer = normalizers.Sequence([cased, cased])
    plain.post_processor = processors.RobertaProcessing(("</s>", 1), ("<s>", 0))
    plain.save(str(folder / "tokenizer.json"))

    assert compare(folder) == TokenizerComparison()
    assert_same(folder)


@pytest.mark.parametrize("name", ["BigBirdTokenizer", "XLNetTokenizerFast", "BertweetTokenizer"])
def test_a_class_that_minnow_does_not_know_is_refused_by_name(tmp_path: Path, name: str) -> None:
    folder = write_tokenizer_of(tmp_path, "bert", tokenizer_class=name)

    (fault,) = compare(folder).faults

    assert f"its class in transformers, {name.removesuffix('Fast')}, builds" in fault
    assert "set tokenizer_class to PreTrainedTokenizerFast" in fault


@pytest.mark.parametrize("name", [None, "RobertaTokenizer"])
def test_a_class_of_another_type_of_tokenizer_is_refused_and_mended_by_its_name(
    tmp_path: Path, name: str | None
) -> None:
    """An XLM-R vocabulary under `model_type` bert, or under the class of RoBERTa."""
    folder = write_tokenizer_of(tmp_path, "xlm-roberta", tokenizer_class=name)
    edit_json(folder / "config.json", model_type="bert")
    plain = tokenizer_of("xlm-roberta")
    text = "how do fish sleep"
    assert theirs(folder)(text) != plain.encode(text).ids

    (fault,) = compare(folder).faults

    assert "of a vocabulary of type Unigram" in fault
    edit_json(folder / "tokenizer_config.json", tokenizer_class="PreTrainedTokenizerFast")
    assert compare(folder) == TokenizerComparison()
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


@pytest.mark.parametrize("model_type", CLASSES)
def test_pairs_of_texts_have_the_ids_and_types_of_transformers(
    model_type: str, tmp_path: Path
) -> None:
    """And minnow knows whether the network is given the types, or says that it is ambiguous."""
    from transformers import AutoTokenizer

    folder = write_tokenizer_of(tmp_path, model_type)
    if model_type == "albert":  # of this class alone the file's own template wins
        tokenizer = load_whole_tokenizer(folder / "tokenizer.json")
        tokenizer.post_processor = rebuild_tokenizer(
            read_tokenizer_files(source_of(folder))
        ).post_processor
        tokenizer.save(str(folder / "tokenizer.json"))
    files = read_tokenizer_files(source_of(folder))
    peer = AutoTokenizer.from_pretrained(folder)
    found = rebuild_tokenizer(files).encode("how do fish sleep", "the river")
    expected = peer("how do fish sleep", "the river", return_token_type_ids=True)
    assert (found.ids, found.type_ids) == (expected["input_ids"], expected["token_type_ids"])
    try:
        given = gives_token_types(files)
    except AmbiguousModelError:
        return
    assert given == ("token_type_ids" in peer.model_input_names)
