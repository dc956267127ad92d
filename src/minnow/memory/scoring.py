"""The score that ranks memories, and its parts.

Relevance is that of hybrid search, from 0 to 1. By default everything else only decides between
memories that are nearly as relevant, or follows from the question: who and when it names. The parts
are absolute: they depend on a memory, the question and the time, not on what else is remembered.
`docs/benchmarks.md` has what each part brings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from minnow.indexfile.encodings import Doubles, Ids


_MILLISECOND = timedelta(milliseconds=1)
_ALIKE = 0.5
PARTS = ("relevance", "recency", "importance", "context", "speaker", "time")


@dataclass(frozen=True)
class Weights:
    """Weights of the parts of a score.

    Attributes:
        relevance: Weight of the answer to the question: vectors and words, as in hybrid search.
        recency: Weight of the time since a memory was used last, halved with every half-life.
        importance: Weight of its importance.
        context: Weight of the turns around a memory: of how much more than others they are
            relevant.
        speaker: Added where the question names the speaker of a memory, or one of its tags.
        time: Weight of the nearness to a time that the question names.
        half_life: The time in which recency halves.
        relative: Whether relevance, recency and importance are scaled from 0 to 1 over the memories
            that may be found, as Park et al. do, so that the least of each counts nothing.
    """

    relevance: float = 1.0
    recency: float = 0.01
    importance: float = 0.02
    context: float = 0.4
    speaker: float = 0.15
    time: float = 0.2
    half_life: timedelta = timedelta(days=30)
    relative: bool = False

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name in PARTS:
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(f"The weight of {name} is {value}; it should be 0 or more.")
        if self.half_life <= timedelta(0):
            raise InputError(f"half_life is {self.half_life}; it should be more than 0.")


PARK_2023 = Weights(
    context=0, speaker=0, time=0, recency=1, importance=1,
    half_life=timedelta(hours=math.log(0.5) / math.log(0.995)), relative=True,
)  # fmt: skip
"""Park et al., Generative Agents: Interactive Simulacra of Human Behavior, UIST 2023, section 4.1
(https://arxiv.org/abs/2304.03442): three parts scaled to [0, 1] and weighted alike; recency decays
by 0.995 an hour. Its relevance is the cosine alone. An app whose agents live for days may want it;
in a long memory the newest remark comes before the answer."""

WEIGHTS: Mapping[str, Weights] = {"default": Weights(), "park2023": PARK_2023}
"""Weights by name."""


def recency(used: Ids, now: int, half_life: timedelta) -> Doubles:
    """Return the recency of memories: float64 of shape (memories,), from 0 to 1.

    Times are in milliseconds since 1970; later uses count as now.
    """
    left: Doubles = 0.5 ** (np.maximum(0, now - used) / (half_life / _MILLISECOND))
    return left


def scaled(values: Doubles) -> Doubles:
    """Scale values from 0 for the least to 1 for the greatest; 0.5 where all are equal."""
    if not len(values):
        return values
    least, span = values.min(), np.ptp(values)
    return (values - least) / span if span > 0 else np.full(len(values), _ALIKE)


def contributions(values: Mapping[str, Doubles], weights: Weights) -> dict[str, Doubles]:
    """Return what each part adds to the scores of memories; the scores are their sums.

    Args:
        values: The parts by name, each float64 of shape (memories,); a part that is missing adds
            nothing.
        weights: Their weights.
    """
    found = {}
    for name, part in values.items():
        is_relative = weights.relative and name in ("relevance", "recency", "importance")
        found[name] = getattr(weights, name) * (scaled(part) if is_relative else part)
    return found
