"""Numbers by which the inputs of matrices are multiplied, so that rounding them loses less.

In low memory MNN rounds the inputs of a matrix to 8 bits: each block of a token's inputs, as many
as share a step of the weights, to 256 steps from its least to its largest. A few large inputs leave
their neighbours few steps. And MNN rounds the place of 0 among the steps as well, which moves all
inputs of a block by up to half a step: an error in proportion to the sum of a row's weights.

So an input is divided by the root of its size over that of its weights, which divides the loss
evenly between both (Xiao et al., "SmoothQuant", 2022), and some inputs change their sign, so that
the sums of the weights in a block become small.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

_MOST = 64.0
"""The largest ratio of a multiplier to the median of all."""
_STARTS = 8


def choose_multipliers(inputs: Floats, weight: Floats, block: int) -> Floats:
    """Choose what to multiply the inputs of a matrix by.

    Args:
        inputs: The inputs over calibration text: float32 of shape (tokens, inputs).
        weight: float32 of shape (outputs, inputs).
        block: How many inputs share a step.

    Returns:
        float32 of shape (inputs,), exact in half precision, none of them 0.
    """
    tiny = np.finfo(np.float32).tiny
    sizes = np.sqrt((_root_mean_square(inputs) + tiny) / (_root_mean_square(weight) + tiny))
    multipliers = np.clip(np.median(sizes) / sizes, 1 / _MOST, _MOST).astype(np.float16)
    multipliers = multipliers.astype(np.float32)
    divided = (weight / multipliers).astype(np.float64)
    starts = range(0, len(multipliers), block)
    signs = [_cancelling_signs(divided[:, start : start + block]) for start in starts]
    signed: Floats = multipliers * np.concatenate(signs)
    return signed


def _root_mean_square(x: Floats) -> NDArray[np.float64]:
    """Return the root of the mean square of each column."""
    squares: NDArray[np.float64] = np.einsum("ij,ij->j", x, x, dtype=np.float64)
    return np.sqrt(squares / len(x))


def _cancelling_signs(weight: NDArray[np.float64]) -> Floats:
    """Return a sign for each column, so that the sums of rows are small in the mean square."""
    products = weight.T @ weight
    own, (_, vectors) = np.diag(products), np.linalg.eigh(products)
    best, least = np.ones(len(own)), products.sum()
    for vector in vectors.T[:_STARTS]:
        signs = np.where(vector < 0, -1.0, 1.0)
        # gains: a fourth of what changing a sign takes away
        while (gains := signs * (products @ signs) - own).max() > 1e-9 * own.sum():
            signs[gains.argmax()] *= -1
        found = signs @ products @ signs
        if found < least:
            best, least = signs, found
    return best.astype(np.float32)
