"""Columns that rank memories, besides their vectors: in RAM, and updated row by row."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.indexfile.checks import reading_rows
from minnow.indexfile.checksums import check_rows, check_table, read_checked, read_table
from minnow.indexfile.words import fold
from minnow.memory.items import MemoryKind, datetime_of
from minnow.memory.mentions import PREFIX, Speaker, find_mentions
from minnow.memory.rows import read_turns
from minnow.memory.schema import MEMORY_LINKS, MEMORY_ROWS

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from minnow.indexfile.encodings import Ids
    from minnow.memory.mentions import Mentions

COLUMNS = np.dtype([
    ("id", "i8"), ("importance", "f8"), ("created", "i8"), ("used", "i8"), ("session", "i8"),
    ("label", "i8"),
])  # fmt: skip
_TOGETHER = 3_600_000
"""Turns without a session belong together if no more than an hour lies between them."""


class Columns:
    """The columns that rank memories, in the order of ids.

    Attributes:
        ids: The ids, ascending: int64 of shape (memories,).
        rows: Structured array of shape (memories,): `id`, ascending; `importance`; `created` and
            `used` in milliseconds since 1970; `session`, a number for each, 0 where none was given,
            and -1 for insights; `who`, a number for the speaker and the tags.
    """

    def __init__(self) -> None:
        """Hold no memories yet."""
        self._hold(np.empty(0, COLUMNS))
        self._sessions: dict[str, int] = {"": 0}
        self._labels: dict[tuple[Speaker | None, str], int] = {}
        self._named: list[tuple[Speaker | None, frozenset[str]]] = []

    def _hold(self, rows: NDArray[Any]) -> None:
        self.rows = rows
        self.ids: Ids = np.ascontiguousarray(rows["id"])
        self._around: tuple[Ids, Ids] | None = None

    @property
    def latest(self) -> datetime | None:
        """The time of the newest memory, if there is one."""
        return datetime_of(int(self.rows["created"].max())) if len(self.rows) else None

    def read(self, database: sqlite3.Connection) -> dict[int, str]:
        """Read all memories, and check all their rows; return what the words index has to hold.

        Raises:
            IndexFileError: A row has changed, or is missing.
        """
        check_table(database, MEMORY_LINKS)
        turns, words, blocks = read_turns(database), dict[int, str](), [np.empty(0, COLUMNS)]
        for block in read_table(database, MEMORY_ROWS):
            rows, some = self._rows(block, turns)
            words |= some
            blocks.append(rows)
        self._hold(np.concatenate(blocks))
        return words

    def update(self, database: sqlite3.Connection, ids: Iterable[int]) -> dict[int, str]:
        """Read only some memories again, which may be new, changed or gone; return their words.

        Raises:
            IndexFileError: One of the rows has changed.
        """
        asked = sorted(ids)
        some = json.dumps(asked)
        condition = "WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
        block = read_checked(database, MEMORY_ROWS, condition, (some,)).fetchall()
        check_rows(database, MEMORY_ROWS, block)
        rows, words = self._rows(block, read_turns(database, some))
        places = np.searchsorted(self.rows["id"], asked)
        old = self.rows[places[places < len(self.rows)]]
        if np.array_equal(old["id"], rows["id"]) and len(rows) == len(asked):
            if not np.array_equal(old["created"], rows["created"]):
                self._around = None
            self.rows[places] = rows
            return words
        kept = self.rows[~np.isin(self.rows["id"], asked)]
        both = np.concatenate([kept, rows])
        self._hold(both[np.argsort(both["id"], kind="stable")])
        return words

    def around(self) -> tuple[Ids, Ids]:
        """Return the places of the turn before and the turn after each memory, or -1.

        Turns follow each other within a session in the order of time, then of ids; without a
        session, if they are no more than an hour apart. Insights are no turns.
        """
        if self._around is None:
            rows = self.rows
            order = np.lexsort((rows["id"], rows["created"], rows["session"]))
            session, created = rows["session"][order], rows["created"][order]
            follows = (session[1:] == session[:-1]) & (session[1:] >= 0)
            follows &= (session[1:] > 0) | (np.diff(created) <= _TOGETHER)
            before, after = np.full(len(rows), -1), np.full(len(rows), -1)
            before[order[1:][follows]] = order[:-1][follows]
            after[order[:-1][follows]] = order[1:][follows]
            self._around = before, after
        return self._around

    def find_mentions(self, question: str) -> Mentions:
        """Read which speakers and tags a question names."""
        uses = np.bincount(self.rows["label"], minlength=len(self._labels))
        counts: dict[Speaker, int] = {}
        tags: set[str] = set()
        for (speaker, some), count in zip(self._named, uses.tolist(), strict=True):
            if count:
                tags |= some
                if speaker is not None:
                    counts[speaker] = counts.get(speaker, 0) + count
        return find_mentions(question, counts.items(), tags)

    def named(self, mentions: Mentions) -> NDArray[np.bool_]:
        """Return for each memory whether a question names its speaker or one of its tags."""
        hits = [
            speaker in mentions.speakers or not mentions.tags.isdisjoint(tags)
            for speaker, tags in self._named
        ]
        return self._by_label(hits)

    def said(self) -> NDArray[np.bool_]:
        """Return for each memory whether it has a speaker."""
        return self._by_label([speaker is not None for speaker, _ in self._named])

    def _by_label(self, facts: Sequence[bool]) -> NDArray[np.bool_]:
        """Return for each memory the fact about its label; without a label it is false."""
        found: NDArray[np.bool_] = np.array([*facts, False], bool)[self.rows["label"]]
        return found

    def window(self, place: int, size: int) -> tuple[list[int], list[int]]:
        """Return the places of the turns before and after a memory, in order."""
        sides = []
        for neighbours in self.around():
            side, at = list[int](), int(neighbours[place])
            while at >= 0 and len(side) < size:
                side.append(at)
                at = int(neighbours[at])
            sides.append(side)
        return sides[0][::-1], sides[1]

    def _rows(
        self, block: Sequence[tuple[Any, ...]], turns: dict[int, tuple[str, str]]
    ) -> tuple[NDArray[Any], dict[int, str]]:
        words: dict[int, str] = {}
        found = []
        with reading_rows("The columns that rank memories"):
            for id_, text, kind, importance, created, used, _, tags, wordings, _ in block:
                speaker, session = turns.get(id_, ("", ""))
                said = Speaker(speaker, is_given=True) if speaker else None
                if said is None and (prefix := PREFIX.match(text)):
                    said = Speaker(prefix[1], is_given=False)
                number = self._sessions.setdefault(session, len(self._sessions))
                if kind == MemoryKind.INSIGHT.value:
                    number = -1
                found.append((id_, importance, created, used, number, self._label(said, tags)))
                others = [] if wordings == "[]" else json.loads(wordings)
                words[id_] = " ".join([text, *others])
            return np.array(found, COLUMNS), words

    def _label(self, speaker: Speaker | None, tags: str) -> int:
        """Return the number of a speaker with tags: its place in `_named`."""
        place = self._labels.setdefault((speaker, tags), len(self._labels))
        if place == len(self._named):
            folded = (" ".join(fold(tag).split()) for tag in json.loads(tags))
            self._named.append((speaker, frozenset(folded) - {""}))
        return place
