"""Size and fidelity of systems, and which of them lie on the frontier."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from minnow.reporting.numbers import ONE

if TYPE_CHECKING:
    from collections.abc import Iterable

Format = Literal["bundle", "gguf"]


@dataclass(frozen=True)
class Point:
    """The size of a system, and how close its vectors are to the baseline's.

    Attributes:
        name: Its name.
        format: A bundle, or a GGUF file.
        size: Bytes of the files that it needs.
        mean: Mean cosine of all texts; NaN if one has no cosine.
        p5: 5th percentile of the cosines.
        minimum: Cosine of the worst text.
    """

    name: str
    format: Format
    size: int
    mean: float
    p5: float
    minimum: float


def dominates(one: Point, other: Point) -> bool:
    """Return whether a point is no larger than another and higher in mean, p5 and minimum.

    This is stricter than the frontier's relation. NaN is neither higher nor lower than anything.
    """
    return (
        one.size <= other.size
        and _level(one.mean) > _level(other.mean)
        and _level(one.p5) > _level(other.p5)
        and _level(one.minimum) > _level(other.minimum)
    )


def frontier_of(points: Iterable[Point]) -> list[Point]:
    """Return the points that no other beats in size and mean cosine, the smallest first.

    If two are equal in one of these, the one that is better in the other stays; if in both, both
    stay. A point whose mean is NaN is never among them.
    """
    measured = [point for point in points if math.isfinite(point.mean)]
    best = [one for one in measured if not any(_beats(other, one) for other in measured)]
    return sorted(best, key=lambda point: (point.size, point.name))


def _beats(one: Point, other: Point) -> bool:
    """Return whether a point is no worse in size and in mean, and not the same in both."""
    mean, other_mean = _level(one.mean), _level(other.mean)
    differs = (one.size, mean) != (other.size, other_mean)
    return differs and one.size <= other.size and mean >= other_mean


def _level(cosine: float) -> float:
    """Return the cosine, or 1 if it would be printed as 1."""
    return min(cosine, ONE)
