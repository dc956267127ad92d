"""Numbers as people read them. What was not measured, or is not a number, says so."""

from __future__ import annotations

import math

UNMEASURED = "not measured"

_MINUS = "\N{MINUS SIGN}"
_TIMES = "\N{MULTIPLICATION SIGN}"
_NEAR_ONE = 0.9999  # where five decimals tell little
ONE = 1 - 5e-8
"""From here on a cosine counts as 1: what is nearer is the noise of float32."""


def measure(value: float) -> str:
    """A measure from 0 to 1: `0.6218`."""
    return f"{value:.4f}" if math.isfinite(value) else UNMEASURED


def signed(value: float) -> str:
    """A difference, with its sign: `+0.0042`."""
    if not math.isfinite(value):
        return UNMEASURED
    rounded = round(value, 4)
    return f"{_sign(rounded)}{abs(rounded):.4f}"


def _sign(value: float) -> str:
    if value == 0:
        return ""
    return "+" if value > 0 else _MINUS


def cosine(value: float) -> str:
    """A cosine: five decimals, and seven near 1."""
    if not math.isfinite(value):
        return UNMEASURED
    if value >= ONE:
        return "1"
    sign = _MINUS if value < 0 else ""
    return f"{sign}{abs(value):.{7 if value > _NEAR_ONE else 5}f}"


def ratio(value: float, baseline: float) -> str:
    """How many times the baseline's: `×0.256`; empty where that cannot be said."""
    if not (math.isfinite(value) and math.isfinite(baseline) and baseline > 0 and value >= 0):
        return ""
    times = value / baseline
    if 0 < times < 0.0005:
        return f"below {_TIMES}0.001"
    return f"{_TIMES}{times:,.3f}"


def megabytes(size: float) -> str:
    """A number of bytes, in millions: `34.1 MB`."""
    return _quantity(size / 1e6, "MB")


def seconds(duration: float) -> str:
    """A duration: `0.42 s`."""
    return _quantity(duration, "s")


def rate(per_second: float) -> str:
    """Texts in a second: `1,234`."""
    return _quantity(per_second, "")


def _quantity(value: float, unit: str) -> str:
    """Three digits that count. Nothing has no size and takes no time: 0 was not measured."""
    if not (math.isfinite(value) and value > 0):
        return UNMEASURED
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2
    number = "0.01" if value < 0.01 else f"{value:,.{decimals}f}"
    below = "below " if value < 0.01 else ""
    return f"{below}{number} {unit}".rstrip()


def count(number: int) -> str:
    """A whole number: `12,345`."""
    return f"{number:,}"


def place(number: int | None, depth: int) -> str:
    """Write the place of a document in a ranking that was read down to a depth."""
    return f"beyond {depth}" if number is None else str(number)


def shorten(words: str, limit: int) -> str:
    """Words of at most so many characters, the middle left out: names differ at their ends."""
    if len(words) <= limit:
        return words
    tail = (limit - 1) // 2
    return f"{words[: limit - 1 - tail]}…{words[len(words) - tail :]}"
