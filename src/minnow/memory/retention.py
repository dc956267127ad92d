"""The choice of memories to forget."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np

from minnow.errors import InputError
from minnow.memory.scoring import recency

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from minnow.indexfile.encodings import Ids


_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Retention:
    """Rules for forgetting; at least one of the first two is needed.

    Attributes:
        unused_for: Forget memories that were not remembered or recalled for longer.
        keep: Of the rest keep this many, those with the greatest sum of recency, which halves with
            every half-life since they were remembered or recalled, and importance.
        spare: Never forget memories of at least this importance; they count for `keep`.
        half_life: The time in which recency halves.
    """

    unused_for: timedelta | None = None
    keep: int | None = None
    spare: float | None = None
    half_life: timedelta = timedelta(days=30)

    def __post_init__(self) -> None:
        """Check that the rules cannot forget everything by mistake."""
        if self.unused_for is None and self.keep is None:
            raise InputError("Say what to forget: give `unused_for`, `keep`, or both.")
        if self.unused_for is not None and self.unused_for < timedelta(0):
            raise InputError(f"unused_for is {self.unused_for}; it should not be negative.")
        if self.keep is not None and self.keep < 0:
            raise InputError(f"keep is {self.keep}; it should be 0 or more.")
        if self.spare is not None and not 0 <= self.spare <= 1:
            raise InputError(f"spare is {self.spare}; it should be from 0 to 1.")
        if self.half_life <= timedelta(0):
            raise InputError(f"half_life is {self.half_life}; it should be more than 0.")


def outdated(rows: NDArray[Any], now: int, retention: Retention) -> Ids:
    """Return the ids of the memories to forget, ascending; of equal worth the older id.

    The rows are those of `Columns`, and the time is in milliseconds since 1970.
    """
    spared = np.zeros(len(rows), bool)
    if retention.spare is not None:
        spared = rows["importance"] >= retention.spare
    goes = np.zeros(len(rows), bool)
    if retention.unused_for is not None:
        goes = (now - rows["used"] > retention.unused_for // _MILLISECOND) & ~spared
    if retention.keep is not None:
        surplus = max(0, int((~goes).sum()) - retention.keep)
        worth = recency(rows["used"], now, retention.half_life) + rows["importance"]
        candidates = np.flatnonzero(~goes & ~spared)
        goes[candidates[np.argsort(worth[candidates], kind="stable")[:surplus]]] = True
    ids: Ids = rows["id"][goes]
    return ids
