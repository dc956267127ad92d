"""The numbers in an MNN file, by the names of the operators that hold them.

The file is a FlatBuffer. Fields are found by their numbers in MNN's schema, and matrices of few
bits are decoded by its format IDST. Sources: `schema/default/MNN.fbs`, `CaffeOp.fbs` and
`Tensor.fbs` of MNN 3.6, and `source/core/IDSTDecoder.hpp`.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from mmap import ACCESS_READ, mmap
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from minnow.errors import BundleError
from minnow.files import open_regular

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

WEIGHTS = ".weight"
"""The end of the name of the file that holds a model's numbers, where the model itself does not.
MNN finds the file by the model's name and this end."""

CONVERTED = "__matmul_converted"
"""What the converter adds to the name of a product with a weight."""

FRACTION_BYTES = (".upper", ".lower")
"""Ends of the names of constants that are the two bytes of fractions (`minnow.graph.fractions`)."""

_DAMAGE = (OSError, struct.error, ValueError, IndexError)
"""What reading a damaged file raises; a text that is not UTF-8 is a ValueError too."""

_CONSTANT, _CONVOLUTION, _NORM = 11, 12, 603
"""Types of operators (`OpType`)."""

_BESIDE_FIELDS = {_CONSTANT: 9, _CONVOLUTION: 6, _NORM: 5}
"""Type of an operator -> the field that says where its numbers lie beside the file: the place of
the first, and the bytes of each."""

_BLOBS = {1: (7, "<f4", "<f4"), 19: (3, "u1", "<f2"), 6: (4, "i1", "i1")}
"""Type of a constant's numbers (`DataType`) -> the field that holds them, its dtype, and theirs."""

_HALF, _FEW_BITS = 3, 1
"""Storage of a matrix (`IDSTQuan.type`)."""


class Held(Struct, frozen=True):
    """The numbers of one operator.

    Attributes:
        values: A constant, or the weight of a norm, or of a product: float32 (outputs, inputs);
            int8 where a constant is of whole numbers.
        bias: The bias of a norm or a product, float32; empty without one.
    """

    values: NDArray[Any]
    bias: NDArray[np.float32]


def numbers_file(path: Path) -> Path | None:
    """Return the file of an MNN file's numbers, where it does not hold them itself."""
    beside = path.with_name(path.name + WEIGHTS)
    return beside if beside.exists() else None


def stored_size(path: Path) -> int:
    """Return the bytes of an MNN file, and of the file of its numbers where it has one."""
    beside = numbers_file(path)
    return path.stat().st_size + (beside.stat().st_size if beside else 0)


def missing_numbers(path: Path) -> int:
    """Return how many bytes of its numbers the file beside an MNN file lacks."""
    beside, needed = numbers_file(path), 0
    for operator in _operators(path):
        field, main = _BESIDE_FIELDS.get(operator.number(5)), operator.table(2)
        if main is not None and field is not None:
            needed = max(needed, int(main.array(field, "<i8").sum()))
    return max(needed - (beside.stat().st_size if beside else 0), 0)


def read_numbers(path: Path) -> Mapping[str, Held]:
    """Read the numbers of every constant, product with a weight, and norm.

    Args:
        path: An MNN file; where its numbers are in another, that one is beside it.

    Returns:
        Name of an operator -> its numbers; operators without such numbers are left out.

    Raises:
        BundleError: The file cannot be read, or is none of MNN's that this reader understands.
    """
    try:
        outside = numbers_file(path)
        beside = _Beside(np.frombuffer(_mapped(outside), "u1")) if outside else None
        held = ((operator.text(3), _held(operator, beside)) for operator in _operators(path))
        return {name: numbers for name, numbers in held if numbers is not None}
    except _DAMAGE as error:
        raise _unreadable(path, error) from error


def stored_bits(path: Path) -> int:
    """Return the bits of most numbers of an MNN file: 32 or 16 of floats, else of whole numbers.

    Where matrices are stored in several ways, the one of most numbers counts.

    Raises:
        BundleError: As `read_numbers`.
    """
    try:
        return _most_frequent_bits(_operators(path))
    except _DAMAGE as error:
        raise _unreadable(path, error) from error


def _most_frequent_bits(operators: Sequence[_Table]) -> int:
    counts: dict[int, int] = {}
    for operator in operators:
        kind, main = operator.number(5), operator.table(2)
        if main is None or kind not in (_CONVOLUTION, _CONSTANT):
            continue
        common, stored = main.table(0), main.table(3)
        if kind == _CONSTANT:
            bits = {1: 32, 19: 16, 6: 8}.get(main.number(2, default=1), 0)
            bits = 16 if operator.text(3).endswith(FRACTION_BYTES) else bits
            size = int(np.prod(main.array(0, "<i4"), dtype=np.int64))
        else:
            bits = 32 if stored is None else 16 if stored.number(2) == _HALF else stored.number(7)
            size = common.number(10) * common.number(11) if common else 0
        counts[bits] = counts.get(bits, 0) + size
    counts.pop(0, None)
    return max(counts, key=lambda bits: counts[bits], default=32)


def _operators(path: Path) -> list[_Table]:
    return _Table.root(_mapped(path)).tables(3)


def _unreadable(path: Path, error: Exception) -> BundleError:
    return BundleError(f"The numbers in {path} cannot be read: {error}.")


class _Table(Struct, frozen=True):
    """A table of a FlatBuffer, at a place in it."""

    content: mmap
    place: int

    @classmethod
    def root(cls, content: mmap) -> _Table:
        return cls(content, *struct.unpack_from("<I", content, 0))

    def _field(self, number: int) -> int:
        """Return where a field's value is; 0 if the table has none."""
        (back,) = struct.unpack_from("<i", self.content, self.place)
        (size,) = struct.unpack_from("<H", self.content, self.place - back)
        if 4 + 2 * number >= size:
            return 0
        (offset,) = struct.unpack_from("<H", self.content, self.place - back + 4 + 2 * number)
        return self.place + int(offset) if offset else 0

    def _target(self, number: int) -> int:
        """Return the place that a field refers to; 0 if the table has none."""
        field = self._field(number)
        return field + int(struct.unpack_from("<I", self.content, field)[0]) if field else 0

    def number(self, number: int, kind: str = "<i", default: int = 0) -> int:
        """Return a number."""
        field = self._field(number)
        return int(struct.unpack_from(kind, self.content, field)[0]) if field else default

    def table(self, number: int) -> _Table | None:
        """Return a table, if there is one."""
        target = self._target(number)
        return _Table(self.content, target) if target else None

    def tables(self, number: int) -> list[_Table]:
        """Return a vector of tables."""
        start = self._target(number)
        offsets = self.array(number, "<u4")
        places = start + 4 + 4 * np.arange(len(offsets)) + offsets.astype(np.int64)
        return [_Table(self.content, int(place)) for place in places]

    def text(self, number: int) -> str:
        """Return a string."""
        return self.array(number, "u1").tobytes().decode()

    def array(self, number: int, dtype: str) -> NDArray[Any]:
        """Return a vector of numbers; an empty one if there is none."""
        start = self._target(number)
        if not start:
            return np.zeros(0, dtype)
        (count,) = struct.unpack_from("<I", self.content, start)
        return np.frombuffer(self.content, dtype, count, start + 4)


def _mapped(path: Path) -> mmap:
    with open_regular(path) as file:
        return mmap(file.fileno(), 0, access=ACCESS_READ)


class _Beside(Struct, frozen=True):
    """The file of numbers that an MNN file refers to."""

    content: NDArray[np.uint8]

    def parts(self, places: NDArray[Any]) -> list[NDArray[np.uint8]]:
        """Return parts that follow each other, given where the first is and the bytes of each."""
        ends = np.cumsum(places)
        if ends[-1] > len(self.content):
            raise ValueError(f"the file beside it ends before byte {ends[-1]}")
        return [self.content[a:b] for a, b in pairwise(ends.tolist())]


def _numbers(
    table: _Table, fields: Sequence[tuple[int, str]], external: int, beside: _Beside | None
) -> list[NDArray[Any]]:
    """Return vectors of a table, which are in the file or beside it.

    Args:
        table: The table.
        fields: The number of each vector, and its dtype; in the order in which they lie beside.
        external: The number of the field that says where they lie.
        beside: The other file.
    """
    places = table.array(external, "<i8")
    if not len(places):
        return [table.array(number, dtype) for number, dtype in fields]
    if beside is None:
        raise ValueError("the file of its numbers is missing")
    parts = beside.parts(places)[: len(fields)]
    return [part.view(dtype) for part, (_, dtype) in zip(parts, fields, strict=True)]


def _held(operator: _Table, beside: _Beside | None) -> Held | None:
    kind, main = operator.number(5), operator.table(2)
    if main is None:
        return None
    if kind == _NORM:
        weight, bias = _numbers(main, [(2, "<f4"), (3, "<f4")], _BESIDE_FIELDS[_NORM], beside)
        return Held(weight, bias)
    if kind == _CONVOLUTION:
        return _product(main, beside)
    data_type = main.number(2, default=1)
    if kind != _CONSTANT or data_type not in _BLOBS:
        return None
    field, stored, dtype = _BLOBS[data_type]
    (values,) = _numbers(main, [(field, stored)], _BESIDE_FIELDS[_CONSTANT], beside)
    values = values.view(dtype).reshape(main.array(0, "<i4").tolist())
    return Held(values if dtype == "i1" else values.astype(np.float32), np.zeros(0, np.float32))


def _product(convolution: _Table, beside: _Beside | None) -> Held:
    """Return the weight of a product, float32 of shape (outputs, inputs), and its bias."""
    common, stored = convolution.table(0), convolution.table(3)
    if common is None:
        raise ValueError("a product has no shape")
    outputs, inputs, external = common.number(10), common.number(11), _BESIDE_FIELDS[_CONVOLUTION]
    if stored is None:
        flat, bias = _numbers(convolution, [(1, "<f4"), (2, "<f4")], external, beside)
        return Held(flat.reshape(outputs, inputs), bias)
    halves = bool(stored.number(15, "<b"))
    places = convolution.array(external, "<i8")
    if not len(places):
        content, bias = stored.array(0, "u1"), convolution.array(2, "<f4")
        steps = stored.array(14, "<u2") if halves else stored.array(1, "<f4")
    elif beside is None:
        raise ValueError("the file of its numbers is missing")
    else:
        content, steps, bias = beside.parts(places)[:3]
    if stored.number(2) == _HALF:
        halves_of = content.view("<f2").astype(np.float32)
        return Held(halves_of.reshape(outputs, inputs), bias.view("<f4"))
    if stored.number(2) != _FEW_BITS:
        raise ValueError(f"a product's weight is stored in the way {stored.number(2)}")
    grid = steps.view("<f2" if halves else "<f4").astype(np.float32)
    return Held(_few_bits(stored, content, grid, outputs, inputs), bias.view("<f4"))


def _few_bits(
    stored: _Table,
    content: NDArray[np.uint8],
    steps: NDArray[np.float32],
    outputs: int,
    inputs: int,
) -> NDArray[np.float32]:
    """Decode a matrix of few bits: numbers of a grid that blocks of a row share."""
    grid = steps.reshape(outputs, -1, 1, 2)  # the lowest number and the step of each block
    codes = _codes(stored, content, outputs * inputs).reshape(outputs, grid.shape[1], -1)
    lowest = stored.number(8)
    values = (codes.astype(np.float32) - np.float32(lowest)) * grid[..., 1] + grid[..., 0]
    weight: NDArray[np.float32] = values.reshape(outputs, inputs)
    return weight


def _codes(stored: _Table, content: NDArray[np.uint8], count: int) -> NDArray[np.int8]:
    """Read the whole numbers of a matrix: indices of some bits each into a list of numbers."""
    axes, wide = int(content[0]), stored.number(11, "<B")
    start = 1 + axes * (4 if wide else 2)
    listed = int(content[start]) or 256
    numbers = np.sort(content[start + 1 : start + 1 + listed].view(np.int8))
    bits = max(1, (listed - 1).bit_length())
    packed = content[start + 1 + listed :][: -(-bits * count // 8)]
    indices: NDArray[np.integer[Any]] = packed
    if bits < 8:
        parts = np.unpackbits(packed)[: bits * count].reshape(count, bits)
        indices = np.packbits(parts, axis=1)[:, 0] >> (8 - bits)
    codes: NDArray[np.int8] = numbers[indices]
    return codes
