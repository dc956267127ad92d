"""The words and phrases of a question, as the keyword index has them."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.indexfile.words import TOKENIZE, divide, fold, is_paired, pairs, runs, units

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_WORDS = 1000
"""The most words of a query to look for; more would take too long."""

MOST_UNITS = 10
"""The longest run of a script without spaces that is taken for one word; longer ones are taken for
sentences, whose pairs are words of their own."""

_PHRASE = re.compile(r'"([^"]*)"')


@dataclass(frozen=True)
class Term:
    """A term of the index to look for.

    Attributes:
        text: The term that FTS5 makes of a word.
        spelled: The word, which FTS5 reads as this one term.
        is_beginning: Whether terms that begin with it count.
    """

    text: str
    spelled: str
    is_beginning: bool = False

    @property
    def question(self) -> str:
        """The term in FTS5's query language."""
        return _quoted(self.spelled) + (" *" if self.is_beginning else "")


Word = tuple[Term, ...]
"""One term, or the pairs of a word in a script without spaces."""


@dataclass(frozen=True)
class Phrase:
    """Words that have to follow each other.

    Attributes:
        terms: Their terms.
        question: The phrase in FTS5's query language.
    """

    terms: tuple[Term, ...]
    question: str


@dataclass(frozen=True)
class KeywordQuery:
    """The words of a query.

    Attributes:
        words: Different words.
        terms: The different terms of all words.
        phrases: What stands in quotation marks and has several terms.
    """

    words: tuple[Word, ...]
    terms: tuple[Term, ...]
    phrases: tuple[Phrase, ...]


def read_query(query: str) -> KeywordQuery:
    """Divide a question into words and phrases; no text is a syntax error.

    A long question is cut to its first MOST_WORDS words.
    """
    query = query.replace("\0", " ").replace("＂", '"').encode("utf-8", "replace").decode()
    query = " ".join(query.split()[:MOST_WORDS])[: 100 * MOST_WORDS]
    quoted = _PHRASE.findall(query)
    words = _words(query)
    phrases = [_phrase(text, set(terms)) for text in quoted if (terms := _terms_of(_words(text)))]
    return KeywordQuery(words, _terms_of(words), tuple(p for p in phrases if p is not None))


def _words(text: str) -> tuple[Word, ...]:
    """Return the different words of a text."""
    spelled: dict[tuple[str, ...], bool] = {}
    for run in runs(fold(text)):
        parts = pairs(run) if is_paired(run) else [run]
        if len(parts) == 1:
            spelled[run,] = is_paired(run)
        elif len(parts) <= MOST_UNITS:
            spelled[tuple(parts[:-1])] = False
        else:
            spelled.update(dict.fromkeys(((pair,) for pair in parts[:-1]), False))
    some = dict(list(spelled.items())[:MOST_WORDS])
    terms = _index_terms({word for parts in some for word in parts})
    found = [
        tuple(Term(terms[part], part, is_beginning) for part in parts if part in terms)
        for parts, is_beginning in some.items()
    ]
    by_terms = {
        tuple((term.text, term.is_beginning) for term in word): word for word in found[::-1]
    }
    return tuple(word for word in list(by_terms.values())[::-1] if word)


def _terms_of(words: Iterable[Word]) -> tuple[Term, ...]:
    """Return the terms of words, each once; of several spellings the first."""
    different: dict[tuple[str, bool], Term] = {}
    for term in (term for word in words for term in word):
        different.setdefault((term.text, term.is_beginning), term)
    return tuple(list(different.values())[:MOST_WORDS])


def _phrase(text: str, terms: set[Term]) -> Phrase | None:
    """Return a phrase, or None for a single word.

    The last character of a run is a word of its own in a text. At the end of a phrase it is none,
    because in a text the run may go on.
    """
    *before, last = divide(text).split()
    end = list(runs(fold(text)))[-1]
    if is_paired(end) and len(units(end)) > 1:
        before, last = before[:-1], before[-1]
    if not before:
        return None
    goes_on = " *" if is_paired(end) and len(units(end)) == 1 else ""
    return Phrase(tuple(terms), _quoted(" ".join([*before, last])) + goes_on)


def _index_terms(words: Iterable[str]) -> dict[str, str]:
    """Return the term that FTS5 makes of each word, for those of which it makes one."""
    some = list(words)
    with closing(words_table(enumerate(some))) as table:
        found: list[list[str]] = [[] for _ in some]
        for number, term in read_terms(table):
            found[number].append(term)
    return {word: terms[0] for word, terms in zip(some, found, strict=True) if len(terms) == 1}


def words_table(texts: Iterable[tuple[int, str]]) -> sqlite3.Connection:
    """Make a database in memory with a table `texts`, tokenized like the words of an index."""
    database = sqlite3.connect(":memory:")
    database.execute(f'CREATE VIRTUAL TABLE texts USING fts5(text, tokenize="{TOKENIZE}")')
    database.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", texts)
    return database


def read_terms(table: sqlite3.Connection) -> Sequence[tuple[int, str]]:
    """Return the row and the text of each term in a table of `words_table`, in order."""
    table.execute("CREATE VIRTUAL TABLE seen USING fts5vocab('texts', 'instance')")
    return table.execute("SELECT doc, term FROM seen ORDER BY doc, offset").fetchall()


def _quoted(text: str) -> str:
    """Return a text as a string in FTS5's query language."""
    return '"' + text.replace('"', '""') + '"'
