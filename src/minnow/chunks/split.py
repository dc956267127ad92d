"""Sections into chunks: none above the limit, no text lost, cut where a reader would cut."""

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
    from collections.abc import Iterator

    from tokenizers import Tokenizer

    from minnow.chunks.outline import Document

_FEWEST_TOKENS = 16
_STRETCH = re.compile(r".{1,4000}(?=\s|\Z)|.{1,4000}", re.DOTALL)
_STRETCHES_AT_A_TIME = 256
_PART = 1_000_000
_SPACE = re.compile(r"\s*")
_EMPTY_LINES = re.compile(r"\s*\n")

# What ends in a colon belongs to what follows it.
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
    """A piece of a document that a model takes whole.

    Attributes:
        document: The document's path.
        number: Of the chunk in its document, from 1.
        headings: The headings that it stands under, the outermost first.
        text: What is embedded: headings, if they fit, in a line of their own, and the piece.
        start: Where the piece begins in the document's text, in characters.
        end: Where it ends.
    """

    document: str
    number: int
    headings: tuple[str, ...]
    text: str
    start: int
    end: int

    @property
    def id(self) -> str:
        """Such as "alerting/index.md#3"."""
        return f"{self.document}#{self.number}"


class Splitter:
    """Cuts documents with a model's own tokenizer."""

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
            tokenizer: The model's; padding and truncation that it asks for are left out.
            max_tokens: The longest chunk, special tokens and headings included.
            overlap: About how many tokens of the chunk before, of the same section, to repeat.
            with_headings: Put the headings in front of each chunk's text. Outer headings are left
                out where all would take more than half of the tokens.

        Raises:
            InputError: `max_tokens` is below 16, or `overlap` negative or above a quarter of it.
        """
        if max_tokens < _FEWEST_TOKENS:
            raise InputError(f"A chunk needs at least {_FEWEST_TOKENS} tokens, not {max_tokens}.")
        if not 0 <= overlap <= max_tokens // 4:
            raise InputError(
                f"The overlap of chunks of {max_tokens} tokens should be from 0 to "
                f"{max_tokens // 4}, not {overlap}."
            )
        self.max_tokens, self.overlap, self.with_headings = max_tokens, overlap, with_headings
        self._tokenizer = _whole(tokenizer)

    def split(self, document: Document) -> list[Chunk]:
        """Cut a document into chunks, in order.

        A section is cut between paragraphs where that leaves no chunk less than half full, else
        between sentences, lines or words; within a word only where it is longer than a chunk, or
        than 4,000 characters. All characters but white space are in a chunk.

        Raises:
            InputError: One character alone has more tokens than a chunk may have.
        """
        return list(self.stream(document))

    def stream(self, document: Document) -> Iterator[Chunk]:
        """The chunks that `split` gives, one by one.

        A document of more than a million characters is measured in parts, so that only a part's
        tokens are in memory. A section that is longer is divided there first, at an empty line,
        a line's end or a space if there is one.
        """
        number = 0
        for offset, part in _parts(document):
            text = document.text[offset : part[-1].end]
            measured = _Measured(text, self._tokenizer)
            for section in part:
                head = self._head(section.headings)
                here = Section(section.headings, section.start - offset, section.end - offset)
                for start, end in self._pieces(measured, here, head):
                    number += 1
                    yield Chunk(
                        document.path, number, section.headings, head + text[start:end],
                        start + offset, end + offset,
                    )  # fmt: skip

    def _count(self, text: str) -> int:
        return len(self._tokenizer.encode(text))

    def _head(self, headings: tuple[str, ...]) -> str:
        """The line of headings, without outer ones that there is no room for."""
        for first in range(len(headings) if self.with_headings else 0):
            head = " > ".join(headings[first:]) + "\n"
            if self._count(head) <= self.max_tokens // 2:
                return head
        return ""

    def _pieces(
        self, measured: _Measured, section: Section, head: str
    ) -> Iterator[tuple[int, int]]:
        """Where each chunk of a section begins and ends."""
        room = self.max_tokens - self.overlap - self._count(head)
        start = reach = measured.skip(_EMPTY_LINES, section.start, section.end)
        while measured.skip(_SPACE, start, section.end) < section.end:
            stop = self._stop(measured, (reach, start, section.end), head, room)
            yield reach, start + len(measured.text[start:stop].rstrip())
            start = measured.skip(_EMPTY_LINES, stop, section.end)
            reach = max(section.start, measured.back(start, self.overlap))

    def _stop(self, measured: _Measured, place: tuple[int, int, int], head: str, room: int) -> int:
        """Where to end a piece from `start`, with what is repeated in front of it, before `end`.

        To count the tokens that begin in a piece is exact for most tokenizers, but not for those
        that join words or make something of white space. So the finished chunk is measured.
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
                    f"{measured.text[first]!a}; allow more."
                )
            room = min(room, measured.count(start, stop)) - excess
            if room < 1:
                room, end = 1, first + max(1, (stop - first) // 2)


def _parts(document: Document) -> Iterator[tuple[int, list[Section]]]:
    """Sections that are measured together, and where the text begins that they are in."""
    part: list[Section] = []
    begin = 0
    for section in document.sections:
        for piece in _cut_section(document.text, section):
            if part and piece.end - begin > _PART:
                yield begin, part
                part, begin = [], piece.start
            part.append(piece)
    if part:
        yield begin, part


def _cut_section(text: str, section: Section) -> Iterator[Section]:
    start = section.start
    while section.end - start > _PART:
        latest = start + _PART
        earliest = latest - _PART // 10
        cuts = (text.rfind(mark, earliest, latest) + len(mark) for mark in ("\n\n", "\n", " "))
        stop = next((cut for cut in cuts if cut > earliest), latest)
        yield Section(section.headings, start, stop)
        start = stop
    yield Section(section.headings, start, section.end)


class _Measured:
    """A text, and where its tokens begin."""

    def __init__(self, text: str, tokenizer: Tokenizer) -> None:
        self.text = text
        starts: list[int] = []
        stretches = _STRETCH.finditer(text)
        while batch := list(islice(stretches, _STRETCHES_AT_A_TIME)):
            encodings = tokenizer.encode_batch([m[0] for m in batch], add_special_tokens=False)
            for match, encoding in zip(batch, encodings, strict=True):
                starts += [match.start() + start for start, _ in encoding.offsets]
        self._starts = array("q", sorted(starts))

    def skip(self, pattern: re.Pattern[str], at: int, end: int) -> int:
        """Where a match that begins at `at` ends."""
        match = pattern.match(self.text, at, end)
        return match.end() if match else at

    def count(self, start: int, end: int) -> int:
        """How many tokens begin there."""
        return bisect_left(self._starts, end) - bisect_left(self._starts, start)

    def back(self, start: int, tokens: int) -> int:
        """The first beginning of a word in the last tokens before `start`; itself for none."""
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
        """Where to end a piece of at most `room` tokens, by the best break that fills it well."""
        first = bisect_left(self._starts, start)
        left = bisect_left(self._starts, end) - first
        if left <= room:
            return end
        goal = min(room, (left + 1) // 2)  # two halves rather than a whole and a scrap
        least, best, most = (self._starts[first + tokens] for tokens in (goal // 2, goal, room))
        visible = self.skip(_SPACE, start, end)
        behind = self.skip(_SPACE, most, end)
        for pattern in _BREAKS:
            stops = self._ends(pattern, max(visible, least), behind)
            if stops:
                return min(stops, key=lambda stop: abs(stop - best))
        earlier = self._ends(_WORD, visible, least)
        return earlier[-1] if earlier else max(most, visible + 1)

    def _ends(self, pattern: re.Pattern[str], start: int, end: int) -> list[int]:
        matches = pattern.finditer(self.text, start, end)
        return [match.end() for match in matches if match.end() > start]


def _whole(tokenizer: Tokenizer) -> Tokenizer:
    """The tokenizer if it neither pads nor truncates, else one like it that does not."""
    if tokenizer.padding is None and tokenizer.truncation is None:
        return tokenizer
    whole: Tokenizer = type(tokenizer).from_str(tokenizer.to_str())
    whole.no_padding()
    whole.no_truncation()
    return whole
