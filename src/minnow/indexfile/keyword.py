"""Keyword search: BM25 by SQLite's FTS5, on an index without positions and lengths.

Such an index (`detail=none, columnsize=0`) takes a third of the room, and knows which chunks have
a word. How often they have it, and whether the words of a phrase follow each other, is read from
the texts of the chunks that matter. `query_words.py` reads the question.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minnow.indexfile.checks import reading_rows
from minnow.indexfile.checksums import CheckedTable, check_rows, read_checked
from minnow.indexfile.documents import CHUNKS, KEYWORDS
from minnow.indexfile.matrix import Ranking, best
from minnow.indexfile.query_words import read_query, words_table
from minnow.indexfile.words import units

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Mapping, Sequence

    from minnow.indexfile.encodings import Ids
    from minnow.indexfile.query_words import KeywordQuery, Term, Word


MOST_SCORED = 1000
"""The most chunks to compute BM25 of; of more with a word of the query, those with the rarest."""

_COMMON = 0.5
_AT_A_TIME = 500
_LAST = "\U0010ffff"


@dataclass(frozen=True)
class KeywordTable:
    """A keyword index, and the texts that it is of.

    Attributes:
        name: The FTS5 table.
        words: The view `(id, text)` of what it reads.
        texts: The table whose rows that view reads, if they have checksums.
        count: An SQL query for the number of texts.
    """

    name: str
    words: str
    texts: CheckedTable | None
    count: str


CHUNK_KEYWORDS = KeywordTable(KEYWORDS, "chunk_words", CHUNKS, "SELECT sum(chunks) FROM documents")


class Keywords:
    """Keyword search in an index, on a connection that may make temporary tables."""

    def __init__(
        self,
        database: sqlite3.Connection,
        table: KeywordTable = CHUNK_KEYWORDS,
        ignored: frozenset[str] = frozenset(),
    ) -> None:
        """Prepare the temporary tables of a connection.

        Args:
            database: The connection.
            table: What to search.
            ignored: Words of a query, folded, that weigh nothing where it has others.
        """
        self._database, self._table, self._ignored = database, table, ignored
        self._terms, self._places = f"temp.{table.name}_terms", f"temp.{table.name}_places"
        for name, kind in ((self._terms, "row"), (self._places, "instance")):
            database.execute(
                f"CREATE VIRTUAL TABLE IF NOT EXISTS {name} "
                f"USING fts5vocab('main', '{table.name}', '{kind}')"
            )
        database.execute("CREATE TABLE IF NOT EXISTS temp.chosen (id INTEGER PRIMARY KEY)")

    def search(self, query: str, count: int, allowed: Ids | None = None) -> Ranking:
        """Rank the chunks that have words of a query, by BM25.

        Words are alternatives; words in double quotation marks have to follow each other. Nothing
        in a query is an operator. Words that more than half of the chunks have weigh nothing in
        FTS5's BM25, and are left out where there are others. In a script without spaces a short
        run is a word: chunks that have it whole are found, and those with parts only if none has.

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
                for term in phrase.terms:
                    if term in chosen:
                        having = self._having(term, allowed)
                        candidates = candidates[np.isin(candidates, having, assume_unique=True)]
            questions = [phrase.question for phrase in asked.phrases]
            candidates = self._with_phrases(candidates, questions, max(count, _AT_A_TIME))
        candidates = self._with_whole_words(candidates, asked.words, chosen)
        return self._bm25(chosen, candidates, count)

    def _rarest(self, asked: KeywordQuery) -> dict[Term, int]:
        """Return the number of chunks that have each term of the index, the rarest first."""
        telling = [term for term in asked.terms if term.spelled not in self._ignored]
        numbers = {term: n for term in telling or asked.terms if (n := self._number(term))}
        total = self._total()
        rare = {term: n for term, n in numbers.items() if n <= _COMMON * total} or numbers
        return dict(sorted(rare.items(), key=lambda row: row[1]))

    def _number(self, term: Term) -> int:
        if term.is_beginning:
            return len(self._having(term, None))
        question = f"SELECT doc FROM {self._terms} WHERE term = ?"  # noqa: S608
        row = self._database.execute(question, (term.text,)).fetchone()
        with reading_rows("The number of chunks with a word"):
            return int(row[0]) if row else 0

    def _total(self) -> int:
        row = self._database.execute(self._table.count).fetchone()
        with reading_rows("The number of chunks"):
            return int(row[0] or 0)

    def _candidates(
        self, chosen: Mapping[Term, int], asked: KeywordQuery, allowed: Ids | None
    ) -> Ids:
        """Return the chunks to score: those with the rarest words, where there are too many."""
        total = max(1, self._total())
        weights = {
            term: float(np.log1p((total - n + 0.5) / (n + 0.5))) for term, n in chosen.items()
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

    def _having(self, term: Term, allowed: Ids | None) -> Ids:
        if term.is_beginning:
            rows = self._database.execute(
                f"SELECT DISTINCT term, doc FROM {self._places} "  # noqa: S608
                "WHERE term >= ? AND term < ?",
                (term.text, term.text + _LAST),
            )
            ids = np.unique(np.array([doc for word, doc in rows if units(word)[0] == term.text]))
            ids = ids.astype(np.int64)
        else:
            cursor = self._database.execute(
                f"SELECT doc FROM {self._places} WHERE term = ?",  # noqa: S608
                (term.text,),
            )
            ids = np.fromiter((row[0] for row in cursor), np.int64)
        return ids if allowed is None else ids[np.isin(ids, allowed, assume_unique=True)]

    def _with_phrases(self, candidates: Ids, questions: Sequence[str], count: int) -> Ids:
        """Return the candidates whose texts hold all phrases, in order; `count` of them or more."""
        found: list[int] = []
        question = " AND ".join(questions)
        for start in range(0, len(candidates), _AT_A_TIME):
            if len(found) >= count:
                break
            block = candidates[start : start + _AT_A_TIME].tolist()
            with closing(words_table(self._words(block).items())) as table:
                rows = table.execute("SELECT rowid FROM texts WHERE texts MATCH ?", (question,))
                having = {row[0] for row in rows}
            found += [id_ for id_ in block if id_ in having]
        return np.array(found, np.int64)

    def _with_whole_words(
        self, candidates: Ids, words: Sequence[Word], chosen: Mapping[Term, int]
    ) -> Ids:
        """Return the candidates that have a word whole, and not only some of its pairs.

        The pairs of a word that no candidate has whole count as words of their own.
        """
        if all(len(word) == 1 for word in words):
            return candidates
        texts = self._words(candidates.tolist())
        padded = [f" {texts.get(id_, '')} " for id_ in candidates.tolist()]
        kept = np.zeros(len(candidates), bool)
        for word in words:
            spelled = f" {' '.join(term.spelled for term in word)} "
            whole = np.zeros(len(candidates), bool)
            if len(word) > 1:
                whole = np.array([spelled in text for text in padded], bool)
            if not whole.any():
                for term in word:
                    if term in chosen:
                        whole |= np.isin(candidates, self._having(term, None), assume_unique=True)
            kept |= whole
        return candidates[kept]

    def _bm25(self, chosen: Mapping[Term, int], candidates: Ids, count: int) -> Ranking:
        question = " OR ".join(term.question for term in chosen)
        name = self._table.name
        if texts := self._table.texts:  # FTS5 counts words in them, and trusts them
            for id_ in candidates.tolist():
                row = read_checked(self._database, texts, "WHERE id = ?", (id_,))
                check_rows(self._database, texts, row)
        self._database.execute("DELETE FROM temp.chosen")
        self._database.executemany(
            "INSERT INTO temp.chosen VALUES (?)", ((id_,) for id_ in candidates.tolist())
        )
        rows = self._database.execute(
            f"SELECT rowid, -bm25({name}) FROM {name} "  # noqa: S608
            f"WHERE {name} MATCH ? AND +rowid IN (SELECT id FROM temp.chosen)",
            (question,),
        ).fetchall()
        ids = np.array([row[0] for row in rows], np.int64)
        return best(ids, np.array([row[1] for row in rows], np.float64), count)

    def _words(self, ids: Iterable[int]) -> dict[int, str]:
        """Return by id what FTS5 reads of texts."""
        question = f"SELECT text FROM {self._table.words} WHERE id = ?"  # noqa: S608
        rows = ((id_, self._database.execute(question, (id_,)).fetchone()) for id_ in ids)
        return {id_: row[0] for id_, row in rows if row is not None}
