"""Vectors as blobs and back: float16, or int8 with a scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minnow.errors import IndexFileError
from minnow.vectors import VectorEncoding

if TYPE_CHECKING:
    from collections.abc import Sequence


Doubles = NDArray[np.float64]
Floats = NDArray[np.float32]
Ids = NDArray[np.int64]

_SCALE_BYTES = 4
_LARGEST = 127
_OF_FLOAT32 = 1e-5
_PAGE_SIZES = (8192, 16384, 32768, 65536)
_PAGE_OVERHEAD = 12
_CELL_OVERHEAD = 10
_TOLERATED_SLACK = 0.03


def encode_rows(vectors: Floats, encoding: VectorEncoding) -> list[bytes]:
    """Encode vectors, float32 of shape (rows, width) and finite, as blobs.

    Raises:
        ValueError: A number is not finite, or too large for float16.
    """
    if encoding is VectorEncoding.FLOAT16:
        with np.errstate(over="ignore"):
            halves = vectors.astype("<f2")
        if not np.isfinite(halves).all():
            raise ValueError("a vector holds NaN, infinity or a number above 65504")
        return [row.tobytes() for row in halves]
    if not np.isfinite(vectors).all():
        raise ValueError("a vector holds NaN or infinity")
    scales = (np.abs(vectors).max(axis=1, initial=0.0) / _LARGEST).astype("<f4")
    divisors = np.where(scales > 0, scales, 1).astype(np.float64)
    whole = np.clip(np.rint(vectors / divisors[:, None]), -_LARGEST, _LARGEST).astype(np.int8)
    return [s.tobytes() + row.tobytes() for s, row in zip(scales, whole, strict=True)]


def decode_rows(
    rows: Sequence[bytes], width: int, encoding: VectorEncoding, *, unit: bool = False
) -> Floats:
    """Decode blobs to float32 of shape (rows, width).

    Args:
        rows: The blobs.
        width: Length of a vector.
        encoding: How they are stored.
        unit: Whether each vector has to have length 1, as far as the encoding keeps it, or 0.

    Raises:
        IndexFileError: A blob has another length than such vectors have, or holds NaN or infinity,
            or a vector has another length than 1.
    """
    size = encoding.row_bytes(width)
    if any(not isinstance(row, bytes) or len(row) != size for row in rows):
        raise IndexFileError("A vector in the index has a wrong length: the file is damaged.")
    vectors = _decode(rows, size, encoding)
    if not np.isfinite(vectors).all():
        raise IndexFileError("A vector in the index is not finite: the file is damaged.")
    if unit and len(vectors):
        lengths = np.sqrt(np.einsum("nk,nk->n", vectors, vectors, dtype=np.float64))
        wrong = (np.abs(lengths - 1) > _tolerances(rows, width, encoding)) & (lengths > 0)
        if wrong.any():
            raise IndexFileError(
                f"A vector in the index has a length of {lengths[wrong][0]:.4g} instead of 1: the "
                "file is damaged."
            )
    return vectors


def _tolerances(rows: Sequence[bytes], width: int, encoding: VectorEncoding) -> Doubles | float:
    """Return how far the length of a stored unit vector may be from 1.

    A number is rounded by up to 2^-11 of itself, or by 2^-25 where it is tiny (float16), or by half
    of the scale of its row (int8); the length changes by no more than the length of all roundings.
    """
    if encoding is VectorEncoding.FLOAT16:
        return float(2.0**-11 + width**0.5 * 2.0**-25 + _OF_FLOAT32)
    scales = np.array([np.frombuffer(row, "<f4", 1)[0] for row in rows], np.float64)
    tolerances: Doubles = np.minimum(np.abs(scales), 1 / _LARGEST) * (width**0.5 / 2) + _OF_FLOAT32
    return tolerances


def _decode(rows: Sequence[bytes], size: int, encoding: VectorEncoding) -> Floats:
    content = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(rows), size)
    if encoding is VectorEncoding.FLOAT16:
        return np.ascontiguousarray(content).view("<f2").astype(np.float32)
    scales = np.ascontiguousarray(content[:, :_SCALE_BYTES]).view("<f4")
    whole = content[:, _SCALE_BYTES:].view(np.int8).astype(np.float32)
    vectors: Floats = whole * scales.astype(np.float32)
    return vectors


def page_size(row_bytes: int) -> int:
    """Return the smallest page size of SQLite that rows of this length fill well, in bytes.

    Rows of 768 bytes fill a page of 4096 with five, and leave 6 % of it empty; a page of 16384
    takes 21 of them.

    Source: https://www.sqlite.org/fileformat2.html#b_tree_pages
    """
    cell = row_bytes + _CELL_OVERHEAD

    def slack(size: int) -> float:
        rows = (size - _PAGE_OVERHEAD) // cell
        return 1 - rows * cell / size if rows else 1.0

    fitting = (size for size in _PAGE_SIZES[1:] if slack(size) <= _TOLERATED_SLACK)
    return next(fitting, min(_PAGE_SIZES, key=slack))
