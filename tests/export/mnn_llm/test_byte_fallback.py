"""Gemma's BPE in MNN's engine: the same ids, or a refusal with a reason."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from fakes.tokenizers import SPECIALS, tokenizer_of
from native.test_cpp_bpe_unigram import LANGUAGES, texts
from tokenizers import AddedToken, Tokenizer, models, normalizers, pre_tokenizers, trainers

from minnow.errors import InputError
from minnow.export.mnn_llm.byte_fallback import byte_fallback_file
from minnow.export.mnn_llm.engine import engine_ids
from minnow.export.mnn_llm.mtok import Split, mtok_bytes
from minnow.export.mnn_llm.mtok_reader import parse_mtok
from minnow.export.mnn_llm.settings import MODEL, TOKENIZER, chat_template, write_settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPOKEN = [
    "▁▁ a ▁ b▁c  ▁d▁  ", " ", "   ", "▁", "\n\n a\r\n\t x", "<0x41> <bos>a<eos> <mask> ▁▁▁<b></b>",
    "a" * 300 + " " * 300 + "b", "\x00\x01 \x07\x7f\x85\u2028",
]  # fmt: skip


def trained(*, across: bool) -> Tokenizer:
    """Train one on many languages, which merges within words, or across spaces too."""
    special = list(SPECIALS["gemma3_text"].values())
    letters = [f"<0x{byte:02X}>" for byte in range(256)]
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    trainer = trainers.BpeTrainer(vocab_size=1200, special_tokens=[*special, *letters])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=not across)
    tokenizer.train_from_iterator([*LANGUAGES[:14], "the  whale    sleeps" * 9], trainer)
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t in ("▁▁▁", "<b>", "</b>", "\n\n")])
    tokenizer.post_processor = tokenizer_of("gemma3_text").post_processor
    return tokenizer


@pytest.mark.parametrize("across", [False, True], ids=["within words", "across spaces"])
def test_the_engine_gives_the_same_ids(across: bool, tmp_path: Path) -> None:
    tokenizer = trained(across=across)
    given = [text.replace("\0", "") for text in [*SPOKEN, *texts()[::2]]]
    file = byte_fallback_file(tokenizer, chat_template(tokenizer))
    assert any(isinstance(step, Split) for step in file.pre_tokenizers) == (not across)
    assert parse_mtok(mtok_bytes(file)) == file
    (tmp_path / TOKENIZER).write_bytes(mtok_bytes(file))
    (tmp_path / MODEL).write_bytes(b"no model; the tokenizer does not need it")
    write_settings(tmp_path, 32, file.template, None)
    right = [encoding.ids for encoding in tokenizer.encode_batch(given)]
    found = engine_ids(tmp_path, given, tmp_path)
    assert [t for t, a, b in zip(given, found, right, strict=True) if a != b] == []


def _changed(**options: Any) -> Tokenizer:
    stated = json.loads(tokenizer_of("gemma3_text").to_str())
    stated["model"] |= options
    return Tokenizer.from_str(json.dumps(stated))


def _with(change: Callable[[Tokenizer], object]) -> Tokenizer:
    tokenizer = tokenizer_of("gemma3_text")
    change(tokenizer)
    return tokenizer


def _prepend(tokenizer: Tokenizer) -> None:
    steps = [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    tokenizer.normalizer = normalizers.Sequence(steps)


def _split(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()


@pytest.mark.parametrize(
    ("tokenizer", "reason"),
    [
        (_with(_prepend), "does more, or less, than to write spaces"),
        (_with(_split), "divides more than at spaces"),
        (_changed(dropout=0.5), "drops merges at random"),
        (_changed(end_of_word_suffix="</w>"), "marks where a word"),
        (_changed(ignore_merges=True), "whole words without merging"),
        (Tokenizer(models.BPE(byte_fallback=True)), "lacks some of the 256 bytes"),
        (_with(lambda t: t.add_tokens(["whale"])), "'whale' is a word of its own only"),
    ],
)
def test_every_reason_is_named(tokenizer: Tokenizer, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        byte_fallback_file(tokenizer, "")
