"""Keyword search: BM25 by SQLite's FTS5, on an index without positions and lengths.

Such an index (`detail=none, columnsize=0`) takes a third of the room, and knows which chunks have
a word. How often they have it, and whether the words of a phrase follow each other, is read from
the texts of the chunks that matter.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minnow.indexfile.checks import reading_rows
from minnow.indexfile.checksums import check_rows, read_checked
from minnow.indexfile.documents import CHUNKS, TOKENIZE
from minnow.indexfile.matrix import Ranking, best

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from minnow.indexfile.encodings import Ids


MOST_SCORED = 1000
"""The most chunks to compute BM25 of; of more with a word of the query, those with the rarest."""

MOST_WORDS = 1000
"""The most words of a query to look for; more would take too long."""

_COMMON = 0.5
_PHRASE = re.compile(r'"([^"]*)"')
_WORD = re.compile(r"[^\W_]+(?:[\u0300-\u036f]+[^\W_]*)*")
_AT_A_TIME = 500


@dataclass(frozen=True)
class KeywordQuery:
    """The words of a query.

    Attributes:
        words: Different words, spelled so that FTS5 reads each as one term.
        terms: The term that FTS5 makes of each.
        phrases: The texts in quotation marks that have several words.
    """

    words: tuple[str, ...]
    terms: tuple[str, ...]
    phrases: tuple[str, ...]


class Keywords:
    """Keyword search in an index, on a connection that may make temporary tables."""

    def __init__(self, database: sqlite3.Connection) -> None:
        """Prepare the temporary tables of a connection."""
        self._database = database
        database.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS temp.terms "
            "USING fts5vocab('main', 'chunks_fts', 'row')"
        )
        database.execute(
            "CREATE VIRTUAL TABLE IF NOT EXISTS temp.places "
            "USING fts5vocab('main', 'chunks_fts', 'instance')"
        )
        database.execute("CREATE TABLE IF NOT EXISTS temp.chosen (id INTEGER PRIMARY KEY)")

    def search(self, query: str, count: int, allowed: Ids | None = None) -> Ranking:
        """Rank the chunks that have words of a query, by BM25.

        Words are alternatives; words in double quotation marks have to follow each other. Nothing
        in a query is an operator. Words that more than half of the chunks have weigh nothing in
        FTS5's BM25, and are left out where there are others.

        Args:
            query: Any text.
            count: The most chunks to find.
            allowed: Ids that may be found, ascending; all by default.

        Source: https://www.sqlite.org/fts5.html#the_bm25_function
        """
        asked = read_query(query)
        chosen = self._rarest(asked)
        if not chosen:
            return Ranking(np.empty(0, np.int64), np.empty(0))
        candidates = self._candidates(chosen, asked, allowed)
        if asked.phrases:
            for phrase in asked.phrases:
                for term in chosen.keys() & set(read_query(phrase).terms):
                    having = self._having(term, allowed)
                    candidates = candidates[np.isin(candidates, having, assume_unique=True)]
            candidates = self._with_phrases(candidates, asked.phrases, max(count, _AT_A_TIME))
        return self._bm25(chosen, candidates, count)

    def _rarest(self, asked: KeywordQuery) -> dict[str, tuple[str, int]]:
        """Return words and the number of chunks that have them by term, the rarest first."""
        numbers = {
            term: row[0]
            for term in asked.terms
            if (row := self._database.execute(
                "SELECT doc FROM temp.terms WHERE term = ?", (term,)
            ).fetchone())
        }  # fmt: skip
        spelled = dict(zip(asked.terms, asked.words, strict=True))
        total = self._total()
        rare = {term: n for term, n in numbers.items() if n <= _COMMON * total} or numbers
        return {
            term: (spelled[term], n) for term, n in sorted(rare.items(), key=lambda row: row[1])
        }

    def _total(self) -> int:
        row = self._database.execute("SELECT sum(chunks) FROM documents").fetchone()
        with reading_rows("The number of chunks"):
            return int(row[0] or 0)

    def _candidates(
        self, chosen: dict[str, tuple[str, int]], asked: KeywordQuery, allowed: Ids | None
    ) -> Ids:
        """Return the chunks to score: those with the rarest words, where there are too many."""
        total = max(1, self._total())
        weights = {
            term: float(np.log1p((total - n + 0.5) / (n + 0.5))) for term, (_, n) in chosen.items()
        }
        left = sum(weights.values())
        ids, sums = np.empty(0, np.int64), np.empty(0)
        for term, weight in weights.items():
            if not asked.phrases and len(sums) > MOST_SCORED:
                reached = np.partition(sums, len(sums) - MOST_SCORED)[len(sums) - MOST_SCORED]
                if reached >= left:  # no chunk with only the words that are left gets among them
                    break
            left -= weight
            having = self._having(term, allowed)
            everything = np.concatenate([ids, having])
            gained = np.concatenate([sums, np.full(len(having), weight)])
            ids, inverse = np.unique(everything, return_inverse=True)
            sums = np.bincount(inverse, gained, len(ids)).astype(np.float64)
        if asked.phrases:
            return best(ids, sums, len(ids)).ids
        return best(ids, sums, MOST_SCORED).ids

    def _having(self, term: str, allowed: Ids | None) -> Ids:
        cursor = self._database.execute("SELECT doc FROM temp.places WHERE term = ?", (term,))
        ids = np.fromiter((row[0] for row in cursor), np.int64)
        return ids if allowed is None else ids[np.isin(ids, allowed, assume_unique=True)]

    def _with_phrases(self, candidates: Ids, phrases: Sequence[str], count: int) -> Ids:
        """Return the candidates whose texts hold all phrases, in order; `count` of them or more."""
        found: list[int] = []
        question = " AND ".join(map(_quoted, phrases))
        for start in range(0, len(candidates), _AT_A_TIME):
            if len(found) >= count:
                break
            block = candidates[start : start + _AT_A_TIME].tolist()
            texts = read_texts(self._database, block)
            with closing(_texts_table(texts.items())) as table:
                rows = table.execute("SELECT rowid FROM texts WHERE texts MATCH ?", (question,))
                having = {row[0] for row in rows}
            found += [id_ for id_ in block if id_ in having]
        return np.array(found, np.int64)

    def _bm25(self, chosen: dict[str, tuple[str, int]], candidates: Ids, count: int) -> Ranking:
        question = " OR ".join(_quoted(word) for word, _ in chosen.values())
        for id_ in candidates.tolist():  # FTS5 counts words in the texts, and trusts them
            chunk = read_checked(self._database, CHUNKS, "WHERE id = ?", (id_,))
            check_rows(self._database, CHUNKS, chunk)
        self._database.execute("DELETE FROM temp.chosen")
        self._database.executemany(
            "INSERT INTO temp.chosen VALUES (?)", ((id_,) for id_ in candidates.tolist())
        )
        rows = self._database.execute(
            "SELECT rowid, -bm25(chunks_fts) FROM chunks_fts "
            "WHERE chunks_fts MATCH ? AND +rowid IN (SELECT id FROM temp.chosen)",
            (question,),
        ).fetchall()
        ids = np.array([row[0] for row in rows], np.int64)
        return best(ids, np.array([row[1] for row in rows], np.float64), count)


def read_query(query: str) -> KeywordQuery:
    """Split any text with FTS5's own tokenizer, so that none is a syntax error.

    Of a long one the first MOST_WORDS words are used.
    """
    query = query.replace("\0", " ").encode("utf-8", "replace").decode()
    query = " ".join(query.split()[:MOST_WORDS])
    terms: dict[str, str] = {}
    for word, found in _terms(query.split()):
        if len(found) == 1:
            terms.setdefault(found[0], word)
        elif found:
            for part, inner in _terms(_WORD.findall(word)):
                if len(inner) == 1:
                    terms.setdefault(inner[0], part)
    phrases = tuple(p for p in _PHRASE.findall(query) if len(_WORD.findall(p)) > 1)
    return KeywordQuery(tuple(terms.values()), tuple(terms), phrases)


def _terms(words: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return each word with the terms that FTS5 makes of it."""
    with closing(_texts_table(enumerate(words))) as table:
        table.execute("CREATE VIRTUAL TABLE seen USING fts5vocab('texts', 'instance')")
        found: list[list[str]] = [[] for _ in words]
        for number, term in table.execute("SELECT doc, term FROM seen ORDER BY doc, offset"):
            found[number].append(term)
    return list(zip(words, found, strict=True))


def passages(texts: Sequence[str], query: str, tokens: int) -> list[str | None]:
    """Return the part of each text with most words of a query, by FTS5's `snippet`.

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
    question = " OR ".join(map(_quoted, asked.words))
    with closing(_texts_table(enumerate(texts))) as table:
        found = dict(
            table.execute(
                "SELECT rowid, snippet(texts, 0, '', '', '…', ?) FROM texts WHERE texts MATCH ?",
                (tokens, question),
            )
        )
    return [found.get(number) for number in range(len(texts))]


def read_texts(database: sqlite3.Connection, ids: Iterable[int]) -> dict[int, str]:
    """Return the texts of chunks by id."""
    question = "SELECT text FROM chunks WHERE id = ?"
    rows = ((id_, database.execute(question, (id_,)).fetchone()) for id_ in ids)
    return {id_: row[0] for id_, row in rows if row is not None}


def _texts_table(texts: Iterable[tuple[int, str]]) -> sqlite3.Connection:
    """Make a database in memory with a table `texts`, tokenized like the chunks of an index."""
    database = sqlite3.connect(":memory:")
    database.execute(f"CREATE VIRTUAL TABLE texts USING fts5(text, tokenize='{TOKENIZE}')")
    database.executemany("INSERT INTO texts (rowid, text) VALUES (?, ?)", texts)
    return database


def _quoted(text: str) -> str:
    """Return a text as a string in FTS5's query language."""
    return '"' + text.replace('"', '""') + '"'
