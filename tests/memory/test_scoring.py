"""The published score, against its definition spelled out."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.errors import InputError
from minnow.memory import Weights
from minnow.memory.scoring import recency, scaled, scores

HOUR = 3_600_000


def test_recency_decays_by_the_hour() -> None:
    used = np.array([0, -1, -10, -24 * 365, 5]) * HOUR
    left = recency(used, 0, 0.995)
    assert left == pytest.approx([1, 0.995, 0.995**10, 0.995**8760, 1], rel=1e-12)


@given(st.lists(st.floats(-1e6, 1e6), max_size=9))
def test_scaled_is_between_0_and_1(values: list[float]) -> None:
    answer = scaled(np.array(values))
    assert ((answer >= 0) & (answer <= 1)).all()
    if len(set(values)) == 1:
        assert (answer == 0.5).all()
    elif values and np.ptp(values) > 0:
        assert (answer.min(), answer.max()) == (0, 1)


def test_the_sum_is_that_of_the_paper() -> None:
    """Spelled out with plain numbers, not with the code's functions."""
    relevance, hours, importance = [0.9, 0.1, 0.5], [10.0, 0.0, 100.0], [0.2, 1.0, 0.6]
    weights = Weights(relevance=2, recency=0.5, importance=1.5, decay=0.99)
    left = [math.pow(0.99, h) for h in hours]
    low, high = min(left), max(left)
    expected = [
        2 * (r - 0.1) / 0.8 + 0.5 * (x - low) / (high - low) + 1.5 * (i - 0.2) / 0.8
        for r, x, i in zip(relevance, left, importance, strict=True)
    ]
    found = scores(np.array(relevance), np.array(left), np.array(importance), weights)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    "wrong", [{"relevance": -1}, {"recency": math.nan}, {"importance": math.inf}, {"decay": 0},
              {"decay": 1.5}, {"decay": math.nan}],
)  # fmt: skip
def test_wrong_weights_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Weights(**wrong)
