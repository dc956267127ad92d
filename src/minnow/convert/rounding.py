"""Rounding of a matrix to integers of a few bits, so that its products change least.

The codes are those of MNN's own quantiser: within a block of a row, weight = low + code * step,
with low and step in half precision. That quantiser takes low and step from the smallest and the
largest weight of a block. So every block here has one weight with code 0 and one with the largest
code, and MNN's quantiser leaves the rounded weights unchanged.

Source: Frantar et al., "GPTQ" (2022), with columns sorted by importance,
and Nagel et al., "Data-free quantization through weight equalization and bias correction" (2019)
for the biases (`minnow.convert.calibrate`).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable

    from minnow.recipe import Grid

Floats = NDArray[np.float32]

_COLUMNS = 64  # columns whose errors are spread over the others in one product
_AT_ONCE = 2**17  # numbers whose steps are fitted together: they stay in a processor's cache
_SMALLEST_STEP = 2e-6  # MNN's quantiser takes a block with steps below 1e-6 for constant


@dataclass(frozen=True)
class SecondMoment:
    """The second moment of a matrix's inputs, with what several matrices of the same inputs share.

    Attributes:
        matrix: float64 of shape (inputs, inputs), positive definite.
    """

    matrix: NDArray[np.float64]

    @cached_property
    def order(self) -> NDArray[np.intp]:
        """The inputs, the most important first."""
        return np.argsort(-np.diag(self.matrix), kind="stable")

    @cached_property
    def spread(self) -> Floats:
        """Each input's error, as the inputs after it have to take it up, in that order.

        It is the upper triangle U with U'U the moment's inverse. Of the moment turned upside down,
        Cholesky's lower triangle, inverted and turned back, is the same, without the inverse.
        """
        from scipy.linalg.lapack import dpotrf, dtrtri

        upside_down = self.matrix[np.ix_(self.order[::-1], self.order[::-1])]
        lower, failed = dpotrf(upside_down, lower=1, clean=1)
        inverse, singular = dtrtri(lower, lower=1)
        if failed or singular:
            raise np.linalg.LinAlgError("the second moment is not positive definite")
        return np.ascontiguousarray(inverse[::-1, ::-1], dtype=np.float32)


@dataclass(frozen=True)
class _Blocks:
    """Lowest value and step of each block: float32 of shape (rows, blocks), exact in float16."""

    low: Floats
    step: Floats
    largest: int

    def codes(self, weights: Floats, block: NDArray[np.int64]) -> Floats:
        """Return the nearest codes of weights (rows, n), given the block of each column."""
        codes = np.round((weights - self.low[:, block]) / self.step[:, block])
        return np.clip(codes, 0, np.float32(self.largest))

    def values(self, codes: Floats, block: NDArray[np.int64]) -> Floats:
        """Return the weights of codes."""
        return self.low[:, block] + codes * self.step[:, block]


@dataclass(frozen=True)
class RoundedMatrix:
    """A matrix on its grid, in a quarter of the memory of its values.

    Attributes:
        codes: uint8 of shape (outputs, inputs).
        blocks: Lowest value and step of each block.
        size: Columns of a block.
    """

    codes: NDArray[np.uint8]
    blocks: _Blocks
    size: int

    def values(self) -> Floats:
        """Return the weights: float32 of shape (outputs, inputs)."""
        block = np.arange(self.codes.shape[1]) // self.size
        return self.blocks.values(self.codes.astype(np.float32), block)


def round_matrix(weight: Floats, grid: Grid, moment: SecondMoment | None = None) -> RoundedMatrix:
    """Round a matrix: to the nearest codes, or so that errors compensate for each other.

    With `moment`, columns are rounded one after another, and the remaining columns compensate for
    each one's error in the outputs.

    Args:
        weight: float32 of shape (outputs, inputs).
        grid: Bits, and the number of inputs that share a step.
        moment: Second moment of the inputs over calibration text.
    """
    inputs = weight.shape[1]
    size = grid.block_in(inputs)
    importance = np.ones(inputs) if moment is None else np.diag(moment.matrix)
    weighing = importance.astype(np.float32)
    with ThreadPoolExecutor() as threads:  # NumPy computes side by side
        some = max(1, _AT_ONCE // inputs)
        parts = [weight[start : start + some] for start in range(0, len(weight), some)]
        blocks = _joined(threads.map(lambda part: _fit(part, size, grid.bits, weighing), parts))
    forced = _extremes(weight, size, blocks.largest)
    block = np.arange(inputs) // size
    if moment is None:
        codes = np.where(forced < 0, blocks.codes(weight, block), forced)
    else:
        codes = _compensated(weight, moment, blocks, forced, block)
    return RoundedMatrix(codes.astype(np.uint8), blocks, size)


def _joined(parts: Iterable[_Blocks]) -> _Blocks:
    found = list(parts)
    low, step = (np.concatenate([getattr(p, name) for p in found]) for name in ("low", "step"))
    return _Blocks(low, step, found[0].largest)


def _fit(weight: Floats, size: int, bits: int, importance: Floats) -> _Blocks:
    """Find the steps with the least squared error, weighed by the size of each input."""
    rows, inputs = weight.shape
    parts = weight.reshape(rows, inputs // size, size)
    weighing = importance.reshape(1, -1, size)
    largest = 2**bits - 1
    least, highest = parts.min(-1), parts.max(-1)
    middle, half = (least + highest) / 2, (highest - least) / 2
    best_low, best_step = np.empty_like(least), np.empty_like(least)
    best_error = np.full_like(least, np.inf)
    for share in np.linspace(1, 0.6 if bits < 6 else 0.8, 17, dtype=np.float32):
        low = _as_half(middle - half * share)
        step = _as_half(np.maximum(2 * half * share / largest, _SMALLEST_STEP))
        codes = np.clip(np.round((parts - low[..., None]) / step[..., None]), 0, largest)
        values = low[..., None] + codes * step[..., None]
        error = (((values - parts) ** 2) * weighing).sum(-1)
        better = error < best_error
        best_low, best_step = np.where(better, low, best_low), np.where(better, step, best_step)
        best_error = np.minimum(error, best_error)
    return _Blocks(best_low, best_step, largest)


def _as_half(numbers: Floats) -> Floats:
    return numbers.astype(np.float16).astype(np.float32)


def _extremes(weight: Floats, size: int, largest: int) -> Floats:
    """Return 0 for the smallest weight of a block, `largest` for its largest, and -1 elsewhere."""
    rows, inputs = weight.shape
    parts = weight.reshape(rows, inputs // size, size)
    forced = np.full_like(parts, -1)
    np.put_along_axis(forced, parts.argmax(-1)[..., None], np.float32(largest), axis=-1)
    np.put_along_axis(forced, parts.argmin(-1)[..., None], np.float32(0), axis=-1)
    return forced.reshape(rows, inputs)


def _compensated(
    weight: Floats,
    moment: SecondMoment,
    blocks: _Blocks,
    forced: Floats,
    block: NDArray[np.int64],
) -> Floats:
    """Return codes whose errors compensate for each other."""
    order, spread = moment.order, moment.spread
    left, forced, block = weight[:, order].copy(), forced[:, order], block[order]
    rounded = np.empty_like(left)  # codes
    for start in range(0, len(order), _COLUMNS):
        end = min(start + _COLUMNS, len(order))
        errors = np.empty((len(left), end - start), np.float32)
        for j in range(start, end):
            codes = blocks.codes(left[:, j : j + 1], block[j : j + 1])
            codes = np.where(forced[:, j : j + 1] < 0, codes, forced[:, j : j + 1])
            rounded[:, j : j + 1] = codes
            value = blocks.values(codes, block[j : j + 1])[:, 0]
            errors[:, j - start] = (left[:, j] - value) / spread[j, j]
            left[:, j + 1 : end] -= np.outer(errors[:, j - start], spread[j, j + 1 : end])
        left[:, end:] -= errors @ spread[start:end, end:]
    result = np.empty_like(rounded)
    result[:, order] = rounded
    return result
