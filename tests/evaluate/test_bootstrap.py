"""Whether two systems differ: intervals of their difference, and their verdicts."""

from __future__ import annotations

from math import inf, nan
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minnow.errors import InputError
from minnow.evaluate import Interval, bootstrap, paired_bootstrap, verdict

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Values = NDArray[np.float64]

UNKNOWN = "too few queries to tell"


def values(*numbers: float) -> Values:
    return np.array(numbers, dtype=np.float64)


def drawn(count: int, seed: int) -> Values:
    return np.random.default_rng(seed).random(count)


class TestBootstrap:
    def test_a_constant_difference_has_no_width(self) -> None:
        interval = paired_bootstrap(values(0.5, 0.75, 1), values(0.25, 0.5, 0.75))
        assert interval == Interval(0.25, 0.25, 0.25, queries=3)

    def test_it_is_the_candidate_less_the_baseline(self) -> None:
        baseline = drawn(50, seed=1) / 2
        interval = paired_bootstrap(baseline + drawn(50, seed=2) / 2, baseline)
        assert 0 < interval.low < interval.difference < interval.high

    def test_queries_stay_paired(self) -> None:
        """The same queries are hard for both: unpaired, the difference would drown in them."""
        hard = drawn(100, seed=1)
        step = 0.01 + 0.001 * drawn(100, seed=2)
        interval = paired_bootstrap(hard + step, hard)
        assert 0.01 < interval.low < interval.high < 0.011

    def test_it_is_near_the_interval_of_the_normal_distribution(self) -> None:
        """With many queries the bootstrap and the textbook's formula agree."""
        one, other = drawn(2000, seed=1), drawn(2000, seed=2)
        differences = one - other
        half = 1.959964 * differences.std(ddof=1) / np.sqrt(2000)
        interval = paired_bootstrap(one, other)
        assert interval.difference == pytest.approx(differences.mean())
        assert interval.low == pytest.approx(differences.mean() - half, abs=half / 20)
        assert interval.high == pytest.approx(differences.mean() + half, abs=half / 20)

    def test_two_queries_by_hand(self) -> None:
        """Means of two draws from 0 and 1: 0, 0.5 and 1 with chances of 1/4, 1/2 and 1/4."""
        interval = paired_bootstrap(values(0, 1), values(0, 0))
        assert interval == Interval(0.5, 0, 1, queries=2)

    def test_the_same_seed_gives_the_same_interval(self) -> None:
        one, other = drawn(30, seed=1), drawn(30, seed=2)
        first = paired_bootstrap(one, other, resamples=200, seed=7)
        assert paired_bootstrap(one, other, resamples=200, seed=7) == first
        assert paired_bootstrap(one, other, resamples=200, seed=8) != first

    @pytest.mark.parametrize("at_a_time", [1, 97, 100 * 30])
    def test_it_does_not_depend_on_how_many_are_drawn_at_a_time(
        self, monkeypatch: pytest.MonkeyPatch, at_a_time: int
    ) -> None:
        one, other = drawn(30, seed=1), drawn(30, seed=2)
        expected = paired_bootstrap(one, other, resamples=100)
        monkeypatch.setattr(bootstrap, "_DRAWS_PER_BLOCK", at_a_time)
        assert paired_bootstrap(one, other, resamples=100) == expected

    @given(
        hnp.arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1)),
        st.integers(0, 2**32),
    )
    def test_a_system_and_itself(self, scores: Values, seed: int) -> None:
        interval = paired_bootstrap(scores, scores.copy(), resamples=20, seed=seed)
        assert interval == Interval(0, 0, 0, queries=len(scores))

    @given(
        hnp.arrays(np.float64, st.just((2, 25)), elements=st.floats(0, 1, width=16)),
        st.integers(0, 2**32),
    )
    def test_turned_round_it_is_the_mirror_image(self, both: Values, seed: int) -> None:
        there = paired_bootstrap(both[0], both[1], resamples=40, seed=seed)
        back = paired_bootstrap(both[1], both[0], resamples=40, seed=seed)
        assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-11)
        assert there.low <= there.high

    def test_rounding_of_sums_does_not_show(self) -> None:
        interval = paired_bootstrap(np.full(21, 0.1 + 0.2), np.full(21, 0.2))
        assert (interval.low, interval.high) == (0.1, 0.1)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (values(1, 2), values(1)),
            (values(), values()),
            (np.zeros((2, 2)), np.zeros((2, 2))),
        ],
    )
    def test_values_that_are_not_pairs(self, one: Values, other: Values) -> None:
        with pytest.raises(InputError, match="one value of each system per query, not shapes"):
            paired_bootstrap(one, other)

    @pytest.mark.parametrize("value", [nan, inf])
    def test_values_that_are_not_finite(self, value: float) -> None:
        with pytest.raises(InputError, match="measures of query 1 hold NaN or infinity"):
            paired_bootstrap(values(0, 0, 0), values(0, value, 0))

    def test_no_resamples(self) -> None:
        with pytest.raises(InputError, match="at least 1 resample, not 0"):
            paired_bootstrap(values(1), values(0), resamples=0)


class TestVerdict:
    @pytest.mark.parametrize(
        ("low", "high", "expected"),
        [
            (0, 0, "equivalent"),
            (-0.01, 0.01, "equivalent"),
            (0.005, 0.01, "equivalent"),
            (-0.01, -0.005, "equivalent"),
            (0.005, 0.011, "better"),
            (0.02, 0.03, "better"),
            (-0.011, -0.005, "worse"),
            (-0.03, -0.02, "worse"),
            (0, 0.011, UNKNOWN),
            (-0.011, 0, UNKNOWN),
            (-0.005, 0.02, UNKNOWN),
            (-0.5, 0.5, UNKNOWN),
        ],
    )
    def test_with_a_margin_of_a_hundredth(self, low: float, high: float, expected: str) -> None:
        interval = Interval((low + high) / 2, low, high, queries=20)
        assert verdict(interval, 0.01) == expected

    def test_fewer_than_twenty_queries_tell_nothing(self) -> None:
        for low, high in ((0.0, 0.0), (0.2, 0.3), (-0.3, -0.2)):
            interval = Interval((low + high) / 2, low, high, queries=19)
            assert verdict(interval, 0.01) == UNKNOWN

    def test_without_a_margin_only_no_difference_is_equivalent(self) -> None:
        assert verdict(Interval(0, 0, 0, queries=20), 0) == "equivalent"
        assert verdict(Interval(0.001, 0.001, 0.001, queries=20), 0) == "better"

    def test_a_system_and_itself(self) -> None:
        scores = drawn(20, seed=1)
        assert verdict(paired_bootstrap(scores, scores), 0) == "equivalent"

    def test_a_constant_difference_of_the_margin(self) -> None:
        scores = drawn(25, seed=1)
        assert verdict(paired_bootstrap(scores + 0.01, scores), 0.01) == "equivalent"
        assert verdict(paired_bootstrap(scores - 0.011, scores), 0.01) == "worse"

    @given(st.floats(-1, 1), st.floats(0, 1), st.integers(1, 40), st.floats(0, 1))
    def test_turned_round_better_is_worse(
        self, low: float, width: float, queries: int, margin: float
    ) -> None:
        high = low + width
        there = verdict(Interval((low + high) / 2, low, high, queries), margin)
        back = verdict(Interval(-(low + high) / 2, -high, -low, queries), margin)
        assert back == {"better": "worse", "worse": "better"}.get(there, there)

    @pytest.mark.parametrize("margin", [-0.01, nan])
    def test_an_invalid_margin(self, margin: float) -> None:
        with pytest.raises(InputError, match="margin should be at least 0"):
            verdict(Interval(0, 0, 0, queries=20), margin)


def test_equal_systems_seldom_get_a_verdict() -> None:
    """About 1 in 20 by chance, here of 200 pairs where most queries do not differ."""
    generator = np.random.default_rng(3)
    decided = 0
    for _ in range(200):
        changes = generator.choice([-1.0, 0.0, 1.0], size=100, p=[0.05, 0.9, 0.05])
        interval = paired_bootstrap(changes, np.zeros(100), resamples=500)
        decided += verdict(interval, 0) in ("better", "worse")
    assert 2 <= decided <= 20
