"""Size and fidelity of systems, and which of them no other makes pointless."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from minnow.reporting.numbers import ONE

if TYPE_CHECKING:
    from collections.abc import Iterable

Kind = Literal["bundle", "gguf"]


@dataclass(frozen=True)
class Point:
    """How large a system is, and how near its vectors are to the baseline's.

    Attributes:
        name: Which.
        kind: A bundle, or a GGUF file.
        size: Bytes of the files that it needs.
        mean: Mean cosine of all texts; NaN where one has none.
        p5: 5th percentile.
        minimum: Of the worst text.
    """

    name: str
    kind: Kind
    size: int
    mean: float
    p5: float
    minimum: float


def dominates(one: Point, other: Point) -> bool:
    """Whether one is no larger than another, and nearer in mean, 5th percentile and minimum.

    NaN is nearer than nothing, and nothing is nearer than NaN.
    """
    return (
        one.size <= other.size
        and _level(one.mean) > _level(other.mean)
        and _level(one.p5) > _level(other.p5)
        and _level(one.minimum) > _level(other.minimum)
    )


def frontier_of(points: Iterable[Point]) -> list[Point]:
    """The points for which no other is both smaller and more faithful, the smallest first.

    By mean cosine. Of two that are equal in one of both, the better in the other stays; those that
    are equal in both stay together. A point whose mean is NaN is never among them.
    """
    measured = [point for point in points if math.isfinite(point.mean)]
    best = [one for one in measured if not any(_outdoes(other, one) for other in measured)]
    return sorted(best, key=lambda point: (point.size, point.name))


def _outdoes(one: Point, other: Point) -> bool:
    """Whether one is no worse in size and in mean, and not the same in both."""
    mean, others = _level(one.mean), _level(other.mean)
    unlike = (one.size, mean) != (other.size, others)
    return unlike and one.size <= other.size and mean >= others


def _level(cosine: float) -> float:
    """Cosines that are shown as 1 are equal."""
    return min(cosine, ONE)
