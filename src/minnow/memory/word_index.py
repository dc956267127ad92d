"""The keyword index of memories, which is made in memory from their texts."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from minnow.indexfile.keyword import Keywords, KeywordTable
from minnow.indexfile.words import TOKENIZE, divide, words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from minnow.indexfile.encodings import Ids
    from minnow.indexfile.matrix import Ranking

_TABLE = KeywordTable("texts", "words", None, "SELECT count(*) FROM texts_docsize")


QUESTION_WORDS = frozenset(
    """
    a about all am an and any are as at be been being but by can could d did do does doing for
    from had has have having he her here him his how i if in into is it its ll m may me might must
    my no not of on or our out re s shall she should so some t than that the their them there
    these they this those to too up us ve very was we were what when where which who whom whose
    why will with would you your
    """.split()  # noqa: SIM905
)
"""English words that questions are built with. In conversations half of the remarks have no such
word, so that BM25 takes them for telling; in documents nearly every passage has them."""


class WordIndex:
    """The words of all memories, for keyword search as in documents.

    A file keeps no keyword index of memories: they are few and short, and making it takes about as
    long as reading their vectors.
    """

    def __init__(self) -> None:
        """Hold no words yet."""
        self._words: dict[int, str] = {}
        self._changed: set[int] = set()
        self._indexed: set[int] = set()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(
            f'CREATE VIRTUAL TABLE texts USING fts5(text, tokenize="{TOKENIZE}")'
        )
        self._database.execute("CREATE VIEW words AS SELECT rowid AS id, text FROM texts")
        self._keywords = Keywords(self._database, _TABLE, QUESTION_WORDS)

    def replace(self, words: Mapping[int, str], gone: Iterable[int]) -> None:
        """Set the words of some memories, and drop those of others."""
        self._changed |= {id_ for id_, text in words.items() if self._words.get(id_) != text}
        self._words |= words
        for id_ in gone:
            self._changed.add(id_)
            self._words.pop(id_, None)

    def replace_all(self, words: Mapping[int, str]) -> None:
        """Hold the words of these memories, and no others."""
        self.replace(words, self._words.keys() - words.keys())

    def search(self, question: str, count: int, allowed: Ids | None) -> Ranking:
        """Rank memories by BM25; see `Keywords.search`."""
        changed = sorted(self._changed)
        self._database.executemany(
            "DELETE FROM texts WHERE rowid = ?", ((id_,) for id_ in changed if id_ in self._indexed)
        )
        there = [id_ for id_ in changed if id_ in self._words]
        self._database.executemany(
            "INSERT OR REPLACE INTO texts (rowid, text) VALUES (?, ?)",
            ((id_, _readable(self._words[id_])) for id_ in there),
        )
        self._indexed = (self._indexed - self._changed).union(there)
        self._changed = set()
        return self._keywords.search(question, count, allowed)

    def close(self) -> None:
        """Close the database."""
        self._database.close()


def _readable(text: str) -> str:
    """Return a text as FTS5 should read its words."""
    return text if words_of(text) is None else divide(text)
