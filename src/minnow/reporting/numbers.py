"""Numbers as people read them; a value that was not measured, or is not a number, says so."""

from __future__ import annotations

import math

UNMEASURED = "not measured"

_MINUS = "\N{MINUS SIGN}"
_TIMES = "\N{MULTIPLICATION SIGN}"
_NEAR_ONE = 0.9999  # above it five decimals show too little
ONE = 1 - 5e-8
"""A cosine from here on counts as 1: the rest is noise of float32."""


def measure(value: float) -> str:
    """Format a measure from 0 to 1: `0.6218`."""
    return f"{value:.4f}" if math.isfinite(value) else UNMEASURED


def signed(value: float) -> str:
    """Format a difference with its sign: `+0.0042`."""
    if not math.isfinite(value):
        return UNMEASURED
    rounded = round(value, 4)
    sign = "+" if rounded > 0 else _MINUS if rounded < 0 else ""
    return f"{sign}{abs(rounded):.4f}"


def interval(low: float, high: float) -> str:
    """Format the ends of an interval of differences: `-0.0290 to -0.0026`."""
    return f"{signed(low)} to {signed(high)}"


def cosine(value: float) -> str:
    """Format a cosine with five decimals, or seven near 1."""
    if not math.isfinite(value):
        return UNMEASURED
    if value >= ONE:
        return "1"
    sign = _MINUS if value < 0 else ""
    return f"{sign}{abs(value):.{7 if value > _NEAR_ONE else 5}f}"


def ratio(value: float, baseline: float) -> str:
    """Format a multiple of the baseline's value: `×0.256`; empty if there is none."""
    if not (math.isfinite(value) and math.isfinite(baseline) and baseline > 0 and value >= 0):
        return ""
    times = value / baseline
    if 0 < times < 0.0005:
        return f"below {_TIMES}0.001"
    return f"{_TIMES}{times:,.3f}"


def megabytes(size: float) -> str:
    """Format a number of bytes in millions: `34.1 MB`."""
    return _quantity(size / 1e6, "MB")


def seconds(duration: float) -> str:
    """Format a duration: `0.42 s`."""
    return _quantity(duration, "s")


def rate(per_second: float) -> str:
    """Format a number of texts per second: `1,234`."""
    return _quantity(per_second, "")


def _quantity(value: float, unit: str) -> str:
    """Format with three significant digits; 0 means that nothing was measured."""
    if not (math.isfinite(value) and value > 0):
        return UNMEASURED
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2
    number = "below 0.01" if value < 0.01 else f"{value:,.{decimals}f}"
    return f"{number} {unit}".rstrip()


def count(number: int) -> str:
    """Format an integer: `12,345`."""
    return f"{number:,}"


def rank(number: int | None, depth: int) -> str:
    """Format a document's rank in a ranking that was read to a depth."""
    return f"beyond {depth}" if number is None else str(number)


def shorten(words: str, limit: int) -> str:
    """Return at most `limit` characters, the middle left out: names differ at their ends."""
    if len(words) <= limit:
        return words
    tail = (limit - 1) // 2
    return f"{words[: limit - 1 - tail]}…{words[len(words) - tail :]}"
