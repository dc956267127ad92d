"""Scales from values to coordinates, and the round numbers that axes show."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Scale:
    """A map from values between `low` and `high` to coordinates; others are clamped."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        """Return the coordinate of a value."""
        part = (value - self.low) / (self.high - self.low)
        return self.start + min(1.0, max(0.0, part)) * (self.end - self.start)


@dataclass(frozen=True)
class Tick:
    """A value that an axis shows."""

    value: float
    label: str


def round_ticks(low: float, high: float, most: int = 6, *, sign: bool = False) -> list[Tick]:
    """Return evenly spaced round numbers, the first at or below `low`, the last at or above `high`.

    Args:
        low: The smallest value to show.
        high: The largest value to show.
        most: The largest number of ticks; at least 3.
        sign: Whether labels show a plus sign.
    """
    span = max(high - low, abs(high) * 1e-9, 1e-9)
    power = math.floor(math.log10(span / most))
    for factor, exponent in ((f, power + e) for e in range(4) for f in (1, 2, 5)):
        step = factor * 10.0**exponent
        first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
        last = max(last, first + 1)
        if last - first < most:
            break
    decimals = max(0, -exponent)
    values = [round(i * step, decimals) for i in range(first, last + 1)]
    return [Tick(value, _label(value, decimals, sign=sign)) for value in values]


def _label(value: float, decimals: int, *, sign: bool) -> str:
    before = "\N{MINUS SIGN}" if value < 0 else "+" if sign and value > 0 else ""
    return f"{before}{abs(value):,.{decimals}f}"


def unit_ticks(low: float, high: float, least: float) -> list[Tick]:
    """Return ticks for values from 0 to 1.

    They do not begin at 0, so that small differences are visible, but they span at least `least`,
    so that smaller ones do not look large.
    """
    room = max(0.0, least - (high - low)) / 2
    return round_ticks(max(0.0, low - room), min(1.0, high + room))


def log_ticks(low: float, high: float, most: int = 7) -> list[Tick]:
    """Return 1, 2, 5, 10 and so on around two values above 0; a tick has the logarithm."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    for factors in ((1, 2, 5), (1,)):
        numbers = [f * 10.0**e for e in range(first - 1, last + 2) for f in factors]
        start = max(i for i, number in enumerate(numbers) if number * 1.1 <= low)
        end = min(i for i, number in enumerate(numbers) if number >= high * 1.1)
        numbers = numbers[start : end + 1]
        if len(numbers) <= most:
            break
    return [Tick(math.log10(number), f"{number:,.10g}") for number in numbers]


MAX_NINES = 7
"""The resolution of float32."""


def nines(cosine: float) -> float:
    """Return how close a cosine is to 1 as a number of nines: 1 for 0.9, 2 for 0.99, 7 at most."""
    return min(MAX_NINES, -math.log10(min(2.0, max(1e-9, 1 - cosine))))


def from_nines(count: float) -> float:
    """Return the cosine with a number of nines."""
    return 1 - math.pow(10, -count)


def nines_ticks(values: Sequence[float]) -> list[Tick]:
    """Return ticks around numbers of nines, labelled with cosines; 7 nines are labelled 1."""
    high = max(0, min(math.ceil(max(values)), MAX_NINES))
    low = min(max(math.floor(min(values)), -1), high - 1)
    return [Tick(max(k, nines(-1)), _nines_label(k)) for k in range(low, high + 1)]


def _nines_label(count: int) -> str:
    if count <= 0:
        return "\N{MINUS SIGN}1" if count else "0"
    return "1" if count == MAX_NINES else "0." + "9" * count


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move positions as little as necessary for a gap between any two.

    Least squares by pooling neighbours: those that are too close are spread around their mean.

    Args:
        positions: The preferred positions.
        gap: The smallest distance of two; smaller where there is no space for it.
        low: The lower limit of all positions.
        high: The upper limit.
    """
    gap = min(gap, (high - low) / max(1, len(positions) - 1))
    order = sorted(range(len(positions)), key=positions.__getitem__)
    pools: list[list[float]] = []
    for rank, i in enumerate(order):
        pools.append([positions[i] - rank * gap])
        while len(pools) > 1 and _mean(pools[-2]) > _mean(pools[-1]):
            pools[-2:] = [pools[-2] + pools[-1]]
    starts = [_mean(pool) for pool in pools for _ in pool]
    highest = high - gap * (len(positions) - 1)
    moved = list(positions)
    for rank, i in enumerate(order):
        moved[i] = min(max(starts[rank], low), highest) + rank * gap
    return moved


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
