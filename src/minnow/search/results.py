"""Hits of a search, as plain values, as text and as JSON."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

_LONGEST_PASSAGE = 240
_FOLDED = 3
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class Neighbour:
    """A chunk before or after a hit in its document; the fields are those of `Hit`."""

    id: int
    number: int
    headings: tuple[str, ...]
    text: str
    body: int
    start: int

    @property
    def piece(self) -> str:
        """The text without the line of headings."""
        return self.text[self.body :]


@dataclass(frozen=True)
class Repeat:
    """A hit that says what a better one says; the fields are those of `Hit`."""

    id: int
    source: str
    number: int
    score: float


@dataclass(frozen=True)
class Hit:
    """A chunk that a search found.

    Attributes:
        rank: From 1.
        id: Id of the chunk in the file.
        score: The score it was ranked by: a similarity, BM25, the fusion of both, or a
            reranker's score.
        vector_score: Similarity of its vector to the query's; None where vectors were not used.
        keyword_score: Its BM25; None where keywords were not used, 0 where it has no word.
        source: The document: a path, followed by "#id" where a file has several.
        number: Number of the chunk in its document, from 1.
        headings: The headings it stands under, the outermost first.
        text: The embedded text: headings in a line of their own, and the piece.
        body: Where the piece begins in `text`, in characters.
        start: Where the piece begins in the document's text, in characters.
        passage: The part with most words of the query.
        metadata: Metadata of the document.
        rerank_score: The reranker's score; None where none was used.
        first_rank: Its rank before the reranker, from 1; None where none was used.
        before: The chunks before it in its document, in order, if the search asked for some.
        after: The chunks after it.
        folded: Hits that repeat it, if the search folded them into it.
    """

    rank: int
    id: int
    score: float
    vector_score: float | None
    keyword_score: float | None
    source: str
    number: int
    headings: tuple[str, ...]
    text: str
    body: int
    start: int
    passage: str
    metadata: Mapping[str, Any]
    rerank_score: float | None = None
    first_rank: int | None = None
    before: tuple[Neighbour, ...] = ()
    after: tuple[Neighbour, ...] = ()
    folded: tuple[Repeat, ...] = ()

    @property
    def piece(self) -> str:
        """The text without the line of headings."""
        return self.text[self.body :]

    def facts(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {**asdict(self), "headings": list(self.headings), "metadata": dict(self.metadata)}


def beginning(text: str) -> str:
    """Return the beginning of a text, as long as a passage, cut at a word."""
    words = " ".join(text[: 4 * _LONGEST_PASSAGE].split())
    if len(words) <= _LONGEST_PASSAGE and len(text) <= 4 * _LONGEST_PASSAGE:
        return words
    cut = words[:_LONGEST_PASSAGE]
    return cut[: cut.rfind(" ") if " " in cut else len(cut)] + "…"


def one_line(text: str) -> str:
    """Replace control characters by spaces, so that a document cannot control a terminal."""
    return _CONTROL.sub(" ", text)


def print_hits(hits: Sequence[Hit], stream: IO[str]) -> None:
    """Print a few lines for each hit: rank, score, source, headings, passage."""
    for hit in hits:
        scores = [
            f"{name} {value:.3f}"
            for name, value in (("vector", hit.vector_score), ("keyword", hit.keyword_score))
            if value is not None
        ]
        if hit.first_rank is not None:
            scores.append(f"rank {hit.first_rank} before")
        both = f"  ({', '.join(scores)})" if len(scores) > 1 else ""
        source = one_line(hit.source)
        stream.write(f"{hit.rank:>2}.  {hit.score:.3f}  {source}, part {hit.number}{both}\n")
        if hit.headings:
            stream.write(f"    {one_line(' > '.join(hit.headings))}\n")
        for part in hit.before:
            stream.write(f"    part {part.number}:\n{_indented(part.piece)}\n")
        whole = hit.before or hit.after
        shown = _indented(hit.piece if whole else hit.passage)
        stream.write(f"    part {hit.number}:\n{shown}\n" if whole else f"{shown}\n")
        for part in hit.after:
            stream.write(f"    part {part.number}:\n{_indented(part.piece)}\n")
        if hit.folded:
            places = [one_line(f"{other.source}, part {other.number}") for other in hit.folded]
            more = f" and {len(places) - _FOLDED} more" if len(places) > _FOLDED else ""
            stream.write(f"    the same in {'; '.join(places[:_FOLDED])}{more}\n")
        stream.write("\n")


def _indented(text: str) -> str:
    return textwrap.fill(
        one_line(text), 96, initial_indent=" " * 6, subsequent_indent=" " * 6,
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def json_of(query: str, mode: str, hits: Sequence[Hit]) -> str:
    """Return the hits of a query as one JSON object."""
    answer = {"query": query, "mode": mode, "hits": [hit.facts() for hit in hits]}
    return json.dumps(answer, ensure_ascii=False)
