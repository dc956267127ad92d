"""The present state of all memories of a file, in memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from minnow.characters import clean_text
from minnow.errors import InputError
from minnow.indexfile.filters import select_where
from minnow.indexfile.matrix import Matrix
from minnow.memory import rows
from minnow.memory.columns import Columns
from minnow.memory.items import Recalled
from minnow.memory.schema import MEMORY_VECTORS
from minnow.memory.word_index import WordIndex
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from minnow.indexfile.encodings import Floats, Ids
    from minnow.indexfile.store import Store
    from minnow.memory.items import Item, Selection
    from minnow.memory.ranking import Ranked


_HINT = f"Columns are {', '.join(rows.COLUMNS)}; times are in milliseconds since 1970."
_BY_TAG = (
    "SELECT id FROM memories WHERE EXISTS (SELECT 1 FROM json_each(memories.tags) WHERE value = ?)"
)


class View:
    """The memories of a file, for use within a transaction of the caller.

    Attributes:
        kind: How vectors are compared.
        matrix: The vectors, as `refresh` read them.
        words: The words, as `data` read them.
    """

    def __init__(self, store: Store) -> None:
        """Read nothing yet."""
        fingerprint = store.fingerprint
        self._store, self.kind = store, Similarity(fingerprint.similarity)
        self.matrix = Matrix(
            MEMORY_VECTORS,
            fingerprint.width,
            store.settings.encoding,
            unit=self.kind is Similarity.COSINE,
        )
        self.words = WordIndex()
        self._columns = Columns()
        self._seen = -1  # the file's count of changes when it was read
        self._own = -1  # the count after this view's last write, if nothing else wrote since
        self._written: set[int] = set()  # ids that it has written and not read again

    def data(self) -> Columns:
        """Return the columns that rank memories, as the file has them now."""
        changes = self._store.changes
        if changes != self._seen:
            if changes == self._own:
                some = self._columns.update(self._store.database, self._written)
                self.words.replace(some, self._written - some.keys())
            else:
                self.words.replace_all(self._columns.read(self._store.database))
            self._seen = self._own = changes
            self._written = set()
        return self._columns

    @contextmanager
    def changing(self) -> Iterator[tuple[sqlite3.Connection, set[int]]]:
        """Begin a transaction that writes memories.

        The caller adds the ids of those that it writes to the set. Only these are read again,
        unless something else writes, too.
        """
        ids: set[int] = set()
        with self._store.writing() as database:
            before = self._store.changes
            yield database, ids
        if before == self._own and not database.in_transaction:
            self._own = before + 1
            self._written |= ids

    def refresh(self) -> Columns:
        """Return the same as `data`, and read new vectors."""
        columns = self.data()
        self.matrix.refresh(self._store.database, columns.ids)
        return columns

    def units(self) -> Floats:
        """Return the vectors of all memories with length 1: float32 of shape (width, memories)."""
        return self.units_of(self.matrix.columns)

    def units_of(self, columns: Floats) -> Floats:
        """Return stored vectors with length 1, which those compared by cosine have already."""
        if self.kind is Similarity.COSINE:
            return columns
        return np.ascontiguousarray(normalize(np.ascontiguousarray(columns.T)).T)

    def recent(self, count: int) -> tuple[list[Item], Floats]:
        """Return the newest memories that have led to no insight, the oldest of them first.

        Returns:
            The memories, and their vectors: float32 of shape (memories, width), of length 1.
        """
        items = rows.read_recent(self._store.database, count)
        self.refresh()
        places = np.searchsorted(self.matrix.ids, [item.id for item in items])
        return items, normalize(np.ascontiguousarray(self.matrix.columns[:, places].T))

    def recalled(self, ranked: Ranked, window: int) -> list[Recalled]:
        """Read the memories that were found, and the turns around them."""
        columns, database = self.data(), self._store.database
        items = rows.read_items(database, ranked.ids)
        places = np.searchsorted(columns.ids, ranked.ids)
        found = []
        for item, figures, place in zip(items, ranked.figures(), places.tolist(), strict=True):
            before, after = (
                tuple(rows.read_items(database, columns.ids[side]))
                for side in columns.window(place, window)
            )
            found.append(Recalled(item, *figures, before, after))
        return found

    def newest_first(self, ids: Ids) -> Ids:
        """Sort ids by the creation of their memories; of equal times the greater id comes first."""
        data = self.data().rows
        created = data["created"][np.searchsorted(data["id"], ids)]
        return ids[np.lexsort((-ids, -created))]

    def allowed(self, selection: Selection) -> Ids | None:
        """Return the ids of the memories that fulfil all conditions, ascending; None for all.

        Raises:
            InputError: One of the conditions cannot be used.
        """
        database, found = self._store.database, list[list[tuple[int]]]()
        if isinstance(selection.tags, str):
            raise InputError("tags is one string; it should be a list of words.")
        for tag in selection.tags:
            found.append(database.execute(_BY_TAG, (clean_text(tag).strip(),)).fetchall())
        for column in ("speaker", "session"):
            if (name := getattr(selection, column)) is not None:
                found.append(rows.find_turns(database, column, clean_text(name).strip()))
        if selection.where is not None:
            question = "SELECT id FROM memories"
            found.append(
                select_where(self._store, question, selection.where, selection.params, _HINT)
            )
        if not found:
            return None
        allowed = self.data().ids
        for matches in found:
            allowed = np.intersect1d(allowed, np.array([id_ for (id_,) in matches], np.int64))
        return allowed
