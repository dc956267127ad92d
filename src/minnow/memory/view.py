"""The present state of all memories of a file, in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.characters import clean_text
from minnow.errors import InputError
from minnow.indexfile.filters import select_where
from minnow.indexfile.matrix import Matrix, best, exact_scores
from minnow.memory import rows
from minnow.memory.items import Recalled
from minnow.memory.schema import MEMORY_VECTORS
from minnow.memory.scoring import recency, scores
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    from collections.abc import Collection

    from minnow.indexfile.encodings import Floats, Ids
    from minnow.indexfile.filters import Parameters
    from minnow.indexfile.store import Store
    from minnow.memory.items import Item
    from minnow.memory.rows import RankingData
    from minnow.memory.scoring import Weights


_HINT = f"Columns are {', '.join(rows.COLUMNS)}; times are in milliseconds since 1970."
_BY_TAG = (
    "SELECT id FROM memories WHERE EXISTS (SELECT 1 FROM json_each(memories.tags) WHERE value = ?)"
)


class View:
    """The memories of a file, for use within a transaction of the caller."""

    def __init__(self, store: Store) -> None:
        """Read nothing yet."""
        fingerprint = store.fingerprint
        self._store, self._kind = store, Similarity(fingerprint.similarity)
        self._matrix = Matrix(
            MEMORY_VECTORS,
            fingerprint.width,
            store.settings.encoding,
            unit=self._kind is Similarity.COSINE,
        )
        self._data: RankingData | None = None
        self._seen = -1

    def data(self) -> RankingData:
        """Return the columns that rank memories, as the file has them now."""
        changes = self._store.changes
        if self._data is None or changes != self._seen:
            self._data = rows.read_ranking_data(self._store.database)
            self._seen = changes
        return self._data

    def refresh(self) -> RankingData:
        """Return the same, and read new vectors."""
        data = self.data()
        self._matrix.refresh(self._store.database, data.ids)
        return data

    def rank(
        self, query: Floats, count: int, allowed: Ids, now: int, weights: Weights
    ) -> list[Recalled]:
        """Return the memories with the greatest scores for a query; of equal ones the older first.

        The query is float32 of shape (width,), ids are ascending, the time is in milliseconds.
        """
        data = self.refresh()
        chosen = np.isin(data.ids, allowed, assume_unique=True)
        places = None if chosen.all() else np.flatnonzero(chosen)
        # Scaling would enlarge the rounding of BLAS where memories are alike.
        ids, relevance = (
            data.ids[chosen],
            exact_scores(query, self._matrix.columns, self._kind, places),
        )
        recencies = recency(data.used[chosen], now, weights.decay)
        ranking = best(ids, scores(relevance, recencies, data.importance[chosen], weights), count)
        items = rows.read_items(self._store.database, ranking.ids)
        return [
            Recalled(item, float(score), float(relevance[place]), float(recencies[place]))
            for item, score, place in zip(
                items, ranking.scores, np.searchsorted(ids, ranking.ids), strict=True
            )
        ]

    def units(self) -> Floats:
        """Return the vectors of all memories with length 1: float32 of shape (width, memories)."""
        return self.units_of(self._matrix.columns)

    def units_of(self, columns: Floats) -> Floats:
        """Return stored vectors with length 1, which those compared by cosine have already."""
        if self._kind is Similarity.COSINE:
            return columns
        return np.ascontiguousarray(normalize(np.ascontiguousarray(columns.T)).T)

    def recent(self, count: int) -> tuple[list[Item], Floats]:
        """Return the newest memories that have led to no insight, the oldest of them first.

        Returns:
            The memories, and their vectors: float32 of shape (memories, width), of length 1.
        """
        items = rows.read_recent(self._store.database, count)
        self.refresh()
        places = np.searchsorted(self._matrix.ids, [item.id for item in items])
        return items, normalize(np.ascontiguousarray(self._matrix.columns[:, places].T))

    def newest_first(self, ids: Ids) -> Ids:
        """Sort ids by the creation of their memories; of equal times the greater id comes first."""
        data = self.data()
        created = data.created[np.searchsorted(data.ids, ids)]
        return ids[np.lexsort((-ids, -created))]

    def allowed(self, tags: Collection[str], where: str | None, params: Parameters) -> Ids:
        """Return the ids of memories that have all tags and fulfil a condition, ascending.

        Raises:
            InputError: It is no condition on their columns.
        """
        if isinstance(tags, str):
            raise InputError("tags is one string; it should be a list of words.")
        allowed, wanted = self.data().ids, [clean_text(tag).strip() for tag in tags]
        found = [self._store.database.execute(_BY_TAG, (tag,)).fetchall() for tag in wanted]
        if where is not None:
            found.append(select_where(self._store, "SELECT id FROM memories", where, params, _HINT))
        for matches in found:
            allowed = np.intersect1d(allowed, np.array([id_ for (id_,) in matches], np.int64))
        return allowed
