"""Embedding of observations, and merging of those that repeat a memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.errors import InputError
from minnow.indexfile.encodings import encode_rows
from minnow.indexfile.matrix import exact_scores, rounding
from minnow.indexfile.models import find_too_long
from minnow.memory import rows
from minnow.memory.items import milliseconds_of
from minnow.memory.wording import repeats
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.indexfile.encodings import Floats, Ids
    from minnow.indexfile.models import SearchModel
    from minnow.indexfile.store import Store
    from minnow.memory.items import Item, Observation
    from minnow.memory.view import View
    from minnow.vectors import VectorEncoding


_AT_A_TIME = 256


def encode_whole(
    model: SearchModel, texts: Sequence[str], encoding: VectorEncoding
) -> tuple[Floats, list[bytes]]:
    """Embed texts: their vectors, float32 of shape (texts, width), and the same as blobs.

    Raises:
        InputError: A text is longer than the model takes.
    """
    if found := find_too_long(model, texts):
        number, tokens = found
        raise InputError(
            f"The text {texts[number][:60]!r} has {tokens} tokens; the model takes "
            f"{model.room}. Remember it in parts."
        )
    vectors = model.encode_documents(texts)
    return vectors, encode_rows(vectors, encoding)


def write_or_merge(
    store: Store,
    view: View,
    observations: Sequence[Observation],
    vectors: Floats,
    stored: Floats,
    blobs: Sequence[bytes],
    *,
    least: float,
    now: int,
) -> list[int]:
    """Write new observations, and merge those that repeat a memory; the same as one by one.

    Args:
        store: The file, within a transaction that writes.
        view: The view of its memories.
        observations: The observations.
        vectors: Their vectors, float32 of shape (observations, width).
        stored: The same as they are read back from the file.
        blobs: The same as the file stores them.
        least: The least cosine of two texts that may say the same.
        now: The time, in milliseconds since 1970.

    Returns:
        The id of the memory of each observation.
    """
    old, units = view.refresh().ids, normalize(vectors)
    known, columns = view.units(), view.units_of(stored.T)
    made: dict[int, int] = {}
    ids = []
    for start in range(0, len(observations), _AT_A_TIME):
        end = min(start + _AT_A_TIME, len(observations))
        block = units[start:end]
        similar = _similar(block, known, old, least)
        if made:
            later = np.array(list(made.values()), np.int64)
            more = _similar(block, columns[:, list(made)], later, least)
            similar = [one + other for one, other in zip(similar, more, strict=True)]
        inner, fresh = block @ columns[:, start:end], dict[int, int]()
        for row, observation in enumerate(observations[start:end]):
            places = np.array(list(fresh), np.int64)
            beside = _exact(block[row], columns[:, start:end], places, inner[row], least)
            candidates = similar[row] + [(cosine, fresh[place]) for cosine, place in beside]
            nearest = [id_ for _, id_ in sorted(candidates)]
            same = _first_repeated(store, observation, nearest, now)
            if same is None:
                fresh[row] = rows.add(store.database, observation, now, blobs[start + row])
                ids.append(fresh[row])
            else:
                rows.merge(store.database, same, observation, now)
                ids.append(same.id)
        made |= {start + row: id_ for row, id_ in fresh.items()}
    return ids


def _similar(
    units: Floats, columns: Floats, ids: Ids, least: float
) -> list[list[tuple[float, int]]]:
    """Return for each unit vector the similar columns: their negated cosines and ids."""
    places = np.arange(len(ids))
    return [
        [(cosine, int(ids[place])) for cosine, place in _exact(unit, columns, places, row, least)]
        for unit, row in zip(units, units @ columns, strict=True)
    ]


def _exact(
    unit: Floats, columns: Floats, places: Ids, cosines: Floats, least: float
) -> list[tuple[float, int]]:
    """Return the negated exact cosines and the places of columns that are similar to a vector.

    Args:
        unit: float32 of shape (width,), of length 1.
        columns: float32 of shape (width, columns), of length 1.
        places: The columns to consider.
        cosines: Rounded cosines with all columns, as BLAS computes them.
        least: The least cosine.
    """
    margin = rounding(unit, 2.0, Similarity.COSINE)
    places = places[cosines[places] >= least - margin]
    if not len(places):
        return []
    exact = -exact_scores(unit, columns, Similarity.COSINE, places)
    pairs = zip(exact.tolist(), places.tolist(), strict=True)
    return [(cosine, place) for cosine, place in pairs if cosine <= -least]


def _first_repeated(
    store: Store, observation: Observation, nearest_first: Sequence[int], now: int
) -> Item | None:
    at = now if observation.at is None else milliseconds_of(observation.at)
    for item in rows.read_items(store.database, nearest_first):
        if repeats(observation, at, item, milliseconds_of(item.created)):
            return item
    return None
