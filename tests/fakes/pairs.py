"""Combinations of several parameters in which every two values meet, without all of the product."""

from __future__ import annotations

from itertools import combinations, product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


def pairwise(*axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return rows of one value per axis such that every two values of two axes share a row.

    The rows are chosen greedily from the product, the same on every call: with axes of 6, 3 and 2
    values there are 18 in place of 36.
    """
    rows = list(product(*(range(len(axis)) for axis in axes)))
    pairs_of = {row: set(combinations(enumerate(row), 2)) for row in rows}
    missing = set().union(*pairs_of.values())
    chosen = []
    while missing:
        best = max(rows, key=lambda row: len(pairs_of[row] & missing))
        missing -= pairs_of[best]
        chosen.append(best)
    return [tuple(axis[i] for axis, i in zip(axes, row, strict=True)) for row in sorted(chosen)]
