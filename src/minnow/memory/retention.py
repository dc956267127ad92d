"""Which memories are forgotten."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from minnow.errors import InputError
from minnow.memory.scoring import recency, scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from minnow.memory.scoring import Weights
    from minnow.memory.table import Facts

    Ids = NDArray[np.int64]

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Retention:
    """What stays. Each rule that is given has memories go.

    Attributes:
        unused_for: Those go that were not remembered or recalled for longer.
        keep: Of the rest this many stay: those of the greatest recency and importance, scaled and
            weighted as in recalling.
        spare: Memories of at least this importance never go; they count for `keep`.
    """

    unused_for: timedelta | None = None
    keep: int | None = None
    spare: float | None = None

    def __post_init__(self) -> None:
        """Refuse what would forget everything by mistake."""
        if self.unused_for is None and self.keep is None:
            raise InputError("Say what is to be forgotten: give `unused_for`, `keep`, or both.")
        if self.unused_for is not None and self.unused_for < timedelta(0):
            raise InputError(f"unused_for is {self.unused_for}; it should not be negative.")
        if self.keep is not None and self.keep < 0:
            raise InputError(f"keep is {self.keep}; it should be 0 or more.")
        if self.spare is not None and not 0 <= self.spare <= 1:
            raise InputError(f"spare is {self.spare}; importance goes from 0 to 1.")


def outdated(facts: Facts, now: int, retention: Retention, weights: Weights) -> Ids:
    """The ids of the memories that go, ascending.

    Args:
        facts: Of all memories.
        now: The time, in milliseconds.
        retention: What stays.
        weights: Of recency and importance; of memories that score the same the older id goes.
    """
    spared = np.zeros(len(facts.ids), bool)
    if retention.spare is not None:
        spared = facts.importance >= retention.spare
    goes = np.zeros(len(facts.ids), bool)
    if retention.unused_for is not None:
        goes = (now - facts.used > retention.unused_for // _MILLISECOND) & ~spared
    if retention.keep is not None:
        surplus = max(0, int((~goes).sum()) - retention.keep)
        worth = scores(None, recency(facts.used, now, weights.decay), facts.importance, weights)
        candidates = np.flatnonzero(~goes & ~spared)
        goes[candidates[np.argsort(worth[candidates], kind="stable")[:surplus]]] = True
    return facts.ids[goes]
