"""How memories are ranked: relevance, recency and importance.

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
    from numpy.typing import NDArray

    Doubles = NDArray[np.float64]
    Ids = NDArray[np.int64]

_HOUR = 3_600_000
_ALIKE = 0.5


@dataclass(frozen=True)
class Weights:
    """What counts how much.

    Attributes:
        relevance: Of the similarity to the query.
        recency: Of the time since it was used last.
        importance: Of what it was remembered with.
        decay: What an hour leaves of the recency, above 0 and up to 1.
    """

    relevance: float = 1.0
    recency: float = 1.0
    importance: float = 1.0
    decay: float = 0.995

    def __post_init__(self) -> None:
        """Refuse what is no weight."""
        for name in ("relevance", "recency", "importance"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"The weight of {name} is {value}; it should be 0 or more.")
        if not 0 < self.decay <= 1:
            raise InputError(f"The decay is {self.decay}; it should be above 0 and up to 1.")


def recency(used: Ids, now: int, decay: float) -> Doubles:
    """What time has left: float64 of shape (memories,), from 0 to 1.

    Args:
        used: When each was used last, in milliseconds, int64 of shape (memories,).
        now: Likewise; what is in the future counts as now.
        decay: What an hour leaves.
    """
    hours = np.maximum(0, now - used) / _HOUR
    left: Doubles = np.power(decay, hours)
    return left


def scaled(values: Doubles) -> Doubles:
    """From 0 for the least to 1 for the greatest; one half where all are the same."""
    if not len(values):
        return values
    least, span = values.min(), np.ptp(values)
    return (values - least) / span if span > 0 else np.full(len(values), _ALIKE)


def scores(
    relevance: Doubles | None, recencies: Doubles, importance: Doubles, weights: Weights
) -> Doubles:
    """The weighted sum of what is scaled, each of shape (memories,).

    Args:
        relevance: Of each to the query; None where there is no query.
        recencies: What `recency` gives.
        importance: Of each.
        weights: Of the three.
    """
    total = weights.recency * scaled(recencies) + weights.importance * scaled(importance)
    return total if relevance is None else total + weights.relevance * scaled(relevance)
