"""Byte-level BPE in MNN's engine: the same ids, or a refusal with a reason."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from native.test_cpp_bpe_unigram import LANGUAGES, MAKERS, QWEN, byte_level, texts
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from minnow.errors import ConversionError, InputError
from minnow.export.mnn_llm import classes
from minnow.export.mnn_llm.byte_level import byte_level_file
from minnow.export.mnn_llm.classes import LETTER, NUMBER, SPACE, misjudged
from minnow.export.mnn_llm.engine import engine_ids
from minnow.export.mnn_llm.mtok import mtok_bytes
from minnow.export.mnn_llm.mtok_reader import parse_mtok
from minnow.export.mnn_llm.settings import MODEL, TOKENIZER, chat_template, write_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NEW = "\U00013460\U0002ebf0\ua7cb\U00010d4a"
"""Letters of Unicode 15.1 and 16, which MNN 3.6.1 does not know as such."""
SPOKEN = [
    f"{a}{c}{b}"
    for c in (*NEW, "\U00010d40", "\x85", "\u2028", "\u2029", *map(chr, range(1, 32)), "\x7f", "ſ")
    for a in ("", "a", "1", "'", " ", "€", "\u2028", NEW)
    for b in ("", "a", "1", " ", "€€", "\n x", "<mask>", "\u3000 <mask> <mask>", "   [MASK]")
]


def modernbert() -> Tokenizer:
    """Make one with tokens of spaces, and with tokens that are looked for in normalised text."""
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = byte_level(plain, normalizers.NFC())
    tokenizer.add_tokens([AddedToken(" " * n, normalized=True) for n in range(9, 1, -1)])
    tokenizer.add_tokens([AddedToken("|||IP|||", normalized=True)])
    tokenizer.add_special_tokens(["[SEP]"])
    return tokenizer


def whole_words() -> Tokenizer:
    tokenizer = MAKERS["Llama 3"]()
    return _changed(tokenizer, ignore_merges=True)


def _changed(tokenizer: Tokenizer, **options: Any) -> Tokenizer:
    stated = json.loads(tokenizer.to_str())
    stated["model"] |= options
    return Tokenizer.from_str(json.dumps(stated))


@pytest.mark.parametrize(
    "make",
    [
        MAKERS["RoBERTa"],
        MAKERS["with a space"],
        MAKERS["Qwen2"],
        pytest.param(modernbert, id="ModernBERT"),
        pytest.param(whole_words, id="Llama 3"),
    ],
)
def test_the_engine_gives_the_same_ids(make: Callable[[], Tokenizer], tmp_path: Path) -> None:
    tokenizer = make()
    given = [*SPOKEN, *texts()[::2], "a    b" + "  " * 40 + "x |||IP||| \n\n  y   "]
    if tokenizer.normalizer:
        given = list(map(tokenizer.normalizer.normalize_str, given))
    file = byte_level_file(tokenizer, chat_template(tokenizer))
    (tmp_path / TOKENIZER).write_bytes(mtok_bytes(file))
    (tmp_path / MODEL).write_bytes(b"no model; the tokenizer does not need it")
    write_settings(tmp_path, 32, file.template, None)
    right = [encoding.ids for encoding in tokenizer.encode_batch(given)]
    found = engine_ids(tmp_path, given, tmp_path)
    assert [t for t, a, b in zip(given, found, right, strict=True) if a != b] == []
    assert parse_mtok(mtok_bytes(file)) == file


def test_characters_that_the_engine_judges_otherwise_are_found() -> None:
    found = misjudged()
    assert {found[c] for c in NEW} == {LETTER}
    assert found["\U00010d40"] == NUMBER
    assert [c for c, name in found.items() if name == SPACE] == ["\x85", "\u2028", "\u2029"]
    assert not {*found} & {*"aé鱼1², €\u3000\u200d", *"".join(LANGUAGES)}


def test_a_letter_of_the_engine_alone_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, "_CHARACTERS", range(0x100, 0x110))
    members = {classes.LETTER: "", classes.OTHER: "\u0101"}
    monkeypatch.setattr(classes, "_members", lambda name: members.get(name, ""))
    misjudged.cache_clear()
    with pytest.raises(ConversionError, match=r"takes U\+0101 for a letter"):
        misjudged()
    misjudged.cache_clear()


def _with_pattern(pattern: str) -> Tokenizer:
    tokenizer = MAKERS["Qwen2"]()
    split = pre_tokenizers.Split(Regex(pattern), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    return tokenizer


def _with_tokens(*tokens: AddedToken) -> Tokenizer:
    tokenizer = MAKERS["RoBERTa"]()
    tokenizer.add_tokens(list(tokens))
    return tokenizer


def _normalizing(normalizer: Any) -> Tokenizer:
    tokenizer = MAKERS["RoBERTa"]()
    tokenizer.normalizer = normalizer
    return tokenizer


def _without_merges() -> Tokenizer:
    return _changed(MAKERS["RoBERTa"](), merges=[], ignore_merges=True)


@pytest.mark.parametrize(
    ("tokenizer", "reason"),
    [
        (_with_pattern(QWEN + "|x"), "splits by no known pattern"),
        (Tokenizer(models.BPE()), r"\(none\) splits by no known pattern"),
        (Tokenizer(models.BPE()), "lacks some of the 256 bytes"),
        (_normalizing(normalizers.NFKC()), "its normalizer is NFKC, not NFC"),
        (_changed(MAKERS["RoBERTa"](), dropout=0.5), "drops merges at random"),
        (_changed(MAKERS["RoBERTa"](), end_of_word_suffix="</w>"), "marks where a word"),
        (_without_merges(), "its merges do not make"),
        (_with_tokens(AddedToken("whale", single_word=True)), "'whale' is a word of its own only"),
        (_with_tokens(AddedToken("whale", rstrip=True)), "takes the white space behind it"),
        (_with_tokens(AddedToken("the whale", normalized=True)), "in normalised text"),
        (_with_tokens(AddedToken("été", normalized=True)), "in normalised text"),
        (_with_tokens(AddedToken(" " * 3, normalized=True)), "not all lengths from 2 on"),
        (_with_tokens(AddedToken("  ", normalized=False)), "before text is normalised"),
        (_with_tokens(AddedToken("x<mask", normalized=False)), "may overlap"),
        (_with_tokens(AddedToken("<b>", lstrip=True, normalized=False)), "several of its tokens"),
    ],
)
def test_every_reason_is_named(tokenizer: Tokenizer, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        byte_level_file(tokenizer, "")
