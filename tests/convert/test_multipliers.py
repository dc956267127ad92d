"""Multipliers of a matrix's inputs: what they must keep, and what they must gain."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from minnow.convert.multipliers import choose_multipliers

BLOCK = 64
Floats = NDArray[np.float32]


def made(seed: int = 0) -> tuple[Floats, Floats]:
    """Make inputs, a few of them large in every token, and a matrix of small weights for those."""
    random = np.random.default_rng(seed)
    sizes = np.exp(random.normal(0, 0.5, 128)) * np.where(np.arange(128) % 50 == 7, 20, 1)
    inputs = (random.normal(0, 1, (400, 128)) * sizes).astype(np.float32)
    weight = (random.normal(0, 1, (96, 128)) / np.sqrt(sizes)).astype(np.float32)
    return inputs, weight


def rounded(inputs: Floats) -> Floats:
    """Round inputs as MNN's MNNAsyQuantInfo and its products do, the place of 0 too."""
    blocks = inputs.reshape(len(inputs), -1, BLOCK)
    least, most = blocks.min(-1, keepdims=True), blocks.max(-1, keepdims=True)
    step = (most - least) / 255
    codes = np.round(blocks / step + np.round(-least / step) - 128)
    values: Floats = np.clip(codes, -128, 127) * step + least + 128 * step
    return values.reshape(inputs.shape)


def loss(inputs: Floats, weight: Floats, by: Floats) -> float:
    error = rounded(inputs * by) @ (weight / by).T - inputs @ weight.T
    return float(np.square(error).mean())


def test_products_of_rounded_inputs_lose_less() -> None:
    inputs, weight = made()
    by = choose_multipliers(inputs, weight, BLOCK)
    unseen, _ = made(seed=1)
    assert loss(unseen, weight, by) < 0.3 * loss(unseen, weight, np.ones_like(by))


def test_signs_gain_beside_sizes() -> None:
    inputs, weight = made()
    by = choose_multipliers(inputs, weight, BLOCK)
    assert loss(inputs, weight, by) < 0.9 * loss(inputs, weight, np.abs(by))


@pytest.mark.parametrize("empty", ["inputs", "weights", "both"])
def test_numbers_that_are_always_zero(empty: str) -> None:
    inputs, weight = made()
    if empty != "weights":
        inputs[:, 3] = 0
    if empty != "inputs":
        weight[:, 3] = 0
    by = choose_multipliers(inputs, weight, BLOCK)
    assert np.isfinite(by).all()
    assert (by != 0).all()


def test_half_precision_holds_them() -> None:
    by = choose_multipliers(*made(), BLOCK)
    np.testing.assert_array_equal(by, by.astype(np.float16).astype(np.float32))
