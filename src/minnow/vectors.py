"""Vectors: pooled from token states, normalised, compared. Pure NumPy."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


class Pooling(str, Enum):
    """Ways to make one vector of a text's token states; values are sentence-transformers' names."""

    CLS = "cls"
    MEAN = "mean"
    MAX = "max"
    MEAN_SQRT_LEN = "mean_sqrt_len_tokens"
    WEIGHTED_MEAN = "weightedmean"
    LAST_TOKEN = "lasttoken"  # noqa: S105


class Similarity(str, Enum):
    """Ways to compare two vectors; values are sentence-transformers' names."""

    COSINE = "cosine"
    DOT = "dot"
    EUCLIDEAN = "euclidean"
    MANHATTAN = "manhattan"


class VectorEncoding(str, Enum):
    """Storage of a vector's numbers, all little-endian.

    FLOAT16 is IEEE 754 half precision. INT8 is a float32, the scale, and then a signed byte for
    each number: value = scale * byte.
    """

    FLOAT16 = "float16"
    INT8 = "int8"

    def row_bytes(self, width: int) -> int:
        """Return the length of a stored vector in bytes."""
        return 2 * width if self is VectorEncoding.FLOAT16 else 4 + width


def _weighted_sum(hidden: Floats, weights: Floats) -> Floats:
    rows: Floats = np.matmul(weights[:, None, :], hidden)[:, 0]
    return rows


def _mean(hidden: Floats, mask: Floats) -> Floats:
    rows: Floats = _weighted_sum(hidden, mask) / np.maximum(mask.sum(1, keepdims=True), 1e-9)
    return rows


def _mean_sqrt_len(hidden: Floats, mask: Floats) -> Floats:
    rows: Floats = _mean(hidden, mask) * np.sqrt(mask.sum(1, keepdims=True))
    return rows


def _weighted_mean(hidden: Floats, mask: Floats) -> Floats:
    return _mean(hidden, mask * np.arange(1, mask.shape[1] + 1, dtype=mask.dtype))


def _max(hidden: Floats, mask: Floats) -> Floats:
    rows: Floats = np.where(mask[:, :, None] > 0, hidden, -np.inf).max(1)
    return rows


def _last_token(hidden: Floats, mask: Floats) -> Floats:
    last = mask.shape[1] - 1 - np.argmax(mask[:, ::-1], axis=1)
    rows: Floats = hidden[np.arange(len(hidden)), last]
    return rows


_POOLINGS: dict[Pooling, Callable[[Floats, Floats], Floats]] = {
    Pooling.CLS: lambda hidden, _: hidden[:, 0],
    Pooling.MEAN: _mean,
    Pooling.MAX: _max,
    Pooling.MEAN_SQRT_LEN: _mean_sqrt_len,
    Pooling.WEIGHTED_MEAN: _weighted_mean,
    Pooling.LAST_TOKEN: _last_token,
}


def pool(hidden: NDArray[np.float32], mask: NDArray[np.int32], pooling: Pooling) -> Floats:
    """Pool the token states of each text into one vector.

    Padding must be on the right: the first token of every row is a real one.

    Args:
        hidden: Token states, float32 of shape (batch, tokens, width).
        mask: 1 for a token, 0 for padding, of shape (batch, tokens).
        pooling: The way to pool, as sentence-transformers' `Pooling` module defines it.

    Returns:
        float32 of shape (batch, width).
    """
    return _POOLINGS[pooling](hidden, mask.astype(np.float32))


def normalize(vectors: NDArray[np.number]) -> Floats:
    """Scale rows to L2 length 1; a row of zeros stays zero.

    Args:
        vectors: Numbers of shape (..., width); sums are float32, also of float16 and int8.

    Returns:
        float32 of the same shape.
    """
    vectors = vectors.astype(np.float32, copy=False)
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    rows: Floats = (vectors / np.maximum(length, 1e-12)).astype(np.float32, copy=False)
    return rows


def rowwise_cosine(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the cosine of each row of `a` with the same row of `b`, in float64.

    Args:
        a: Shape (rows, width).
        b: Shape (rows, width).

    Returns:
        float64 of shape (rows,); NaN where a row holds NaN or has length 0.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines: NDArray[np.float64] = (a * b).sum(1) / (
            np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        )
    return cosines


def similarity(
    a: NDArray[np.number], b: NDArray[np.number], kind: Similarity = Similarity.COSINE
) -> Floats:
    """Compare every row of `a` with every row of `b`; larger is more similar.

    Distances are negated, as sentence-transformers does.

    Args:
        a: Numbers of shape (rows, width) or (width,); computed in float32, also of float16 and
            int8, whose own sums would overflow.
        b: Numbers of shape (others, width) or (width,).
        kind: The similarity.

    Returns:
        float32 of shape (rows, others).

    Raises:
        InputError: The widths differ, or an array has more than two axes.
    """
    a, b = (np.atleast_2d(rows).astype(np.float32, copy=False) for rows in (a, b))
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise _incomparable(a, b)
    if kind is Similarity.COSINE:
        return normalize(a) @ normalize(b).T
    if kind is Similarity.DOT:
        return a @ b.T
    order = 1 if kind is Similarity.MANHATTAN else 2
    rows = [-np.linalg.norm(b - row, ord=order, axis=1) for row in a]
    return np.asarray(rows, dtype=np.float32).reshape(len(a), len(b))


def pairwise_similarity(
    a: NDArray[np.number], b: NDArray[np.number], kind: Similarity = Similarity.COSINE
) -> Floats:
    """Compare every row of `a` with the same row of `b`; larger is more similar.

    Args:
        a: Numbers of shape (rows, width) or (width,), as `similarity` takes them.
        b: Numbers of the same shape.
        kind: The similarity; distances are negated.

    Returns:
        float32 of shape (rows,); of shape () for two vectors.

    Raises:
        InputError: The widths or the numbers of rows differ; one row is compared with all.
    """
    a, b = (rows.astype(np.float32, copy=False) for rows in (a, b))
    counts = {np.atleast_2d(rows).shape[0] for rows in (a, b)} - {1}
    if not 1 <= min(a.ndim, b.ndim) <= max(a.ndim, b.ndim) <= 2 or len(counts) > 1:
        raise _incomparable(a, b)
    if a.shape[-1] != b.shape[-1]:
        raise _incomparable(a, b)
    if kind is Similarity.COSINE:
        a, b = normalize(a), normalize(b)
    if kind in (Similarity.COSINE, Similarity.DOT):
        return np.asarray((a * b).sum(-1), dtype=np.float32)
    order = 1 if kind is Similarity.MANHATTAN else 2
    return np.asarray(-np.linalg.norm(a - b, ord=order, axis=-1), dtype=np.float32)


def _incomparable(a: Floats, b: Floats) -> InputError:
    return InputError(
        f"Vectors of shapes {a.shape} and {b.shape} cannot be compared: give arrays of shape "
        "(rows, width), both of one model and of as many dimensions."
    )
