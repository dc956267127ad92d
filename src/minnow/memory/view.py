"""What a file remembers now: what ranks its memories, and their vectors in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.errors import InputError
from minnow.memory import table
from minnow.memory.items import Recalled
from minnow.memory.scoring import recency, scores
from minnow.search.checks import is_unicode
from minnow.search.filters import ask
from minnow.search.matrix import Matrix, best, compare
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    from collections.abc import Collection

    from numpy.typing import NDArray

    from minnow.memory.items import Item
    from minnow.memory.scoring import Weights
    from minnow.memory.table import Facts
    from minnow.search import Store
    from minnow.search.filters import Parameters

    Doubles = NDArray[np.float64]
    Floats = NDArray[np.float32]
    Ids = NDArray[np.int64]

_HINT = f"Columns are {', '.join(table.COLUMNS)}; times are in milliseconds since 1970."
_BY_TAG = (
    "SELECT id FROM memories WHERE EXISTS (SELECT 1 FROM json_each(memories.tags) WHERE value = ?)"
)


class View:
    """All memories of a file, for a transaction of the caller's."""

    def __init__(self, store: Store) -> None:
        """Look at nothing yet."""
        fingerprint = store.fingerprint
        self._store, self._kind = store, Similarity(fingerprint.similarity)
        self._matrix = Matrix("memory_vectors", fingerprint.width, store.settings.encoding)
        self._facts: Facts | None = None
        self._seen = -1

    def facts(self) -> Facts:
        """What ranks them, as the file has it now."""
        changes = self._store.changes
        if self._facts is None or changes != self._seen:
            self._facts = table.read_facts(self._store.database)
            self._seen = changes
        return self._facts

    def refresh(self) -> Facts:
        """Likewise, and have their vectors too."""
        facts = self.facts()
        self._matrix.refresh(self._store.database, facts.ids)
        return facts

    def rank(
        self, query: Floats, count: int, allowed: Ids, now: int, weights: Weights
    ) -> list[Recalled]:
        """The memories that matter for a query, the best first; of equal ones the older id.

        Args:
            query: Its vector, float32 of shape (width,).
            count: How many at most.
            allowed: Ids that may be found, ascending.
            now: The time, in milliseconds.
            weights: Of what makes the score.
        """
        facts = self.refresh()
        chosen = np.isin(facts.ids, allowed, assume_unique=True)
        ids, nearness = facts.ids[chosen], self.nearness(query)[chosen]
        recencies = recency(facts.used[chosen], now, weights.decay)
        ranking = best(ids, scores(nearness, recencies, facts.importance[chosen], weights), count)
        items = table.read_items(self._store.database, ranking.ids)
        return [
            Recalled(item, float(score), float(nearness[place]), float(recencies[place]))
            for item, score, place in zip(
                items, ranking.scores, np.searchsorted(ids, ranking.ids), strict=True
            )
        ]

    def nearness(self, query: Floats) -> Doubles:
        """How near all are to a query, as the model compares; float64 of shape (memories,)."""
        near: Doubles = compare(query[None], self._matrix.columns, self._kind)[0].astype(np.float64)
        return near

    def cosines(self, units: Floats) -> Floats:
        """The cosines of all with other vectors, whatever the model compares by.

        Args:
            units: float32 of shape (vectors, width), of length 1.

        Returns:
            float32 of shape (vectors, memories).
        """
        products = units @ self._matrix.columns
        if self._kind is not Similarity.COSINE:
            products /= np.maximum(np.linalg.norm(self._matrix.columns, axis=0), 1e-12)
        return products

    def recent(self, count: int) -> tuple[list[Item], Floats]:
        """The newest that nothing was concluded from, the oldest of them first.

        Returns:
            The memories, and their vectors: float32 of shape (memories, width), of length 1.
        """
        items = table.read_recent(self._store.database, count)
        self.refresh()
        places = np.searchsorted(self._matrix.ids, [item.id for item in items])
        return items, normalize(self._matrix.columns[:, places].T)

    def newest_first(self, ids: Ids) -> Ids:
        """Some memories' ids by when they were; of one moment the greater id comes first."""
        facts = self.facts()
        created = facts.created[np.searchsorted(facts.ids, ids)]
        return ids[np.lexsort((-ids, -created))]

    def allowed(self, tags: Collection[str], where: str | None, params: Parameters) -> Ids:
        """The ids of the memories that have all of some tags and fulfil a condition, ascending.

        Raises:
            InputError: It is no condition on their columns.
        """
        if isinstance(tags, str):
            raise InputError("tags is one string; it should be a list of words.")
        if not all(map(is_unicode, tags)):
            raise InputError("A tag holds half a character. Take it out.")
        allowed = self.facts().ids
        found = [self._store.database.execute(_BY_TAG, (tag.strip(),)).fetchall() for tag in tags]
        if where is not None:
            found.append(ask(self._store, "SELECT id FROM memories", where, params, _HINT))
        for rows in found:
            allowed = np.intersect1d(allowed, np.array([id_ for (id_,) in rows], np.int64))
        return allowed
