"""The parts of a score, and the published weights against their definition spelled out."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.errors import InputError
from minnow.memory import PARK_2023, Weights
from minnow.memory.scoring import contributions, recency, scaled

HOUR = 3_600_000


def test_recency_halves_with_every_half_life() -> None:
    used = np.array([0, -24, -48, -24 * 365, 5]) * HOUR
    left = recency(used, 0, timedelta(days=1))
    assert left == pytest.approx([1, 0.5, 0.25, 0.5**365, 1], rel=1e-9)


@given(st.lists(st.floats(-1e6, 1e6), max_size=9))
def test_scaled_is_between_0_and_1(values: list[float]) -> None:
    answer = scaled(np.array(values))
    assert ((answer >= 0) & (answer <= 1)).all()
    if len(set(values)) == 1:
        assert (answer == 0.5).all()
    elif values and np.ptp(values) > 0:
        assert (answer.min(), answer.max()) == (0, 1)


def test_parts_are_absolute() -> None:
    """A part of a memory does not change with what else is remembered."""
    values = {"relevance": np.array([0.9, 0.1]), "importance": np.array([0.2, 1.0])}
    both = contributions(values, Weights(importance=0.5))
    one = contributions({name: part[:1] for name, part in values.items()}, Weights(importance=0.5))
    assert [both["relevance"][0], both["importance"][0]] == [0.9, 0.1]
    assert [one["relevance"][0], one["importance"][0]] == [0.9, 0.1]


def test_the_published_sum() -> None:
    """Spelled out with plain numbers, not with the code's functions."""
    relevance, hours, importance = [0.9, 0.1, 0.5], [10.0, 0.0, 100.0], [0.2, 1.0, 0.6]
    left = [math.pow(0.995, h) for h in hours]
    low, high = min(left), max(left)
    expected = [
        (r - 0.1) / 0.8 + (x - low) / (high - low) + (i - 0.2) / 0.8
        for r, x, i in zip(relevance, left, importance, strict=True)
    ]
    used = -np.array(hours).astype(np.int64) * HOUR
    found = contributions(
        {"relevance": np.array(relevance), "importance": np.array(importance),
         "recency": recency(used, 0, PARK_2023.half_life), "speaker": np.ones(3)},
        PARK_2023,
    )  # fmt: skip
    assert sum(found.values()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(
    "wrong", [{"relevance": -1}, {"recency": math.nan}, {"importance": math.inf}, {"context": -0.1},
              {"half_life": timedelta(0)}],
)  # fmt: skip
def test_wrong_weights_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Weights(**wrong)
