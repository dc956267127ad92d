"""Tables of numbers as 16-bit fractions of a power of two that each row has.

MNN makes float32 of a whole float16 table when it opens a model, twice the bytes of the file,
though a text needs a few rows. Whole numbers of 8 bits stay as they are, so the 16 bits of a
fraction are stored as two tables of bytes. Halves of at least a 32nd of their row's power pass
unchanged; smaller ones are off by at most 2**-16 of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minnow.graph.mnn_file import FRACTION_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable

    from minnow.graph.nodes import Nodes

_BYTE = 128  # subtracted from the lower byte to store it as int8
_PART = 2**-8  # of the upper byte's step: that of the lower byte
_UPPER, _LOWER = (end.removeprefix(".") for end in FRACTION_BYTES)
_STEPS = "steps"
_LEAST = -14
"""The exponent of half precision's smallest normal number: below it processors may read zero."""
_ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class FractionTable:
    """Rows of numbers: value = step * (upper + (lower + 128) / 256).

    Attributes:
        upper: The upper bytes of the fractions, int8 of shape (rows, width).
        lower: The lower bytes, from 0 to 255, less 128; int8 of the same shape.
        steps: A power of two for each row, the least with which its numbers fit: float32 of shape
            (rows, 1).
    """

    upper: NDArray[np.int8]
    lower: NDArray[np.int8]
    steps: NDArray[np.float32]

    @property
    def parts(self) -> dict[str, NDArray[Any]]:
        """The stored arrays, by the end of their name in a graph."""
        return {_UPPER: self.upper, _LOWER: self.lower, _STEPS: self.steps}

    def unpack(self) -> NDArray[np.float32]:
        """Return the numbers that it stands for: float32 of shape (rows, width)."""
        rows = np.empty(self.upper.shape, np.float32)
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            some = slice(start, start + _ROWS_AT_ONCE)
            lower = (self.lower[some].astype(np.float32) + _BYTE) * np.float32(_PART)
            rows[some] = (self.upper[some] + lower) * self.steps[some]
        return rows

    def add_rows(self, nodes: Nodes, name: str, fetch: Callable[[str, NDArray[Any]], str]) -> str:
        """Add the nodes that fetch rows and compute their numbers.

        Every step is exact in float32, and for fractions made of halves in half precision too, in
        which phones compute.

        Args:
            nodes: The graph.
            name: Prefix of the names of all values.
            fetch: Adds the nodes that fetch rows of one stored array, given its name and values.

        Returns:
            The name of a float value of shape (.., seq, width).
        """
        upper, lower, steps = (fetch(f"{name}.{end}", part) for end, part in self.parts.items())
        upper = nodes.cast(upper, f"{name}.upper.float")
        lower = nodes.cast(lower, f"{name}.lower.float")
        lower = nodes.with_number("Add", lower, float(_BYTE), f"{name}.lower.byte")
        lower = nodes.with_number("Mul", lower, _PART, f"{name}.lower.part")
        both = nodes.node("Add", [upper, lower], f"{name}.bytes")
        return nodes.node("Mul", [both, steps], f"{name}.values")


def fraction_table(table: NDArray[np.float32]) -> FractionTable:
    """Round a table to the nearest fractions.

    Args:
        table: float32 of shape (rows, width), of numbers that half precision holds.
    """
    upper, lower = (np.empty(table.shape, np.int8) for _ in range(2))
    steps = np.empty((len(table), 1), np.float32)
    for start in range(0, len(table), _ROWS_AT_ONCE):
        some = slice(start, start + _ROWS_AT_ONCE)
        _, exponents = np.frexp(np.abs(table[some]).max(axis=1, keepdims=True))
        steps[some] = np.ldexp(np.float32(1), np.maximum(exponents - 7, _LEAST))
        whole = np.rint(table[some] / (steps[some] * np.float32(_PART)))
        codes = np.clip(whole, -(2**15), 2**15 - 1).astype(np.int32)
        upper[some] = codes >> 8
        lower[some] = (codes & 255) - _BYTE
    return FractionTable(upper, lower, steps)
