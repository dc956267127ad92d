from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from fakes.checkpoint import (
    VOCABULARY,
    change_tokenizer,
    edit_json,
    source_of,
    write_json,
    write_model,
    write_tokenizer,
)
from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors

from minnow.errors import SourceError, SourceNotFoundError
from minnow.model.config import read_encoder_spec
from minnow.model.tokenizer_adoption import SourceTokenizer, show_rows
from minnow.model.tokenizer_check import check_tokenizer

if TYPE_CHECKING:
    from pathlib import Path


CONFIG = "tokenizer_config.json"
CLS, SEP = (VOCABULARY.index(token) for token in ("[CLS]", "[SEP]"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


def settled(folder: Path) -> SourceTokenizer:
    source = source_of(folder)
    return check_tokenizer(source, read_encoder_spec(source))


def check(folder: Path) -> None:
    settled(folder)


def refusal(folder: Path) -> str:
    with pytest.raises(SourceError) as caught:
        check(folder)
    return str(caught.value)


@pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
def test_files_that_agree_pass(tmp_path: Path, family: str) -> None:
    check(write_model(tmp_path / "model", family=family))


@pytest.mark.parametrize("name", ["vocab.txt", "tokenizer_config.json", "special_tokens_map.json"])
def test_files_beside_tokenizer_json_are_optional(folder: Path, name: str) -> None:
    (folder / name).unlink()

    check(folder)


def test_without_tokenizer_json_there_is_no_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()

    with pytest.raises(SourceNotFoundError, match=r"has no tokenizer\.json"):
        check(folder)


@pytest.mark.parametrize("content", ["", "{", "{}", "[]", '{"model": {"type": "Magic"}}'])
def test_a_tokenizer_that_cannot_be_read_is_named(folder: Path, content: str) -> None:
    (folder / "tokenizer.json").write_text(content)

    assert refusal(folder).startswith(
        f"{folder / 'tokenizer.json'} is not a tokenizer that can be read: "
    )


@pytest.mark.parametrize("gone", [["[UNK]"], None], ids=["the unknown token", "all words"])
def test_a_vocabulary_without_an_unknown_token_is_refused(
    folder: Path, gone: list[str] | None
) -> None:
    model = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    for token in gone or list(model["vocab"]):
        del model["vocab"][token]
    edit_json(folder / "tokenizer.json", model=model, added_tokens=[], post_processor=None)
    assert "not every text has ids (WordPiece error: Missing [UNK] token" in refusal(folder)


def test_ids_beyond_the_word_table_are_refused(folder: Path) -> None:
    change_tokenizer(folder / "tokenizer.json", lambda tokenizer: tokenizer.add_tokens(["covid"]))

    rows = len(VOCABULARY)
    assert f"'covid' has id {rows}, but the word table has {rows} rows" in refusal(folder)


def test_a_word_table_may_have_rows_to_spare(tmp_path: Path) -> None:
    check(write_model(tmp_path / "model", vocab_size=len(VOCABULARY) + 7))


def test_token_types_of_a_single_text_are_zero(folder: Path) -> None:
    def second_type(tokenizer: Tokenizer) -> None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A:1 [SEP]:1", special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)]
        )

    change_tokenizer(folder / "tokenizer.json", second_type)

    assert "it gives a single text token type ids other than 0" in refusal(folder)


def test_token_types_of_padding_do_not_matter(folder: Path) -> None:
    change_tokenizer(
        folder / "tokenizer.json", lambda t: t.enable_padding(pad_type_id=3, length=20)
    )

    check(folder)


@pytest.mark.parametrize("cut_by", ["tokenizer_config.json", "tokenizer.json"])
def test_a_tokenizer_that_cuts_off_the_beginning_is_refused(folder: Path, cut_by: str) -> None:
    if cut_by == "tokenizer.json":
        change_tokenizer(folder / cut_by, lambda t: t.enable_truncation(10, direction="left"))
    else:
        edit_json(folder / CONFIG, truncation_side="left")

    assert "long texts should lose their beginning, but minnow cuts off the end" in refusal(folder)


@pytest.mark.parametrize(
    ("key", "stated", "has"),
    [
        ("do_lower_case", False, "lowercase"),
        ("tokenize_chinese_chars", False, "handle_chinese_chars"),
        ("strip_accents", False, "strip_accents"),
    ],
)
def test_casing_that_a_file_states_is_adopted(
    folder: Path, key: str, stated: Any, has: str
) -> None:
    edit_json(folder / CONFIG, **{key: stated})

    found = settled(folder)

    assert json.loads(found.content)["normalizer"][has] == stated
    assert str(found.rebuilt).startswith("BertTokenizer of transformers 5, in which ")


def test_files_that_agree_are_kept_byte_for_byte(folder: Path) -> None:
    content = (folder / "tokenizer.json").read_bytes()

    assert settled(folder) == SourceTokenizer(content)


def test_an_adopted_token_beyond_the_word_table_is_refused(folder: Path) -> None:
    edit_json(folder / CONFIG, additional_special_tokens=["<new>"])

    assert f"'<new>' has id {len(VOCABULARY)}, but the word table has" in refusal(folder)


@pytest.mark.parametrize("absent", ["do_lower_case", "file"])
def test_what_transformers_assumes_contradicts_too(folder: Path, absent: str) -> None:
    keeps_case = normalizers.BertNormalizer(lowercase=False)
    change_tokenizer(folder / "tokenizer.json", lambda t: setattr(t, "normalizer", keeps_case))
    if absent == "file":
        (folder / "tokenizer_config.json").unlink()
    else:
        edit_json(folder / CONFIG, without=(absent,))

    assert (
        "normalizer has lowercase False, but tokenizer_config.json means do_lower_case True, "
        in (refusal(folder))
    )


def test_casing_of_a_tokenizer_that_is_loaded_as_it_is_cannot_contradict(folder: Path) -> None:
    edit_json(folder / CONFIG, tokenizer_class="PreTrainedTokenizerFast", do_lower_case=False)

    check(folder)


def test_a_config_of_another_shape_is_refused(folder: Path) -> None:
    write_json(folder / "tokenizer_config.json", ["do_lower_case"])

    assert "tokenizer_config.json should hold a JSON object, not list" in refusal(folder)


def test_all_faults_are_named_together(folder: Path) -> None:
    change_tokenizer(folder / "tokenizer.json", lambda tokenizer: tokenizer.add_tokens(["covid"]))
    (folder / "vocab.txt").write_text("fish\n")
    edit_json(folder / CONFIG, truncation_side="left")

    message = refusal(folder)

    assert message.startswith(f"{folder / 'tokenizer.json'} does not fit its model: ")
    for fault in ("word table", "vocab.txt", "lose their beginning"):
        assert fault in message


# --- vocab.txt ---------------------------------------------------------------------------


def test_a_permuted_vocabulary_is_refused(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join(reversed(VOCABULARY)))

    last = VOCABULARY[-1]
    assert (
        f"{len(VOCABULARY)} tokens of vocab.txt have another id in it "
        f"({last!r} has {len(VOCABULARY) - 1}, not 0)." in refusal(folder)
    )


def test_a_token_that_only_the_vocabulary_has_is_refused(folder: Path) -> None:
    (folder / "vocab.txt").write_text("\n".join([*VOCABULARY, "covid"]))

    assert "1 tokens of vocab.txt have another id in it ('covid' has none, not " in refusal(folder)


def test_a_vocabulary_that_is_not_utf_8_is_refused(folder: Path) -> None:
    content = "\n".join(VOCABULARY).encode().replace(b"\nfish\n", b"\nfi\xffsh\n")
    (folder / "vocab.txt").write_bytes(content)

    assert "1 tokens of vocab.txt have another id in it ('fi\ufffdsh' has none" in refusal(folder)


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r\n"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_line_ends_of_the_vocabulary_do_not_matter(folder: Path, newline: str, end: str) -> None:
    (folder / "vocab.txt").write_bytes((newline.join(VOCABULARY) + end).encode())

    check(folder)


@pytest.mark.parametrize(
    "token", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\xa0", "\u3000", " ", "a\u2028b"]
)
def test_a_token_like_white_space_does_not_shift_those_after_it(tmp_path: Path, token: str) -> None:
    folder = write_model(tmp_path / "model", vocab_size=len(VOCABULARY) + 2)
    write_tokenizer(folder, (*VOCABULARY, token, "covid"))

    check(folder)


def test_of_a_token_named_twice_the_last_id_counts(folder: Path) -> None:
    repeated = [*VOCABULARY[:-1], "the", VOCABULARY[-1]]
    ids = {token: i for i, token in enumerate(repeated)}
    stored = json.loads((folder / "tokenizer.json").read_text())
    stored["model"]["vocab"] = ids
    write_json(folder / "tokenizer.json", stored)
    (folder / "vocab.txt").write_text("\n".join(repeated))
    config = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**config, "vocab_size": len(repeated)})

    check(folder)


# --- where transformers 4 and 5 differ ---------------------------------------------------


@pytest.mark.parametrize(("stated", "refused"), [(True, True), (False, False)])
def test_an_end_token_that_only_the_config_asks_for_is_refused(
    folder: Path, stated: bool, refused: bool
) -> None:
    """transformers 4 puts it behind every text, 5 does not: the last token is another one."""
    bytes_first = pre_tokenizers.Sequence(
        [pre_tokenizers.ByteLevel(), pre_tokenizers.Split(" ", "isolated")]
    )
    change_tokenizer(folder / "tokenizer.json", lambda t: setattr(t, "pre_tokenizer", bytes_first))
    edit_json(folder / CONFIG, tokenizer_class="LlamaTokenizerFast", eos_token="[MASK]")
    edit_json(folder / CONFIG, add_eos_token=stated)

    if refused:
        assert "has add_eos_token True, which transformers 4 follows" in refusal(folder)
    else:
        check(folder)


@pytest.mark.parametrize("stored", [True, False])
def test_a_prefix_space_that_only_transformers_4_takes_is_refused(
    folder: Path, stored: bool
) -> None:
    space = pre_tokenizers.ByteLevel(add_prefix_space=stored)
    change_tokenizer(folder / "tokenizer.json", lambda t: setattr(t, "pre_tokenizer", space))
    edit_json(
        folder / CONFIG, tokenizer_class="PreTrainedTokenizerFast", add_prefix_space=not stored
    )

    assert f"has add_prefix_space {stored}, which transformers 5 follows" in refusal(folder)


# --- what surrounds a text ---------------------------------------------------------------


def test_ids_of_other_tokens_in_the_post_processor_are_refused(folder: Path) -> None:
    stored = json.loads((folder / "tokenizer.json").read_text())
    stored["post_processor"]["special_tokens"]["[CLS]"]["ids"] = [7]
    write_json(folder / "tokenizer.json", stored)

    message = refusal(folder)

    assert f"its post-processor writes id 7 for '[CLS]', whose id is {CLS}" in message
    assert "has the ids [7, " in message
    assert f"but [{CLS}, " in message


def test_no_post_processor_is_refused_where_transformers_makes_one(folder: Path) -> None:
    stored = json.loads((folder / "tokenizer.json").read_text())
    write_json(folder / "tokenizer.json", {**stored, "post_processor": None})

    assert f"by tokenizer.json, as in transformers 4, but [{CLS}, " in refusal(folder)

    edit_json(folder / CONFIG, tokenizer_class="PreTrainedTokenizerFast")
    check(folder)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("padding_side", "left", "set padding_side to right"),
        ("auto_map", {"AutoTokenizer": ["a.B", None]}, "code of its own (auto_map)"),
        ("split_special_tokens", True, "split_special_tokens"),
        ("fast_tokenizer_files", ["tokenizer.5.0.json"], "fast_tokenizer_files"),
        ("model_input_names", ["input_ids"], "no attention mask"),
    ],
)
def test_a_key_that_changes_vectors_in_another_way_is_refused(
    folder: Path, key: str, value: Any, named: str
) -> None:
    edit_json(folder / CONFIG, **{key: value})

    assert named in refusal(folder)


def test_padding_on_the_left_is_no_fault_where_positions_skip_it(tmp_path: Path) -> None:
    folder = write_model(tmp_path / "model", family="roberta")
    edit_json(folder / CONFIG, padding_side="left")

    check(folder)


def test_a_token_that_is_no_object_is_refused(folder: Path) -> None:
    edit_json(folder / CONFIG, added_tokens_decoder={"5": "fish"})

    assert "is not as transformers writes it" in refusal(folder)


def test_a_tokenizer_of_enormous_size_is_refused_in_a_line(folder: Path) -> None:
    with (folder / "tokenizer.json").open("r+b") as file:
        file.truncate(300 << 20)  # sparse: it takes no room on the disk

    assert "is larger than 256 MB" in refusal(folder)


# --- messages ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "shown"),
    [
        ([2, 7, 3], [2, 8, 3], ("[2, 7, 3]", "[2, 8, 3]")),
        ([7], [2, 7, 3], ("[7]", "[2, 7, 3]")),
        (
            list(range(40)),
            [*range(30), 99],
            (
                "[..., 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, ...]",
                "[..., 24, 25, 26, 27, 28, 29, 99]",
            ),
        ),
        (
            list(range(20)),
            list(range(19)),
            ("[..., 13, 14, 15, 16, 17, 18, 19]", "[..., 13, 14, 15, 16, 17, 18]"),
        ),
    ],
)
def test_rows_of_ids_are_shown_where_they_differ(
    ours: list[int], theirs: list[int], shown: tuple[str, str]
) -> None:
    assert show_rows(ours, theirs) == shown
