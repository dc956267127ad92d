"""Tables of numbers as integers of a few bits, in a form that plain graph operators unpack.

A code of 6 bits is stored as its upper 4 and its lower 2 bits, each in a plane of its own: a byte
of a plane holds 8 / 4 or 8 / 2 of them. The parts of a byte belong to columns far apart (its
highest part to the first stretch of columns, ...), so that unpacking ends in one concatenation.

A table can be turned by a matrix of signs (Hadamard's) before it is rounded, and turned back when
it is unpacked. Errors then are no smaller, but equal noise in all columns, which the tokens of a
text average out. Without it, all numbers below half a step are rounded to half a step.

Source: Ashkboos et al., "QuaRot" (2024), which turns activations; here it is a table.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minnow.graph.fractions import FractionTable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from minnow.graph.nodes import Nodes

PLANES = {8: (8,), 7: (4, 2, 1), 6: (4, 2), 5: (4, 1), 4: (4,), 3: (2, 1), 2: (2,)}
_BYTE = 128  # subtracted from a byte to store it as int8
_SCALES = 255
_ROWS_AT_ONCE = 256  # few enough to stay in a processor's cache
_WIDEST_TURN, _NARROWEST_TURN = 128, 32

TURN_BITS = 2
_TURN_ENTRY = 0.75
"""Makes the first and the last of the numbers of TURN_BITS exactly the entries."""


@dataclass(frozen=True)
class PackedTable:
    """Rows of numbers: value = (code - middle) * unit * scale, with a scale per group of columns.

    If the table was turned, a row is then split into stretches, and each multiplied by `turn`.

    Attributes:
        bits: Bits of a code; `middle` is half of the largest code.
        width: Columns.
        planes: Parts of the codes, the highest bits first: bits of a part, and int8 of shape
            (rows, width * bits / 8).
        scales: int8 of shape (rows, groups): integers from 1 to 255, less 128.
        unit: The value of a scale of 1.
        turn: float32 of shape (n, n), n columns to a stretch; None for a table that is not turned.
    """

    bits: int
    width: int
    planes: tuple[tuple[int, NDArray[np.int8]], ...]
    scales: NDArray[np.int8]
    unit: float
    turn: NDArray[np.float32] | None = None

    @property
    def middle(self) -> float:
        """The code of 0, half-way between two integers."""
        return float(2**self.bits - 1) / 2

    @property
    def groups(self) -> int:
        """Number of scales in a row."""
        return int(self.scales.shape[1])

    def unpack(self) -> NDArray[np.float32]:
        """Return the numbers that it stands for: float32 of shape (rows, width)."""
        rows = np.empty((len(self.scales), self.width), np.float32)
        for some in _some_rows(len(rows)):
            rows[some] = self._unpack(some)
        return rows

    def _unpack(self, some: slice) -> NDArray[np.float32]:
        """Return the numbers of some rows."""
        scales = (self.scales[some].astype(np.float32) + _BYTE) * np.float32(self.unit)
        codes = np.zeros((len(scales), self.width), np.int32)
        for bits, plane in self.planes:
            stored = plane[some].astype(np.int32) + _BYTE
            shifts = range(8 - bits, -1, -bits)
            parts = [(stored >> shift) & (2**bits - 1) for shift in shifts]
            codes = (codes << bits) + np.concatenate(parts, axis=1)
        values = codes.reshape(*scales.shape, -1).astype(np.float32) - np.float32(self.middle)
        rows = (values * scales[..., None]).reshape(len(codes), self.width)
        return rows if self.turn is None else _in_stretches(rows, self.turn)

    def add_rows(self, nodes: Nodes, name: str, fetch: Callable[[str, NDArray[Any]], str]) -> str:
        """Add the nodes that fetch rows and unpack them.

        Args:
            nodes: The graph.
            name: Prefix of the names of all values.
            fetch: Adds the nodes that fetch rows of one stored array, given its name and values.

        Returns:
            The name of a float value of shape (.., seq, width).
        """

        def fetch_bytes(part: str, stored: NDArray[np.int8]) -> str:
            """Fetch rows of an int8 array as the bytes that they stand for: floats, 0 to 255."""
            number = nodes.cast(fetch(f"{name}.{part}", stored), f"{name}.{part}.float")
            return nodes.with_number("Add", number, float(_BYTE), f"{name}.{part}.bytes")

        codes = ""
        for bits, plane in self.planes:
            stored = fetch_bytes(f"plane{bits}", plane)
            part = _split_bytes(nodes, stored, bits, f"{name}.plane{bits}")
            if codes:
                shifted = nodes.with_number("Mul", codes, 2.0**bits, f"{name}.codes{bits}.shifted")
                part = nodes.node("Add", [shifted, part], f"{name}.codes{bits}")
            codes = part
        codes = nodes.with_number("Sub", codes, self.middle, f"{name}.centred")
        scales = fetch_bytes("scales", self.scales)
        steps = nodes.with_number("Mul", scales, self.unit, f"{name}.steps")
        values = _multiply_groups(nodes, codes, steps, self, name)
        if self.turn is None:
            return values
        stretches = nodes.reshape(values, [0, -1, len(self.turn)], f"{name}.stretches")
        turn = nodes.table(f"{name}.turn", self.turn)
        turned = nodes.node("MatMul", [stretches, turn], f"{name}.turned")
        return nodes.reshape(turned, [0, -1, self.width], f"{name}.joined")


StoredTable = PackedTable | FractionTable
"""A table that a graph unpacks."""


def pack_table(
    table: NDArray[np.float32], bits: int, group: int = 0, *, turned: bool = False
) -> PackedTable:
    """Round a table to the nearest codes, with the scales of least squared error.

    A group's scale is searched from half of the one that reaches its largest number up to it.

    Args:
        table: float32 of shape (rows, width).
        bits: Bits of a code, 2 to 8.
        group: Columns that share a scale; 0 for a whole row.
        turned: Turn the table first, if its width is a multiple of 32.

    Raises:
        ValueError: There are no such codes, or the width does not suit them.
    """
    rows, width = table.shape
    group = group or width
    if bits not in PLANES or width % group or width % 8:
        raise ValueError(f"no packed table of {bits} bits, {width} columns in groups of {group}")
    middle = (2**bits - 1) / 2
    turn = _turn(width) if turned else None
    # the inverse of the turn is its transpose, scaled by the length of its rows
    inverse = None if turn is None else turn.T / (turn[0] @ turn[0])
    stretches = _some_rows(rows)

    def turned_rows(some: slice) -> NDArray[np.float32]:
        return table[some] if inverse is None else _in_stretches(table[some], inverse)

    largest = max(float(np.abs(turned_rows(some)).max()) for some in stretches)
    unit = largest / middle / _SCALES or 1.0

    def packed_rows(some: slice) -> tuple[NDArray[np.int8], ...]:
        groups = (turned_rows(some) / np.float32(unit)).reshape(-1, width // group, group)
        scales = _best_scales(groups, bits)
        codes = _codes(groups, scales, bits).reshape(-1, width)
        return *_planes(codes, bits), (scales - _BYTE).astype(np.int8)

    with ThreadPoolExecutor() as threads:  # NumPy computes side by side
        *planes, all_scales = map(
            np.concatenate, zip(*threads.map(packed_rows, stretches), strict=True)
        )
    return PackedTable(
        bits=bits,
        width=width,
        planes=tuple(zip(PLANES[bits], planes, strict=True)),
        scales=all_scales,
        unit=unit,
        turn=turn,
    )


def _some_rows(rows: int) -> list[slice]:
    """Divide the rows of a table into stretches, so that a large one takes little memory."""
    return [slice(start, start + _ROWS_AT_ONCE) for start in range(0, rows, _ROWS_AT_ONCE)]


def _turn(width: int) -> NDArray[np.float32] | None:
    """Return Hadamard's matrix with random signs of columns, as large as the width allows."""
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
    """Find an integer from 1 to 255 for each group: float32 of shape (rows, groups)."""
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


def _planes(codes: NDArray[np.float32], bits: int) -> Iterator[NDArray[np.int8]]:
    left, whole = bits, codes.astype(np.int32)
    for part in PLANES[bits]:
        left -= part
        stretches = np.split((whole >> left) & (2**part - 1), 8 // part, axis=1)
        stored = np.zeros_like(stretches[0])
        for stretch in stretches:
            stored = (stored << part) | stretch
        yield (stored - _BYTE).astype(np.int8)


# --- unpacking, as nodes of a graph ------------------------------------------------------


def _multiply_groups(nodes: Nodes, codes: str, steps: str, table: PackedTable, name: str) -> str:
    """Multiply codes by the step of their group."""
    if table.groups == 1:
        return nodes.node("Mul", [codes, steps], f"{name}.values")
    grouped = [0, 0, table.groups, table.width // table.groups]
    codes = nodes.reshape(codes, grouped, f"{name}.groups")
    steps = nodes.reshape(steps, [0, 0, table.groups, 1], f"{name}.group_steps")
    values = nodes.node("Mul", [codes, steps], f"{name}.group_values")
    return nodes.reshape(values, [0, 0, table.width], f"{name}.values")


def _split_bytes(nodes: Nodes, stored: str, bits: int, name: str) -> str:
    """Split each byte into parts, the highest first, side by side on the last axis."""
    rest, parts = stored, []
    for shift in range(8 - bits, 0, -bits):
        part = nodes.with_number("Mul", rest, 2.0**-shift, f"{name}.shifted{shift}")
        part = nodes.node("Floor", [part], f"{name}.part{shift}")
        taken = nodes.with_number("Mul", part, 2.0**shift, f"{name}.taken{shift}")
        rest = nodes.node("Sub", [rest, taken], f"{name}.rest{shift}")
        parts.append(part)
    return nodes.node("Concat", [*parts, rest], f"{name}.parts", axis=-1) if parts else rest
