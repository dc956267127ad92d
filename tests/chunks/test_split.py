"""Chunks: none too long, nothing lost, cut where a reader would cut."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest
from fakes.checkpoint import write_tokenizer
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from minnow.chunks import Chunk, Document, Section, Splitter
from minnow.chunks.folder import read_text
from minnow.chunks.markdown import read_markdown
from minnow.chunks.split import StoredChunks
from minnow.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path


def words() -> Tokenizer:
    """Return a tokenizer with a token per word that BERT would see, and [CLS] and [SEP]."""
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "[CLS]": 1, "[SEP]": 2}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    from tokenizers.processors import TemplateProcessing

    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    return tokenizer


def byte_pairs() -> Tokenizer:
    """Several tokens per character, white space counts, and words and their spaces are joined."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {symbol: i for i, symbol in enumerate([*alphabet, "aa", "Ġa", "Ġaa", "ĊĊ"])}
    merges = [("a", "a"), ("Ġ", "a"), ("Ġ", "aa"), ("Ċ", "Ċ")]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def whole_text() -> Tokenizer:
    """Words are not divided first: tokens may reach over them."""
    pieces = [("<unk>", 0.0), *((c, -9.0) for c in "▁ab.\n"), ("a▁b", -1.0), (".▁a", -1.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    return tokenizer


TOKENIZERS = {"words": words(), "byte pairs": byte_pairs(), "whole text": whole_text()}


def pieces(document: Document, chunks: list[Chunk]) -> list[str]:
    return [document.text[chunk.start : chunk.end] for chunk in chunks]


def split(text: str, max_tokens: int = 16, **options: Any) -> list[str]:
    """Return the pieces of a text of a single section, of at most 14 words each by default."""
    document = read_text("a.txt", text)
    return pieces(document, Splitter(words(), max_tokens=max_tokens, **options).split(document))


def numbered(first: int, last: int, after: str = "") -> str:
    return " ".join(f"w{number}" for number in range(first, last + 1)) + after


class TestWhereItIsCut:
    def test_not_at_all_if_it_fits(self) -> None:
        assert split(numbered(1, 14)) == [numbered(1, 14)]

    @pytest.mark.parametrize(
        "parts",
        [
            (numbered(1, 7, ".") + " " + numbered(8, 9, "."), "\n\n", numbered(10, 20)),
            (numbered(1, 10, "."), " ", numbered(11, 13).upper() + " " + numbered(14, 20)),
            (numbered(1, 9, '."'), "\n", "(W10) " + numbered(11, 18)),
            ("- " + numbered(1, 9), "\n", "  - " + numbered(10, 18)),
            (numbered(1, 9), "\n", "W10 " + numbered(11, 18)),
            (numbered(1, 5) + "。" + numbered(6, 9) + "！", "", "W10 " + numbered(11, 18)),
            (numbered(1, 9), " ", numbered(10, 18)),
            (numbered(1, 9) + "，", "", numbered(10, 17)),
        ],
    )
    def test_at_the_best_place(self, parts: tuple[str, str, str]) -> None:
        before, space, after = parts
        assert split(before + space + after) == [before, after]

    @pytest.mark.parametrize("space", ["\n\n", " ", "\n"])
    def test_not_between_a_colon_and_what_it_announces(self, space: str) -> None:
        source = numbered(1, 8, ". Then:") + space + "- " + numbered(9, 15, ".")
        assert split(source)[0] == numbered(1, 8, ".")

    @pytest.mark.parametrize("end", ["e.g. W", "i.e. W", "approx. w"])
    def test_not_within_a_sentence(self, end: str) -> None:
        [first, *_] = split(f"{numbered(1, 8)}. W9 {end}10 {numbered(11, 30)}")
        assert first == numbered(1, 8, ".")

    def test_not_where_it_would_leave_a_scrap(self) -> None:
        assert split(numbered(1, 15)) == [numbered(1, 8), numbered(9, 15)]
        assert split(f"w0\n\n{numbered(1, 30)}")[0].startswith("w0\n\nw1 ")

    def test_lines_keep_their_indent(self) -> None:
        assert split(f"a:\n  {numbered(1, 9)}\n    {numbered(10, 18)}") == [
            f"a:\n  {numbered(1, 9)}",
            f"    {numbered(10, 18)}",
        ]

    def test_a_word_that_fits_no_chunk(self) -> None:
        dots = "." * 40
        assert split(f"a {dots} b") == ["a", "." * 14, "." * 14, "." * 12 + " b"]

    def test_sections_are_not_joined(self) -> None:
        document = read_markdown("a.md", "a\n# B\nb\n# C\n## D\nd")
        assert pieces(document, Splitter(words()).split(document)) == ["a", "b", "d"]


class TestChunk:
    def test_it_says_where_it_is_from(self) -> None:
        document = read_markdown("x/a.md", f"# A\n## B\n{numbered(1, 14)}")
        first, second = Splitter(words(), max_tokens=16).split(document)
        assert first == Chunk("x/a.md", 1, ("A", "B"), f"A > B\n{numbered(1, 7)}", 6, 26, 6)
        assert second.text == f"A > B\n{numbered(8, 14)}"
        assert (first.id, second.id) == ("x/a.md#1", "x/a.md#2")

    def test_headings_can_be_left_out(self) -> None:
        document = read_markdown("a.md", "# A\nb")
        [chunk] = Splitter(words(), with_headings=False).split(document)
        assert (chunk.headings, chunk.text) == (("A",), "b")

    @pytest.mark.parametrize(
        ("inner", "front"), [("C", "B > C\n"), ("c " * 5, "c c c c c\n"), ("c " * 9, "")]
    )
    def test_long_headings_leave_half_to_the_text(self, inner: str, front: str) -> None:
        document = read_markdown("a.md", f"# {'a ' * 9}\n## B\n### {inner}\n{numbered(1, 6)}")
        [chunk] = Splitter(words(), max_tokens=16).split(document)
        assert chunk.text == front + numbered(1, 6)

    def test_the_overlap_is_of_whole_words_and_within_a_section(self) -> None:
        document = read_markdown("a.md", f"# A\n{numbered(1, 28)}\n# B\n{numbered(29, 30)}")
        splitter = Splitter(words(), max_tokens=16, overlap=3, with_headings=False)
        texts = [chunk.text for chunk in splitter.split(document)]
        assert texts == [numbered(1, 11), numbered(9, 20), numbered(18, 28), numbered(29, 30)]

    def test_the_tokenizers_own_padding_and_truncation_do_not_count(self, tmp_path: Path) -> None:
        write_tokenizer(tmp_path)
        tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        before = tokenizer.to_str()
        [chunk] = Splitter(tokenizer, max_tokens=32).split(read_text("a.txt", "red fish " * 15))
        assert chunk.text.count("fish") == 15
        assert tokenizer.to_str() == before

    @pytest.mark.parametrize(
        ("options", "reason"),
        [
            ({"max_tokens": 15}, "at least 16 tokens, not 15"),
            ({"max_tokens": 40, "overlap": 11}, "from 0 to 10, not 11"),
            ({"overlap": -1}, "from 0 to 64, not -1"),
        ],
    )
    def test_limits_that_make_no_sense(self, options: Any, reason: str) -> None:
        with pytest.raises(InputError, match=reason):
            Splitter(words(), **options)

    def test_a_character_with_too_many_tokens(self) -> None:
        with pytest.raises(InputError, match=r"of 16 tokens has no room for .*'\\ufdfa'"):
            Splitter(byte_pairs(), max_tokens=16).split(read_text("a.txt", "a a \ufdfa"))


LETTERS = "ab .,:!?\n\t-*1é鱼。，😀\u0301\u200b\xa0İﬃ"
TEXTS = st.text(alphabet=LETTERS, max_size=200) | st.lists(
    st.sampled_from(["a", "aa b.", "B", "\n\n", "\n- ", " ", "鱼" * 30, "a" * 60, "😀" * 9, "."]),
    max_size=60,
).map("".join)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    """Any texts under any headings."""
    text, sections = "", []
    for part in draw(st.lists(TEXTS, min_size=1, max_size=3)):
        headings = tuple(
            draw(st.lists(st.sampled_from(["a", "B b", "é" * 9, "a " * 30]), max_size=3))
        )
        sections.append(Section(headings, len(text), len(text) + len(part)))
        text += part + "\n\n"
    return Document("a.md", text, tuple(sections))


class TestAnyText:
    @pytest.mark.parametrize("name", TOKENIZERS)
    @given(document=documents(), max_tokens=st.integers(32, 64))
    def test_no_chunk_is_too_long_and_nothing_is_lost(
        self, name: str, document: Document, max_tokens: int
    ) -> None:
        tokenizer = TOKENIZERS[name]
        chunks = Splitter(tokenizer, max_tokens=max_tokens).split(document)
        for chunk, piece in zip(chunks, pieces(document, chunks), strict=True):
            assert len(tokenizer.encode(chunk.text).ids) <= max_tokens
            assert chunk.text.endswith(piece)
            assert piece.strip()
        assert "".join("".join(pieces(document, chunks)).split()) == "".join(document.text.split())
        ends = [end for chunk in chunks for end in (chunk.start, chunk.end)]
        assert ends == sorted(ends)
        assert [chunk.number for chunk in chunks] == list(range(1, len(chunks) + 1))

    @given(document=documents(), overlap=st.integers(0, 8))
    def test_stored_ones_are_the_same(self, document: Document, overlap: int) -> None:
        chunks = Splitter(words(), max_tokens=32, overlap=overlap).split(document)
        stored = StoredChunks(document, chunks)
        assert list(stored) == chunks == list(stored)

    @pytest.mark.parametrize("name", TOKENIZERS)
    @given(text=TEXTS, overlap=st.integers(1, 8))
    def test_an_overlap_only_repeats(self, name: str, text: str, overlap: int) -> None:
        tokenizer, document = TOKENIZERS[name], read_text("a.txt", text)
        chunks = Splitter(tokenizer, max_tokens=32, overlap=overlap).split(document)
        end = 0
        for chunk in chunks:
            assert len(tokenizer.encode(chunk.text).ids) <= 32
            assert not document.text[end : chunk.start].strip()
            assert chunk.end > end
            end = chunk.end
        assert not document.text[end:].strip()

    @given(st.lists(st.sampled_from(["a", "bb.", "c,", "dd", "é-é"]), max_size=99), st.data())
    def test_words_stay_whole(self, parts: list[str], data: st.DataObject) -> None:
        spaces = st.sampled_from([" ", "\n", "\n\n", "  \n"])
        text = "".join(part + data.draw(spaces) for part in parts)
        assert " ".join(split(text)).split() == parts


class Counting:
    """A tokenizer that counts the characters that it is given."""

    padding = truncation = None

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer, self.characters = tokenizer, 0

    def encode(self, text: str) -> Any:
        self.characters += len(text)
        return self._tokenizer.encode(text)

    def encode_batch(self, texts: list[str], **options: Any) -> Any:
        self.characters += sum(map(len, texts))
        return self._tokenizer.encode_batch(texts, **options)


@pytest.mark.parametrize("name", TOKENIZERS)
@pytest.mark.parametrize("unit", ["a aa b. ", "aa", "a\n\n", "鱼", "a" + " " * 999, "😀"])
def test_the_work_grows_with_the_text_alone(name: str, unit: str) -> None:
    text = unit * (40_000 // len(unit))
    tokenizer = Counting(TOKENIZERS[name])
    Splitter(cast("Tokenizer", tokenizer), max_tokens=64).split(read_text("a.txt", text))
    assert tokenizer.characters <= 4 * len(text)


def test_stored_ones_have_the_names_of_columns() -> None:
    rows = "".join(f"| {numbered(n, n + 3)} | fish |\n" for n in range(9))
    document = read_markdown("a.md", f"# A\n\n| name | kind |\n|---|---|\n{rows}")
    chunks = Splitter(words(), max_tokens=32).split(document)
    assert sum("name" in chunk.text for chunk in chunks) > 1
    assert list(StoredChunks(document, chunks)) == chunks


def test_offsets_are_those_of_the_document() -> None:
    document = read_markdown("a.md", "# A\n\ntext\n\n## B\n\n- more\n")
    chunks = Splitter(words()).split(document)
    assert pieces(document, chunks) == ["text", "- more"]
    shifted = replace(document, text="xx" + document.text[2:])
    assert pieces(shifted, chunks) == ["text", "- more"]


class TestLargeDocuments:
    """They are measured in parts, here of 200 characters."""

    @pytest.fixture(autouse=True)
    def small_parts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("minnow.chunks.split._MAX_PART", 200)

    def test_sections_are_cut_as_in_one_part(self, monkeypatch: pytest.MonkeyPatch) -> None:
        source = "".join(f"# Part {n}\n\n{numbered(10 * n, 10 * n + 25)}\n\n" for n in range(9))
        document = read_markdown("a.md", source)
        splitter = Splitter(words(), max_tokens=20)
        parts = list(splitter.stream(document))
        monkeypatch.setattr("minnow.chunks.split._MAX_PART", 1_000_000)
        assert parts == splitter.split(document)
        assert len(parts) > 9

    def test_a_section_that_is_too_long_loses_nothing(self) -> None:
        text = "\n\n".join(numbered(30 * n, 30 * n + 29) for n in range(20)) + "x" * 500
        document = read_text("a.txt", text)
        chunks = Splitter(words(), max_tokens=20, overlap=2).split(document)
        covered = set()
        for chunk in chunks:
            covered |= set(range(chunk.start, chunk.end))
            assert chunk.text == text[chunk.start : chunk.end]
            assert len(words().encode(chunk.text)) <= 20
        assert not "".join(c for i, c in enumerate(text) if i not in covered).strip()
        assert [chunk.number for chunk in chunks] == list(range(1, len(chunks) + 1))
