"""Fusion of two rankings: by vectors, and by words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.indexfile.matrix import Ranking, best
from minnow.vectors import Similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEPTH = 100
"""How many of each ranking are considered, or as many as are wanted if that is more."""

RRF_K = 60
"""Cormack, Clarke and Büttcher, Reciprocal Rank Fusion Outperforms Condorcet and Individual Rank
Learning Methods, SIGIR 2009."""

VECTOR_WEIGHT = 0.8
"""The weight of vectors where scores are added: Bruch, Gai and Ingber, An Analysis of Fusion
Functions for Hybrid Retrieval, ACM TOIS 42(1), 2023 (https://arxiv.org/abs/2210.11934), who find
it good on all data sets that they did not tune on."""


def fuse_ranks(rankings: tuple[Ranking, Ranking], count: int) -> Ranking:
    """Fuse rankings by reciprocal rank."""
    ids = np.concatenate([ranking.ids for ranking in rankings])
    gains = np.concatenate([1.0 / (RRF_K + 1 + np.arange(len(r.ids))) for r in rankings])
    every, inverse = np.unique(ids, return_inverse=True)
    sums = np.bincount(inverse, gains, len(every)).astype(np.float64)
    return best(every, sums, count)


def fuse_scores(
    ids: NDArray[np.int64],
    nearness: NDArray[np.float64],
    keywords: NDArray[np.float64],
    kind: Similarity,
    count: int,
) -> Ranking:
    """Fuse rankings by the sum of scaled scores.

    Args:
        ids: The chunks in either ranking, int64 of shape (chunks,).
        nearness: Similarity of their vectors to the query's; -inf where a vector is missing.
        keywords: Their BM25; 0 for chunks without a word of the query.
        kind: What `nearness` is; a cosine is at least -1, of others the least found is taken.
        count: How many to keep.
    """
    return best(ids, hybrid_scores(nearness, keywords, kind), count)


def hybrid_scores(
    nearness: NDArray[np.float64], keywords: NDArray[np.float64], kind: Similarity
) -> NDArray[np.float64]:
    """Return the sums of scaled scores, from 0 to 1; the arguments are those of `fuse_scores`."""
    finite = np.isfinite(nearness)
    if finite.any():
        least = -1.0 if kind is Similarity.COSINE else float(nearness[finite].min())
        nearness = _scaled(np.where(finite, nearness, least), least)
    else:
        nearness = np.zeros(len(nearness))
    scores: NDArray[np.float64] = VECTOR_WEIGHT * nearness
    return scores + (1 - VECTOR_WEIGHT) * _scaled(keywords, 0.0)


def _scaled(scores: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """Scale scores from 0 for the least to 1 for the greatest."""
    span = float(scores.max(initial=least)) - least
    return (scores - least) / span if span > 0 else np.zeros(len(scores))
