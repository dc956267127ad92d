"""Texts that say what a memory says already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.memory import table
from minnow.memory.closeness import same_numbers
from minnow.vectors import normalize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from minnow.memory.items import Item, Observation
    from minnow.memory.view import View
    from minnow.search import Store

    Floats = NDArray[np.float32]

_AT_A_TIME = 256


def write_or_merge(
    store: Store,
    view: View,
    observations: Sequence[Observation],
    vectors: Floats,
    rows: Sequence[bytes],
    *,
    least: float,
    now: int,
) -> list[int]:
    """Write what is new, and have memories say that they were remembered again.

    Args:
        store: The file, within a transaction that writes.
        view: Of its memories.
        observations: What to remember.
        vectors: Theirs, float32 of shape (observations, width).
        rows: The same, as they are stored.
        least: The cosine from which two texts may say the same.
        now: The time, in milliseconds.

    Returns:
        The id of the memory of each.
    """
    old, units = view.refresh().ids, normalize(vectors)
    made: dict[int, int] = {}
    ids = []
    for start in range(0, len(observations), _AT_A_TIME):
        block = units[start : start + _AT_A_TIME]
        near = _near(view.cosines(block), old, least)
        if made:
            later = _near(block @ units[list(made)].T, np.array(list(made.values())), least)
            near = [one + other for one, other in zip(near, later, strict=True)]
        inner, fresh = block @ block.T, dict[int, int]()
        for row, observation in enumerate(observations[start : start + _AT_A_TIME]):
            beside = [(-float(inner[row, other]), id_) for other, id_ in fresh.items()]
            candidates = near[row] + [pair for pair in beside if -pair[0] >= least]
            same = _same(store, observation, [id_ for _, id_ in sorted(candidates)])
            if same is None:
                fresh[row] = table.add(store.database, observation, now, rows[start + row])
                ids.append(fresh[row])
            else:
                table.merge(store.database, same, observation, now)
                ids.append(same.id)
        made |= {start + row: id_ for row, id_ in fresh.items()}
    return ids


def _near(cosines: Floats, ids: NDArray[np.int64], least: float) -> list[list[tuple[float, int]]]:
    """For each row of cosines those that are large enough, negated, with their ids."""
    found: list[list[tuple[float, int]]] = [[] for _ in cosines]
    for row, column in zip(*np.nonzero(cosines >= least), strict=True):
        found[row].append((-float(cosines[row, column]), int(ids[column])))
    return found


def _same(store: Store, observation: Observation, nearest_first: Sequence[int]) -> Item | None:
    for item in table.read_items(store.database, nearest_first):
        alike = item.kind is observation.kind and same_numbers(item.text, observation.text)
        if alike and item.id not in observation.sources:
            return item
    return None
