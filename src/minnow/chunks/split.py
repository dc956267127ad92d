"""Chunks of sections: within the limit, without loss of text, cut between sentences."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from minnow.chunks.outline import Section
from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tokenizers import Tokenizer

    from minnow.chunks.outline import Document, Table

_MIN_TOKENS = 16
_STRETCH = re.compile(r".{1,4000}(?=\s|\Z)|.{1,4000}", re.DOTALL)
_STRETCHES_PER_BATCH = 256
_MAX_PART = 1_000_000
_SPACE = re.compile(r"\s*")
_EMPTY_LINES = re.compile(r"\s*\n")

# A line that ends in a colon belongs to the next one.
_PARAGRAPH = re.compile(r"(?<![:：\s])\s*\n\s*\n")
_SENTENCE = re.compile(
    r"(?<=[.!?…])(?<!e\.g\.)(?<!i\.e\.)[\"'”’»)\]]*\s+(?![\sa-z])"
    r"|(?<=[。！？])[”’」』）]*\s*"
    r"|(?<![:：\s])\s*\n(?=[^\S\n]*(?:[-*+•]|\d{1,9}[.)])\s)"  # an item of a list
)
_LINE = re.compile(r"\n")
_WORD = re.compile(r"\s+|(?<=[，、；：])")
_BREAKS = (_PARAGRAPH, _SENTENCE, _LINE, _WORD)


@dataclass(frozen=True)
class Chunk:
    """A piece of a document that a model embeds without truncation.

    Attributes:
        document: The document's path.
        number: Its number in the document, from 1.
        headings: The headings above it, the outermost first.
        text: The text to embed: a line of headings, if they fit, the names of columns if the piece
            begins within a table, and the piece.
        start: The start of the piece in the document's text, in characters.
        end: Its end.
        body: Where the text begins behind the headings.
    """

    document: str
    number: int
    headings: tuple[str, ...]
    text: str
    start: int
    end: int
    body: int = 0

    @property
    def id(self) -> str:
        """The document and the number, such as "alerting/index.md#3"."""
        return f"{self.document}#{self.number}"


class StoredChunks:
    """The chunks of a document of any length, which take 24 bytes each beside the document."""

    def __init__(self, document: Document, chunks: Iterable[Chunk]) -> None:
        """Take all chunks of a document, in order."""
        self._document = document
        self._fronts: dict[tuple[tuple[str, ...], str, int], int] = {}
        self._rows = array("Q")
        for chunk in chunks:
            lead = chunk.text[: len(chunk.text) - (chunk.end - chunk.start)]
            front = (chunk.headings, lead, chunk.body)
            number = self._fronts.setdefault(front, len(self._fronts))
            self._rows.extend((number, chunk.start, chunk.end))

    def __iter__(self) -> Iterator[Chunk]:
        fronts = list(self._fronts)
        rows = [iter(self._rows)] * 3
        for number, (front, start, end) in enumerate(zip(*rows, strict=True), start=1):
            headings, lead, body = fronts[front]
            text = lead + self._document.text[start:end]
            yield Chunk(self._document.path, number, headings, text, start, end, body)


class Splitter:
    """Splitter of documents into chunks, measured by a model's own tokenizer."""

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        max_tokens: int = 256,
        overlap: int = 0,
        with_headings: bool = True,
    ) -> None:
        """Set the limits.

        Args:
            tokenizer: The model's tokenizer; its padding and truncation are ignored.
            max_tokens: The longest chunk, special tokens and headings included.
            overlap: About how many tokens of the previous chunk of the same section to repeat.
            with_headings: Put the headings in front of each chunk's text. Outer headings are left
                out if all would take more than half of the tokens.

        Raises:
            InputError: `max_tokens` is below 16, or `overlap` negative or above a quarter of it.
        """
        if max_tokens < _MIN_TOKENS:
            raise InputError(f"A chunk needs at least {_MIN_TOKENS} tokens, not {max_tokens}.")
        if not 0 <= overlap <= max_tokens // 4:
            raise InputError(
                f"The overlap of chunks of {max_tokens} tokens should be from 0 to "
                f"{max_tokens // 4}, not {overlap}."
            )
        self.max_tokens, self.overlap, self.with_headings = max_tokens, overlap, with_headings
        self._tokenizer = _without_limits(tokenizer)

    def split(self, document: Document) -> list[Chunk]:
        """Cut a document into chunks, in order.

        A section is cut between paragraphs if that leaves no chunk less than half full, otherwise
        between sentences, lines or words; within a word only if it is longer than a chunk, or
        than 4,000 characters. All characters except white space are in a chunk. A piece that begins
        within a table repeats the rows that name its columns, unless they take more than half of
        the room; rows are cut only where one is longer than a chunk.

        Raises:
            InputError: A single character has more tokens than a chunk may have.
        """
        return list(self.stream(document))

    def stream(self, document: Document) -> Iterator[Chunk]:
        """Yield the chunks that `split` returns.

        A document of more than a million characters is measured in parts, so that the tokens of
        only one part are in memory. A longer section is first divided there, at an empty line, a
        line end or a space if there is one.
        """
        number = 0
        for offset, part in _parts(document):
            text = document.text[offset : part[-1].end]
            measured = _Measured(text, self._tokenizer, _Tables(document, offset))
            for section in part:
                head = self._head(section.headings)
                here = Section(section.headings, section.start - offset, section.end - offset)
                for columns, start, end in self._pieces(measured, here, head):
                    number += 1
                    yield Chunk(
                        document.path, number, section.headings,
                        head + columns + text[start:end], start + offset, end + offset, len(head),
                    )  # fmt: skip

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text))

    def _head(self, headings: tuple[str, ...]) -> str:
        """Return the line of headings, without outer ones that do not fit."""
        for first in range(len(headings) if self.with_headings else 0):
            head = " > ".join(headings[first:]) + "\n"
            if self._count(head) <= self.max_tokens // 2:
                return head
        return ""

    def _pieces(
        self, measured: _Measured, section: Section, head: str
    ) -> Iterator[tuple[str, int, int]]:
        """Yield the names of columns, the start and the end of each chunk of a section."""
        room = self.max_tokens - self.overlap - self._count(head)
        start = reach = measured.skip(_EMPTY_LINES, section.start, section.end)
        while measured.skip(_SPACE, start, section.end) < section.end:
            columns = measured.tables.columns(reach)
            taken = self._count(columns) if columns else 0
            if taken > room // 2:
                columns, taken = "", 0
            place = (reach, start, section.end)
            stop = self._stop(measured, place, head + columns, room - taken)
            yield columns, reach, start + len(measured.text[start:stop].rstrip())
            start = measured.skip(_EMPTY_LINES, stop, section.end)
            reach = max(section.start, measured.back(start, self.overlap))

    def _stop(self, measured: _Measured, place: tuple[int, int, int], head: str, room: int) -> int:
        """Return where to end a piece; `place` is (start with overlap, start, latest end).

        Counting the tokens that begin in a piece is exact for most tokenizers, but not for those
        that join words or encode white space. So the finished chunk is tokenized.
        """
        reach, start, end = place
        first = measured.skip(_SPACE, start, end)
        while True:
            stop = measured.cut(start, end, room)
            excess = self._count(head + measured.text[reach:stop].rstrip()) - self.max_tokens
            if excess <= 0:
                return stop
            if stop == first + 1:
                raise InputError(
                    f"A chunk of {self.max_tokens} tokens has no room for the character "
                    f"{measured.text[first]!a}. Allow more tokens."
                )
            room = min(room, measured.count(start, stop)) - excess
            if room < 1:
                room, end = 1, first + max(1, (stop - first) // 2)


def _parts(document: Document) -> Iterator[tuple[int, list[Section]]]:
    """Yield sections that are measured together, and the start of their text."""
    part: list[Section] = []
    begin = 0
    for section in document.sections:
        for piece in _cut_section(document.text, section):
            if part and piece.end - begin > _MAX_PART:
                yield begin, part
                part, begin = [], piece.start
            part.append(piece)
    if part:
        yield begin, part


def _cut_section(text: str, section: Section) -> Iterator[Section]:
    start = section.start
    while section.end - start > _MAX_PART:
        latest = start + _MAX_PART
        earliest = latest - _MAX_PART // 10
        cuts = (text.rfind(mark, earliest, latest) + len(mark) for mark in ("\n\n", "\n", " "))
        stop = next((cut for cut in cuts if cut > earliest), latest)
        yield Section(section.headings, start, stop)
        start = stop
    yield Section(section.headings, start, section.end)


class _Tables:
    """The tables of a document, by positions in a part of its text."""

    def __init__(self, document: Document, offset: int) -> None:
        self._document, self._offset = document, offset
        self._starts = [table.start for table in document.tables]

    def columns(self, at: int) -> str:
        """Return the rows that name the columns, with a line end, if a position is behind them."""
        table = self._around(at)
        return f"{self._document.text[table.start : table.body].strip()}\n" if table else ""

    def holds(self, at: int) -> bool:
        """Return whether a position is within a table."""
        return self._around(at) is not None

    def _around(self, at: int) -> Table | None:
        at += self._offset
        last = bisect_left(self._starts, at) - 1
        table = self._document.tables[last] if last >= 0 else None
        return table if table is not None and at < table.end else None


class _Measured:
    """A text, and the positions where its tokens begin."""

    def __init__(self, text: str, tokenizer: Tokenizer, tables: _Tables) -> None:
        self.text, self.tables = text, tables
        starts: list[int] = []
        stretches = _STRETCH.finditer(text)
        while batch := list(islice(stretches, _STRETCHES_PER_BATCH)):
            encodings = tokenizer.encode_batch([m[0] for m in batch], add_special_tokens=False)
            for match, encoding in zip(batch, encodings, strict=True):
                starts += [match.start() + start for start, _ in encoding.offsets]
        self._starts = array("q", sorted(starts))

    def skip(self, pattern: re.Pattern[str], at: int, end: int) -> int:
        """Return the end of a match at `at`, or `at` if there is none."""
        match = pattern.match(self.text, at, end)
        return match.end() if match else at

    def count(self, start: int, end: int) -> int:
        """Return how many tokens begin between two positions."""
        return bisect_left(self._starts, end) - bisect_left(self._starts, start)

    def back(self, start: int, tokens: int) -> int:
        """Return the first start of a word in the last tokens before `start`; `start` if none."""
        before = bisect_left(self._starts, start)
        repeated = min(tokens, before)
        if not repeated:
            return start
        at = self._starts[before - repeated]
        if at == 0 or self.text[at - 1].isspace():
            return at
        match = _WORD.search(self.text, at, start)
        return match.end() if match else start

    def cut(self, start: int, end: int, room: int) -> int:
        """Return where to end a piece of at most `room` tokens: the best break that fills it."""
        first = bisect_left(self._starts, start)
        left = bisect_left(self._starts, end) - first
        if left <= room:
            return end
        goal = min(room, (left + 1) // 2)  # two halves rather than a whole and a scrap
        least, best, most = (self._starts[first + tokens] for tokens in (goal // 2, goal, room))
        visible = self.skip(_SPACE, start, end)
        behind = self.skip(_SPACE, most, end)
        for pattern in _BREAKS:
            if pattern is _WORD and self.tables.holds(most):
                rows = self._ends(_LINE, visible, least)
                if rows:
                    return rows[-1]
            stops = self._ends(pattern, max(visible, least), behind)
            if stops:
                return min(stops, key=lambda stop: abs(stop - best))
        earlier = self._ends(_WORD, visible, least)
        return earlier[-1] if earlier else max(most, visible + 1)

    def _ends(self, pattern: re.Pattern[str], start: int, end: int) -> list[int]:
        matches = pattern.finditer(self.text, start, end)
        stops = [match.end() for match in matches if match.end() > start]
        if pattern is _SENTENCE:
            return [at for at in stops if self.text[at - 1] == "\n" or not self.tables.holds(at)]
        return stops


def _without_limits(tokenizer: Tokenizer) -> Tokenizer:
    """Return a tokenizer that neither pads nor truncates."""
    if tokenizer.padding is None and tokenizer.truncation is None:
        return tokenizer
    copy: Tokenizer = type(tokenizer).from_str(tokenizer.to_str())
    copy.no_padding()
    copy.no_truncation()
    return copy
