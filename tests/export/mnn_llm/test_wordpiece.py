"""Tokenizers in MNN's engine: the same ids, or a refusal with a reason."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from fakes.checkpoint import SPECIALS, VOCABULARY
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, processors

from minnow.errors import InputError
from minnow.export.mnn_llm.engine import engine_ids
from minnow.export.mnn_llm.mtok import WordPiece, mtok_bytes
from minnow.export.mnn_llm.settings import MODEL, TOKENIZER, chat_template, write_settings
from minnow.export.mnn_llm.wordpiece import wordpiece_file
from minnow.model.tokenizer import lowercase_first
from minnow.proof.probes import probe_texts

if TYPE_CHECKING:
    from pathlib import Path

LETTERS = "éßñ的鲸鱼カフェд𠜎오กาمა"
WORDS = (*VOCABULARY, *LETTERS, *("##" + letter for letter in LETTERS), "É", "##É", "Fish", "##SH")
NORMALIZERS: dict[str, dict[str, Any]] = {
    "uncased": {"lowercase": True},
    "cased": {"lowercase": False},
    "cased without accents": {"lowercase": False, "strip_accents": True},
    "uncased with accents": {"lowercase": True, "strip_accents": False},
    "ideographs joined": {"lowercase": True, "handle_chinese_chars": False},
}


def a_tokenizer(**options: Any) -> Tokenizer:
    vocabulary = {word: i for i, word in enumerate(dict.fromkeys(WORDS))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(**options)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens(list(SPECIALS))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


def texts() -> list[str]:
    """The probes, and texts of letters, words and any characters."""
    found = [probe.text for probe in probe_texts(128, lambda text: len(text.split()))]
    drawn = random.Random(0)
    for size in (1, 5, 33, 34, 50, 99, 100, 101, 130) * 20:
        letters = "".join(drawn.choice(LETTERS + "abc") for _ in range(size))
        anything = "".join(chr(drawn.choice(ANY)) for _ in range(size))
        words = " ".join(drawn.choice(WORDS) for _ in range(size // 5))
        found += [letters, anything, words]
    return [text.replace("\0", "") for text in found]


ANY = [c for c in range(1, 0x30000) if not 0xD800 <= c < 0xE000]
ANY += [*range(1, 0x3000)] * 8 + [*range(0xE0000, 0xE0200), *range(0xF0000, 0xF0010), 0x10FFFF]


def ids_in_the_engine(tokenizer: Tokenizer, folder: Path) -> list[list[int]]:
    file = wordpiece_file(tokenizer, chat_template(tokenizer))
    (folder / TOKENIZER).write_bytes(mtok_bytes(file))
    (folder / MODEL).write_bytes(b"no model; the tokenizer does not need it")
    write_settings(folder, 32, file.template, None)
    work = folder / "work"
    work.mkdir()
    return engine_ids(folder, texts(), work)


@pytest.mark.parametrize("options", NORMALIZERS.values(), ids=NORMALIZERS)
def test_the_engine_gives_the_same_ids(options: dict[str, Any], tmp_path: Path) -> None:
    tokenizer = a_tokenizer(**options)
    expected = [encoding.ids for encoding in tokenizer.encode_batch(texts())]
    assert ids_in_the_engine(tokenizer, tmp_path) == expected


def test_text_is_lowered_where_the_source_asks(tmp_path: Path) -> None:
    tokenizer = a_tokenizer(lowercase=False)
    lowercase_first(tokenizer)
    expected = [encoding.ids for encoding in tokenizer.encode_batch(texts())]
    assert ids_in_the_engine(tokenizer, tmp_path) == expected


def test_words_are_counted_in_characters(tmp_path: Path) -> None:
    """The engine counts bytes; a test of the test above, whose texts must show it."""
    lengths = {len(word.encode()) for text in texts() for word in text.split() if word.isalpha()}
    assert any(100 < length <= 400 for length in lengths)


def refused(tokenizer: Tokenizer) -> str:
    with pytest.raises(InputError) as caught:
        replace(wordpiece_file(tokenizer, ""), template=chat_template(tokenizer))
    return str(caught.value)


def test_every_reason_is_named() -> None:
    tokenizer = a_tokenizer(clean_text=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_tokens([AddedToken("water", single_word=True, normalized=False)])
    tokenizer.add_tokens([AddedToken("river", normalized=True)])
    message = refused(tokenizer)
    for reason in (
        "does not clean text",
        "pre-tokenizer is Whitespace",
        "'water' is a word of its own only",
        "'river' is looked for in normalised text",
    ):
        assert reason in message


def test_other_normalizers_are_refused() -> None:
    tokenizer = a_tokenizer()
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    assert "normalizer is NFKC + Lowercase" in refused(tokenizer)
    tokenizer = Tokenizer(models.WordPiece({"[UNK]": 0}, unk_token="[UNK]"))
    assert "normalizer is none" in refused(tokenizer)
    tokenizer.normalizer = normalizers.Sequence([])
    assert "normalizer is none" in refused(tokenizer)


def test_a_limit_beyond_all_words_is_the_engines_largest() -> None:
    tokenizer = a_tokenizer()
    model = models.WordPiece(
        {word: i for i, word in enumerate(dict.fromkeys(WORDS))},
        unk_token="[UNK]",
        max_input_chars_per_word=10**12,
    )
    tokenizer.model = model
    made = wordpiece_file(tokenizer, "").model
    assert isinstance(made, WordPiece)
    assert made.longest_word == 2**31 - 1


def test_gaps_and_a_missing_unknown_token_are_refused() -> None:
    tokenizer = Tokenizer(models.WordPiece({"a": 0, "b": 2}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    message = refused(tokenizer)
    assert "have gaps" in message
    assert "'[UNK]' is not in its vocabulary" in message


def test_special_tokens_that_jinja_would_read_are_refused() -> None:
    tokenizer = a_tokenizer()
    tokenizer.add_special_tokens(["{{x}}"])
    number = tokenizer.token_to_id("{{x}}")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="{{x}} $A", special_tokens=[("{{x}}", number)]
    )
    assert "special tokens around a text" in refused(tokenizer)


def test_two_special_tokens_behind_a_text_are_refused() -> None:
    tokenizer = a_tokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP] [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    assert "puts 2 special tokens behind a text" in refused(tokenizer)
