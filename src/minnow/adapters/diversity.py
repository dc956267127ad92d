"""The choice of results that are near to a question and differ from each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.vectors import normalize

if TYPE_CHECKING:
    from numpy.typing import NDArray


def diverse(
    query: NDArray[np.float32], vectors: NDArray[np.float32], k: int, share: float
) -> list[int]:
    """Choose by maximal marginal relevance (Carbonell and Goldstein 1998).

    LlamaIndex's own function holds a candidate against the result before it only, so that a copy
    comes back as soon as something else was chosen; here it is held against all of them.

    Args:
        query: The question's vector, float32 of shape (width,).
        vectors: Those of the candidates, float32 of shape (candidates, width).
        k: The most results.
        share: From 0 for the most diverse to 1 for the nearest.

    Returns:
        Places of the candidates, in the order of their choice.
    """
    units = normalize(vectors)
    near = units @ normalize(query[None])[0]
    alike = np.full(len(units), -1.0)
    chosen: list[int] = []
    while len(chosen) < min(k, len(units)):
        scores = share * near - (1 - share) * alike if chosen else near.copy()
        scores[chosen] = -np.inf
        chosen.append(int(scores.argmax()))
        alike = np.maximum(alike, units @ units[chosen[-1]])
    return chosen
