"""Rounding: on MNN's grid, through its converter unchanged, and better than to the nearest."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.convert.rounding import SecondMoment, round_matrix
from minnow.recipe import Grid

if TYPE_CHECKING:
    from numpy.typing import NDArray

pytestmark = pytest.mark.extra("convert")


def round_weight(
    matrix: NDArray[np.float32], grid: Grid, second: SecondMoment | None = None
) -> NDArray[np.float32]:
    return round_matrix(matrix, grid, second).values()


def weight(rows: int = 24, columns: int = 64, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    return (random.standard_t(4, (rows, columns)) * 0.05).astype(np.float32)


def moment(columns: int = 64, seed: int = 1) -> SecondMoment:
    """Return the second moment of correlated inputs, as a network has them."""
    random = np.random.default_rng(seed)
    inputs = random.standard_normal((500, columns // 8)) @ random.standard_normal((8, columns))
    inputs += 0.1 * random.standard_normal((500, columns))
    return SecondMoment(inputs.T @ inputs / 500)


def as_mnn_rounds(rounded: NDArray[np.float32], grid: Grid) -> NDArray[np.float32]:
    """MNN's quantiser and its reader, written from their source: a step from the extremes."""
    parts = rounded.reshape(len(rounded), -1, grid.block or rounded.shape[1])
    least, most = parts.min(-1, keepdims=True), parts.max(-1, keepdims=True)
    step = (most - least) / np.float32(2**grid.bits - 1)
    codes = np.where(step > 1e-6, np.round((parts - least) / np.maximum(step, 1e-12)), 0)
    step, least = (x.astype(np.float16).astype(np.float32) for x in (step, least))
    values: NDArray[np.float32] = (least + codes * step).astype(np.float32)
    return values.reshape(rounded.shape)


def loss(rounded: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    off = (rounded - exact).astype(np.float64)
    return float(np.trace(off @ moment(exact.shape[1]).matrix @ off.T))


GRIDS = [Grid(bits, block) for bits in (2, 4, 5, 8) for block in (0, 16, 32)]


@pytest.mark.parametrize("grid", GRIDS, ids=str)
@pytest.mark.parametrize("calibrated", [False, True])
def test_mnn_s_quantiser_changes_nothing(grid: Grid, calibrated: bool) -> None:
    rounded = round_weight(weight(), grid, moment() if calibrated else None)
    assert rounded.dtype == np.float32
    np.testing.assert_array_equal(as_mnn_rounds(rounded, grid), rounded)
    np.testing.assert_array_equal(
        rounded.astype(np.float16).astype(np.float32).min(), rounded.min()
    )


@given(
    bits=st.integers(2, 8),
    seed=st.integers(0, 500),
    magnitude=st.sampled_from([1e-4, 0.01, 1.0, 100.0]),
    shift=st.sampled_from([-1.0, 0.0, 3.0]),
)
def test_nothing_is_far_off(bits: int, seed: int, magnitude: float, shift: float) -> None:
    exact = (weight(4, 32, seed) + np.float32(shift * 0.05)) * np.float32(magnitude)
    grid = Grid(bits, 16)
    rounded = round_weight(exact, grid)
    assert np.isfinite(rounded).all()
    parts = exact.reshape(4, -1, 16)
    span = (parts.max(-1) - parts.min(-1)).repeat(16, axis=1)
    most = span * (0.25 + 0.6 / (2**bits - 1)) + 2e-6 * 2**bits + np.abs(exact).max() * 1e-3
    assert (np.abs(rounded - exact) <= most).all()


@pytest.mark.parametrize("bits", [3, 4, 5, 8])
def test_errors_make_up_for_each_other(bits: int) -> None:
    exact, grid = weight(), Grid(bits, 32)
    assert loss(round_weight(exact, grid, moment()), exact) < 0.5 * loss(
        round_weight(exact, grid), exact
    )


@pytest.mark.parametrize("block", [0, 16, 32])
def test_a_bit_more_is_nearer(block: int) -> None:
    exact = weight()
    losses = [loss(round_weight(exact, Grid(bits, block)), exact) for bits in range(2, 9)]
    assert losses == sorted(losses, reverse=True)


def test_a_block_that_does_not_divide_a_row_shrinks() -> None:
    exact = weight(4, 48)
    np.testing.assert_array_equal(
        round_weight(exact, Grid(4, 32)), round_weight(exact, Grid(4, 16))
    )


def test_equal_weights_stay_what_they_are() -> None:
    exact = np.full((3, 64), 0.25, np.float32)
    np.testing.assert_allclose(round_weight(exact, Grid(4, 16)), exact, atol=4e-5)
    np.testing.assert_allclose(round_weight(exact, Grid(4, 16), moment()), exact, atol=4e-5)


def test_the_spread_of_errors_is_the_factor_of_the_inverse() -> None:
    found, order = moment().spread, moment().order
    inverse = np.linalg.inv(moment().matrix[np.ix_(order, order)])
    np.testing.assert_allclose(found, np.linalg.cholesky(inverse).T, rtol=1e-3, atol=1e-4)
    assert (np.diff(np.diag(moment().matrix)[order]) <= 0).all()


def test_inputs_that_never_differ_are_told() -> None:
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        SecondMoment(np.zeros((16, 16))).spread  # noqa: B018
