"""Clusters of memories of one subject, by their vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minnow.errors import InputError
from minnow.resources import require_memory

if TYPE_CHECKING:
    from minnow.indexfile.encodings import Doubles, Floats


_MOST_CONSIDERED = 1_000_000
_BYTES_PER_PAIR = 9


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

    It follows chains of nearest neighbours. The last two of a chain are each other's nearest, and
    joining those gives the same clusters in any order, in time that grows with the square of rows.

    Args:
        vectors: float32 of shape (rows, width), of length 1.
        least: The mean cosine that two clusters must have.

    Returns:
        The rows of each cluster, ascending; the largest cluster first, then by first row.

    Sources: Sokal and Michener, A Statistical Method for Evaluating Systematic Relationships, 1958;
    Murtagh, A Survey of Recent Advances in Hierarchical Clustering Algorithms, The Computer Journal
    26(4), 1983.
    """
    require_memory(
        len(vectors) ** 2 * _BYTES_PER_PAIR + vectors.size * 12,
        f"Comparing {len(vectors)} memories with each other",
        "Give a smaller `last=`.",
    )
    rows = vectors.astype(np.float64)
    means = rows @ rows.T
    np.fill_diagonal(means, -np.inf)
    clusters = [[row] for row in range(len(vectors))]
    counts, chain = np.ones(len(vectors)), list[int]()
    waiting = np.flatnonzero(means.max(axis=1, initial=-np.inf) >= least)[::-1].tolist()
    while chain or waiting:
        top = chain[-1] if chain else waiting.pop()
        nearest = int(means[top].argmax())
        before = chain[-2] if len(chain) > 1 else top
        if means[top, before] >= means[top, nearest]:
            nearest = before
        if not means[top, nearest] >= least:  # as of what was joined into another
            chain = chain[:-1]
        elif nearest != before:
            chain = [*(chain or [top]), nearest]
        else:
            _join(means, counts, top, before)
            clusters[before] += clusters[top]
            clusters[top] = []
            chain = chain[:-2]
            waiting.append(before)
    return sorted((sorted(c) for c in clusters if c), key=lambda c: (-len(c), c[0]))


def _join(means: Doubles, counts: Doubles, gone: int, kept: int) -> None:
    """Put the mean cosines of two clusters together in the row and column of one."""
    joined = counts[gone] * means[gone] + counts[kept] * means[kept]
    counts[kept] += counts[gone]
    means[kept] = means[:, kept] = joined / counts[kept]
    means[gone] = means[:, gone] = -np.inf
    means[kept, kept] = -np.inf
