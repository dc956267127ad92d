"""MNN-LLM's tokenizer file: what is written is read again, and damage is named."""

from __future__ import annotations

import struct
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.errors import InputError
from minnow.export.mnn_llm.mtok import (
    AddedToken,
    BertSteps,
    BertWords,
    Bpe,
    CharacterTable,
    PrefixSpace,
    Replace,
    Split,
    TokenizerFile,
    VisibleBytes,
    WordPiece,
    mtok_bytes,
)
from minnow.export.mnn_llm.mtok_reader import parse_mtok, read_mtok

if TYPE_CHECKING:
    from pathlib import Path

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
number = st.integers(0, 2**32 - 1)
normalizers = st.one_of(
    st.builds(Replace, st.binary(max_size=5), st.binary(max_size=5)),
    st.builds(CharacterTable, st.dictionaries(number, text, max_size=5)),
    st.builds(BertSteps, st.booleans(), st.booleans(), st.booleans()),
)
steps = st.one_of(
    *map(st.builds, (BertWords, PrefixSpace, VisibleBytes)), st.builds(Split, text, st.booleans())
)
tokens = st.lists(text, max_size=20, unique=True).map(tuple)
models = st.one_of(
    st.builds(WordPiece, tokens, text, text, number),
    st.builds(Bpe, tokens, st.dictionaries(st.tuples(number, number), number, max_size=5)),
)
files = st.builds(
    TokenizerFile,
    normalizers=st.lists(normalizers, max_size=4).map(tuple),
    pre_tokenizers=st.lists(steps, min_size=1, max_size=4).map(tuple),
    model=models,
    added=st.lists(st.builds(AddedToken, number, text, st.booleans()), max_size=3).map(tuple),
    template=text,
)

SMALL = TokenizerFile(
    normalizers=(Replace(b"\xee", b""), BertSteps(clean=True), CharacterTable({65: "a"})),
    pre_tokenizers=(BertWords(),),
    model=WordPiece(("[UNK]", "a", "##a"), "[UNK]", "##", 400),
    added=(AddedToken(0, "[UNK]"),),
    template="[CLS]{{ messages[0]['content'] }}",
)
BYTES = TokenizerFile(
    normalizers=(),
    pre_tokenizers=(Split("a+", removed=True), PrefixSpace(), VisibleBytes()),
    model=Bpe(("b", "a", "ab"), {(1, 0): 0, (0, 1): 7}),
    added=(),
    template="",
)


@given(files)
def test_what_is_written_is_read_again(file: TokenizerFile) -> None:
    assert parse_mtok(mtok_bytes(file)) == file


def test_the_layout_is_that_of_the_engine() -> None:
    """Written out by hand, part by part."""
    assert mtok_bytes(SMALL) == b"".join(
        [
            b"430 4\n0 0 0\n\n",
            b"\x04\x03\0\0\0",
            b"\x03\x01\0\xee\0\0",
            b"\x07\x01\0\0\0",
            b"\x06\x01\0\0\0" + struct.pack("<IH", 65, 1) + b"a",
            b"\x05",
            b"\x01\x03\0\0\0\x05\0[UNK]\x02\0##" + struct.pack("<I", 400),
            b"\x03\0##a\x02\0\0\0" + b"\x05\0[UNK]\0\0\0\0" + b"\x01\0a\x01\0\0\0",
            b"\x03\x02\0##\0",
            b"\x01\0\0\0" + b"\0\0\0\0\x01\0\0\x05\0[UNK]",
            struct.pack("<I", len(SMALL.template)) + SMALL.template.encode(),
            b"\0\0\0\0\0",
        ]
    )


def test_the_layout_of_bpe_is_that_of_the_engine() -> None:
    assert mtok_bytes(BYTES) == b"".join(
        [
            b"430 4\n0 0 0\n\n",
            b"\x04\0\0\0\0",
            b"\x06\x03\0\0\0" + b"\x04\x02\0a+\0\x01" + b"\x03\x01\0 \x01" + b"\x01\0",
            b"\0\x03\0\0\0\0\0\x02\0\0\0",
            b"\x01\0a\x01\0\0\0" + b"\x02\0ab\x02\0\0\0" + b"\x01\0b\0\0\0\0",
            struct.pack("<6I", 0, 1, 7, 1, 0, 0),
            b"\0",
            b"\0\0\0\0" + b"\0\0\0\0\0" + b"\0\0\0\0",
        ]
    )


def test_a_file_that_ends_early_is_damaged() -> None:
    content = mtok_bytes(SMALL)
    for size in range(len(content)):
        with pytest.raises(InputError):
            parse_mtok(content[:size])


def test_bytes_after_the_end_are_damage() -> None:
    with pytest.raises(InputError, match="1 bytes follow its end"):
        parse_mtok(mtok_bytes(SMALL) + b"x")


@given(files, st.data())
def test_a_changed_byte_is_read_or_named(file: TokenizerFile, data: st.DataObject) -> None:
    content = bytearray(mtok_bytes(file))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    with suppress(InputError):
        assert parse_mtok(bytes(content)) is not None


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"430 4", b"430 3", "does not begin"),
        (b"\x05\x01\x03\0\0\0", b"\x02\x01\x03\0\0\0", "a pre-tokeniser of kind 2"),
        (b"\x05\x01\x03\0\0\0", b"\x05\x02\x03\0\0\0", "model is of kind 2"),
        (b"\x05\x01\x03\0\0\0", b"\x05\x01\xff\xff\0\0", "too short"),
        (b"##a\x02", b"##a\x07", "ids of its 3 tokens"),
        (b"\x03\0##a\x02", b"\x03\0[[[\x02", "not in order"),
        (b"\x07\x01\0\0\0", b"\x07\x01\0\x01\0", "kind 7 that minnow does not write"),
        (b"\x07\x01\0\0\0", b"\x07\x02\0\0\0", "is 2, not 0 or 1"),
        (b"\x02\0##\0", b"\x02\0\xff#\0", "not UTF-8"),
    ],
)
def test_each_kind_of_damage_is_named(old: bytes, new: bytes, message: str) -> None:
    content = mtok_bytes(SMALL)
    assert content.count(old) == 1
    with pytest.raises(InputError, match=message):
        parse_mtok(content.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (b"\x06\x03\0", b"\x06\x01\0", "lists 1 pre-tokenisers"),
        (b"a+\0\x01", b"a+\0\x02", "pre-tokeniser of kind 4"),
        (b"\x01\x01\0\0", b"\x01\x01\x01\0", "pre-tokeniser of kind 1"),
        (b"\0\x03\0\0\0\0\0", b"\0\x03\0\0\0\0\x01", "takes bytes by itself"),
        (struct.pack("<2I", 0, 1), struct.pack("<2I", 9, 1), "merges are not in order"),
    ],
)
def test_each_kind_of_damage_of_bpe_is_named(old: bytes, new: bytes, message: str) -> None:
    content = mtok_bytes(BYTES)
    with pytest.raises(InputError, match=message):
        parse_mtok(content.replace(old, new, 1))


def test_what_has_no_room_is_refused() -> None:
    with pytest.raises(InputError, match="70000 bytes"):
        mtok_bytes(replace(SMALL, model=Bpe(("a" * 70_000,), {})))
    with pytest.raises(InputError, match="two tokens of one name"):
        mtok_bytes(replace(SMALL, model=Bpe(("a", "a"), {})))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.mtok cannot be read"):
        read_mtok(tmp_path / "none.mtok")
    (tmp_path / "bad.mtok").write_bytes(b"430 4\n")
    with pytest.raises(InputError, match=r"bad\.mtok is not a tokenizer"):
        read_mtok(tmp_path / "bad.mtok")
