"""Tables of numbers as whole numbers of a few bits, in a form that plain graph operators unpack.

A code of 6 bits is stored as its upper 4 and its lower 2 bits, in planes of their own: a byte of a
plane holds 8 / 4 or 8 / 2 of them. The parts of a byte belong to columns far apart (its highest
part to the first stretch of columns, and so on), so that unpacking ends in one concatenation.

A table may be turned before it is rounded, by a matrix of signs (Hadamard's), and turned back when
it is unpacked. Errors are no smaller then, but like noise, alike in all columns, and the tokens of
a text average them out. Without it, numbers below half a step are all rounded to half a step.

Source: Ashkboos et al., "QuaRot" (2024), for turning what is rounded; there it is activations.
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
_WIDEST_TURN, _NARROWEST_TURN = 128, 32

TURN_BITS = 2
_TURN_ENTRY = 0.75
"""So that the first and the last of the numbers of TURN_BITS are the entries, exactly."""


@dataclass(frozen=True)
class PackedTable:
    """Rows of numbers: value = (code - middle) * unit * scale, one scale for a group of columns.

    If the table was turned, a row is then split into stretches, and each multiplied by `turn`.

    Attributes:
        bits: Bits of a code; `middle` is half of the largest code.
        width: Columns.
        planes: Parts of the codes, the highest bits first: bits of a part, and int8 of shape
            (rows, width * bits / 8).
        scales: int8 of shape (rows, groups): whole numbers from 1 to 255, less 128.
        unit: What a scale of 1 stands for.
        turn: float32 of shape (n, n), n columns to a stretch; None where it was not turned.
    """

    bits: int
    width: int
    planes: tuple[tuple[int, NDArray[np.int8]], ...]
    scales: NDArray[np.int8]
    unit: float
    turn: NDArray[np.float32] | None = None

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
        rows = (values * scales[..., None]).reshape(len(codes), self.width)
        return rows if self.turn is None else _in_stretches(rows, self.turn)


def pack_table(
    table: NDArray[np.float32], bits: int, group: int = 0, *, turned: bool = False
) -> PackedTable:
    """Round a table to the nearest codes, with the scales that lose least.

    Of each group's scales from half the one that reaches its largest number up to that one, the
    one with the smallest squared error is taken.

    Args:
        table: float32 of shape (rows, width).
        bits: Bits of a code, 2 to 8.
        group: Columns that share a scale; 0 is a whole row.
        turned: Turn it first, if its width is a multiple of 32.

    Raises:
        ValueError: There are no such codes, or the width is no multiple of what they need.
    """
    rows, width = table.shape
    group = group or width
    if bits not in _PLANES or width % group or width % 8:
        raise ValueError(f"no packed table of {bits} bits, {width} columns in groups of {group}")
    middle = (2**bits - 1) / 2
    turn = _turn(width) if turned else None
    if turn is not None:  # its transpose is its inverse, but for the length of its rows
        table = _in_stretches(table, turn.T / (turn[0] @ turn[0]))
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
        turn=turn,
    )


def _turn(width: int) -> NDArray[np.float32] | None:
    """Hadamard's matrix, the signs of its columns drawn, as large as the width allows."""
    size = min(width & -width, _WIDEST_TURN)
    if size < _NARROWEST_TURN:
        return None
    signs = np.ones((1, 1), np.float32)
    while len(signs) < size:
        signs = np.block([[signs, signs], [signs, -signs]])
    drawn = np.random.default_rng(0).choice(np.array([-1, 1], np.float32), size)
    turn: NDArray[np.float32] = signs * drawn * np.float32(_TURN_ENTRY)
    return turn


def _in_stretches(rows: NDArray[np.float32], turn: NDArray[np.float32]) -> NDArray[np.float32]:
    turned: NDArray[np.float32] = (rows.reshape(-1, len(turn)) @ turn).reshape(rows.shape)
    return turned


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
