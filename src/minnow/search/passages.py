"""Passages: the part of each text that answers a question."""

from __future__ import annotations

from contextlib import closing
from functools import lru_cache
from typing import TYPE_CHECKING

from minnow.indexfile.query_words import read_query, read_terms, words_table
from minnow.indexfile.words import divide, is_paired, units, words_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minnow.indexfile.query_words import KeywordQuery, Term

_PAIRS_A_WORD = 2


def passages(texts: Sequence[str], query: str, tokens: int) -> list[str | None]:
    """Return the part of each text with most words of a query.

    Args:
        texts: Any texts.
        query: Any text.
        tokens: Length of a part, at most 64 words.

    Returns:
        For each text its part, with an ellipsis where it is cut; None for a text without a word.
    """
    asked = read_query(query) if query and texts else None
    if asked is None or not asked.words:
        return [None] * len(texts)
    divided = [words_of(text) is not None for text in texts]
    shown = _snippets([(i, text) for i, text in enumerate(texts) if not divided[i]], asked, tokens)
    return [
        _best_part(text, asked.terms, tokens) if divided[i] else shown.get(i)
        for i, text in enumerate(texts)
    ]


def _snippets(texts: list[tuple[int, str]], asked: KeywordQuery, tokens: int) -> dict[int, str]:
    """Return the parts of texts that FTS5 reads as they are, by its `snippet`."""
    question = " OR ".join(term.question for term in asked.terms)
    with closing(words_table(texts)) as table:
        return dict(
            table.execute(
                "SELECT rowid, snippet(texts, 0, '', '', '…', ?) FROM texts WHERE texts MATCH ?",
                (tokens, question),
            )
        )


def _best_part(text: str, terms: Sequence[Term], tokens: int) -> str | None:
    """Return the part with most different terms; of equal ones the first, with some before it."""
    spans, words = _spans(text)
    with closing(words_table([(0, " ".join(words))])) as table:
        found = [term for _, term in read_terms(table)]
    if len(found) != len(spans):
        return None
    exact = {term.text for term in terms if not term.is_beginning}
    beginnings = tuple(term.text for term in terms if term.is_beginning)
    places = [
        i for i, term in enumerate(found)
        if term in exact or (beginnings and term.startswith(beginnings))
    ]  # fmt: skip
    if not places:
        return None
    paired = sum(is_paired(word) for word in words)
    length = tokens * (_PAIRS_A_WORD if 2 * paired > len(words) else 1)
    first = max(places, key=lambda start: _different(found, places, start, length))
    last = max(place for place in places if place < first + length)
    start = max(0, min(first - (length - (last - first + 1)) // 2, len(spans) - length))
    end = min(len(spans), start + length)
    before = "…" if start else ""
    begin = spans[start][0] if start else 0
    if end < len(spans):
        return f"{before}{text[begin : spans[end - 1][1]]}…"
    return f"{before}{text[begin:]}"


def _different(found: Sequence[str], places: Sequence[int], start: int, length: int) -> int:
    return len({found[place] for place in places if start <= place < start + length})


def _spans(text: str) -> tuple[list[tuple[int, int]], list[str]]:
    """Return where each word of a text begins and ends in it, and the words."""
    spans: list[tuple[int, int]] = []
    words: list[str] = []
    for begin, run in _runs(text):
        if not is_paired(run):
            here = divide(run).split()
            spans += [(begin, begin + len(run))] * len(here)
            words += here
            continue
        parts, place = units(run), begin
        for part, following in zip(parts, [*parts[1:], ""], strict=True):
            if word := _first_word(part + following):
                words.append(word)
                spans.append((place, place + len(part)))
            place += len(part)
    return spans, words


@lru_cache(maxsize=1 << 14)
def _first_word(pair: str) -> str:
    """Return the word that two units make, or nothing if they hold none."""
    return next(iter(divide(pair).split()), "")


def _runs(text: str) -> Iterator[tuple[int, str]]:
    """Yield the runs of a text between spaces, divided where the kind of script changes."""
    begin = 0
    for end in range(1, len(text) + 1):
        if end == len(text) or _kind(text[end]) != _kind(text[begin]):
            if _kind(text[begin]):
                yield begin, text[begin:end]
            begin = end


def _kind(character: str) -> int:
    if character.isspace():
        return 0
    return 2 if is_paired(character) else 1
