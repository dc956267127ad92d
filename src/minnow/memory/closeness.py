"""Closeness of two memories, on a scale that does not depend on the model.

Models spread their cosines differently: two unrelated sentences have a cosine of about 0.05 with
all-MiniLM-L6-v2, and of 0.7 with models trained at a low temperature. Closeness is 0 for that
cosine, the model's background, and 1 for equal vectors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.indexfile.settings import from_json
from minnow.memory.schema import BACKGROUND
from minnow.vectors import Similarity, similarity

if TYPE_CHECKING:
    from collections.abc import Callable

    from minnow.indexfile.models import SearchModel
    from minnow.indexfile.store import Store


UNRELATED = (
    "The train to the coast leaves at noon.",
    "She painted the kitchen yellow.",
    "Interest rates rose by a quarter of a percent.",
    "A cell divides into two daughter cells.",
    "Our team lost the final on penalties.",
    "Boil the rice for twelve minutes.",
    "The king signed the treaty in 1648.",
    "My phone does not charge any more.",
    "Whales sleep with half of their brain.",
    "He apologised for coming late.",
    "The court rejected the appeal.",
    "Snow is expected above nine hundred metres.",
)
"""Sentences of which no two are related."""

_HIGHEST_BACKGROUND = 0.95


def background(model: SearchModel) -> float:
    """Return the mean cosine of unrelated texts with a model.

    Texts that do not fit the model are left out; with fewer than two it is 0.
    """
    fitting = [text for text in UNRELATED if len(model.tokenizer.encode(text)) <= model.room]
    if len(fitting) < 2:
        return 0.0
    vectors = model.encode_documents(fitting)
    pairs = np.triu_indices(len(vectors), 1)
    mean = float(similarity(vectors, vectors, Similarity.COSINE)[pairs].mean())
    return min(max(mean, 0.0), _HIGHEST_BACKGROUND)


def known_background(store: Store, model: Callable[[], SearchModel]) -> float:
    """Return the background of a file's model, which is computed once for each file.

    Raises:
        InputError: It is not known yet, and there is no model.
    """
    known = store.fact(BACKGROUND)
    if known is None:
        known = repr(round(background(model()), 4))
        if store.writable:
            store.put_fact(BACKGROUND, known)
    return from_json(known, float, BACKGROUND)


def least_cosine(closeness: float, background_cosine: float) -> float:
    """Return the cosine of two texts of a given closeness."""
    return background_cosine + closeness * (1 - background_cosine)
