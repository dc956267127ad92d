"""Tables of numbers as whole numbers of a few bits, in a form that plain graph operators unpack.

A code of 6 bits is stored as its upper 4 and its lower 2 bits, in planes of their own: a byte of a
plane holds 8 / 4 or 8 / 2 of them. The parts of a byte belong to columns far apart (its highest
part to the first stretch of columns, and so on), so that unpacking ends in one concatenation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterator

_PLANES = {8: (8,), 7: (4, 2, 1), 6: (4, 2), 5: (4, 1), 4: (4,), 3: (2, 1), 2: (2,)}
TABLE_BITS = tuple(_PLANES)
_BYTE = 128  # what a stored byte is less, so that it is an int8
_SCALES = 255


@dataclass(frozen=True)
class PackedTable:
    """Rows of numbers: value = (code - middle) * unit * scale, one scale for a group of columns.

    Attributes:
        bits: Bits of a code; `middle` is half of the largest code.
        width: Columns.
        planes: Parts of the codes, the highest bits first: bits of a part, and int8 of shape
            (rows, width * bits / 8).
        scales: int8 of shape (rows, groups): whole numbers from 1 to 255, less 128.
        unit: What a scale of 1 stands for.
    """

    bits: int
    width: int
    planes: tuple[tuple[int, NDArray[np.int8]], ...]
    scales: NDArray[np.int8]
    unit: float

    @property
    def middle(self) -> float:
        """The code, half a step between two, that stands for 0."""
        return float(2**self.bits - 1) / 2

    @property
    def groups(self) -> int:
        """How many scales a row has."""
        return int(self.scales.shape[1])

    def unpack(self) -> NDArray[np.float32]:
        """The numbers that it stands for: float32 of shape (rows, width)."""
        codes = np.zeros((len(self.scales), self.width), np.int32)
        for bits, plane in self.planes:
            stored = plane.astype(np.int32) + _BYTE
            shifts = range(8 - bits, -1, -bits)
            parts = [(stored >> shift) & (2**bits - 1) for shift in shifts]
            codes = (codes << bits) + np.concatenate(parts, axis=1)
        values = codes.reshape(*self.scales.shape, -1).astype(np.float32) - np.float32(self.middle)
        scales = (self.scales.astype(np.float32) + _BYTE) * np.float32(self.unit)
        return (values * scales[..., None]).reshape(len(codes), self.width)


def pack_table(table: NDArray[np.float32], bits: int, group: int = 0) -> PackedTable:
    """Round a table to the nearest codes, with the scales that lose least.

    Of each group's scales from half the one that reaches its largest number up to that one, the
    one with the smallest squared error is taken.

    Args:
        table: float32 of shape (rows, width).
        bits: Bits of a code, 2 to 8.
        group: Columns that share a scale; 0 is a whole row.

    Raises:
        ValueError: There are no such codes, or the width is no multiple of what they need.
    """
    rows, width = table.shape
    group = group or width
    if bits not in _PLANES or width % group or width % 8:
        raise ValueError(f"no packed table of {bits} bits, {width} columns in groups of {group}")
    middle = (2**bits - 1) / 2
    unit = float(np.abs(table).max()) / middle / _SCALES or 1.0
    groups = (table / np.float32(unit)).reshape(rows, width // group, group)
    scales = _best_scales(groups, bits)
    codes = _codes(groups, scales, bits).reshape(rows, width)
    return PackedTable(
        bits=bits,
        width=width,
        planes=tuple(_planes(codes, bits)),
        scales=(scales - _BYTE).astype(np.int8),
        unit=unit,
    )


def _best_scales(groups: NDArray[np.float32], bits: int) -> NDArray[np.float32]:
    """Whole numbers from 1 to 255, one per group: float32 of shape (rows, groups)."""
    middle = np.float32((2**bits - 1) / 2)
    reach = np.abs(groups).max(-1) / middle
    best: NDArray[np.float32] = np.ones_like(reach)
    least = np.full_like(reach, np.inf)
    for part in np.linspace(1, 0.5, 21, dtype=np.float32):
        scales = np.clip(np.round(reach * part), 1, _SCALES)
        values = (_codes(groups, scales, bits) - middle) * scales[..., None]
        error = ((values - groups) ** 2).sum(-1)
        better = error < least
        best, least = np.where(better, scales, best), np.where(better, error, least)
    return best


def _codes(
    groups: NDArray[np.float32], scales: NDArray[np.float32], bits: int
) -> NDArray[np.float32]:
    middle = np.float32((2**bits - 1) / 2)
    return np.clip(np.round(groups / scales[..., None] + middle), 0, np.float32(2**bits - 1))


def _planes(codes: NDArray[np.float32], bits: int) -> Iterator[tuple[int, NDArray[np.int8]]]:
    left, whole = bits, codes.astype(np.int32)
    for part in _PLANES[bits]:
        left -= part
        stretches = np.split((whole >> left) & (2**part - 1), 8 // part, axis=1)
        stored = np.zeros_like(stretches[0])
        for stretch in stretches:
            stored = (stored << part) | stretch
        yield part, (stored - _BYTE).astype(np.int8)
