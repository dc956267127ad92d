"""The score that ranks memories: relevance, recency and importance.

Source: Park et al., Generative Agents: Interactive Simulacra of Human Behavior, UIST 2023, section
4.1 (https://arxiv.org/abs/2304.03442): the weighted sum of the three, each scaled to [0, 1] over
all memories; recency decays by 0.995 an hour since a memory was used last; all weights are 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minnow.errors import InputError

if TYPE_CHECKING:
    from minnow.indexfile.encodings import Doubles, Ids


_HOUR = 3_600_000
_ALIKE = 0.5


@dataclass(frozen=True)
class Weights:
    """Weights of the parts of a score.

    Attributes:
        relevance: Weight of the similarity to the query.
        recency: Weight of the time since a memory was used last.
        importance: Weight of its importance.
        decay: Factor by which recency falls in an hour, above 0 and up to 1.
    """

    relevance: float = 1.0
    recency: float = 1.0
    importance: float = 1.0
    decay: float = 0.995

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in ("relevance", "recency", "importance"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"The weight of {name} is {value}; it should be 0 or more.")
        if not 0 < self.decay <= 1:
            raise InputError(f"The decay is {self.decay}; it should be above 0 and up to 1.")


def recency(used: Ids, now: int, decay: float) -> Doubles:
    """Return the recency of memories: float64 of shape (memories,), from 0 to 1.

    Times are in milliseconds since 1970; later uses count as now. `decay` is the factor of an
    hour.
    """
    hours = np.maximum(0, now - used) / _HOUR
    left: Doubles = np.power(decay, hours)
    return left


def scaled(values: Doubles) -> Doubles:
    """Scale values from 0 for the least to 1 for the greatest; 0.5 where all are equal."""
    if not len(values):
        return values
    least, span = values.min(), np.ptp(values)
    return (values - least) / span if span > 0 else np.full(len(values), _ALIKE)


def scores(
    relevance: Doubles | None, recencies: Doubles, importance: Doubles, weights: Weights
) -> Doubles:
    """Return the weighted sums of the scaled parts, float64 of shape (memories,).

    The relevance is the similarity to the query, and None where there is no query.
    """
    total = weights.recency * scaled(recencies) + weights.importance * scaled(importance)
    return total if relevance is None else total + weights.relevance * scaled(relevance)
