"""Clusters of memories of one subject, by their vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minnow.errors import InputError
from minnow.resources import require_memory

if TYPE_CHECKING:
    from minnow.indexfile.encodings import Floats


_MOST_CONSIDERED = 1_000_000
_BYTES_PER_PAIR = 24


@dataclass(frozen=True)
class Grouping:
    """Rules by which memories are reflected on together.

    Attributes:
        last: Number of memories to consider: the newest that have led to no insight yet.
        closeness: Mean closeness within a cluster, from 0, as unrelated texts have, to 1. See
            `minnow.memory.closeness`.
        smallest: The fewest memories of a cluster.
    """

    last: int = 100
    closeness: float = 0.4
    smallest: int = 3

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 1 <= self.last <= _MOST_CONSIDERED:
            raise InputError(f"last is {self.last}; it should be from 1 to {_MOST_CONSIDERED}.")
        if not 0 < self.closeness <= 1:
            raise InputError(f"closeness is {self.closeness}; it should be above 0 and up to 1.")
        if self.smallest < 2:
            raise InputError(f"smallest is {self.smallest}; it should be 2 or more.")


def average_linkage(vectors: Floats, least: float) -> list[list[int]]:
    """Join the two clusters with the greatest mean cosine, as long as it is large enough.

    The mean over all pairs of two clusters is the product of their sums of unit vectors, divided by
    the number of pairs. Of equal means the one with the first rows is taken.

    Args:
        vectors: float32 of shape (rows, width), of length 1.
        least: The mean cosine that two clusters must have.

    Returns:
        The rows of each cluster, ascending; the largest cluster first, then by first row.

    Source: Sokal and Michener, A Statistical Method for Evaluating Systematic Relationships, 1958.
    """
    require_memory(
        len(vectors) ** 2 * _BYTES_PER_PAIR + vectors.size * 12,
        f"Comparing {len(vectors)} memories with each other",
        "Give a smaller `last=`.",
    )
    clusters = [[row] for row in range(len(vectors))]
    sums = vectors.astype(np.float64)
    counts = np.ones(len(vectors))
    means = sums @ sums.T
    means[np.tril_indices(len(vectors))] = -np.inf
    while len(vectors):
        first, second = np.unravel_index(means.argmax(), means.shape)
        if not means[first, second] >= least:
            break
        clusters[first] += clusters[second]
        sums[first] += sums[second]
        counts[first] += counts[second]
        clusters[second] = []
        means[second, :] = means[:, second] = -np.inf
        with np.errstate(invalid="ignore"):
            joined = sums @ sums[first] / (counts * counts[first])
        there = np.array([bool(cluster) for cluster in clusters])
        later, earlier = there.copy(), there.copy()
        later[: first + 1], earlier[first:] = False, False
        means[first, later], means[earlier, first] = joined[later], joined[earlier]
    return sorted((sorted(c) for c in clusters if c), key=lambda c: (-len(c), c[0]))
