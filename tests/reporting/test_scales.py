"""Scales and ticks of plots: positions of values, and labels."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.reporting.plots.scales import (
    Scale,
    from_nines,
    log_ticks,
    nines,
    nines_ticks,
    round_ticks,
    spread,
    unit_ticks,
)

cosines = st.floats(-1, 1) | st.sampled_from([1.0, 0.0, -1.0, 0.99999999])
parts = st.floats(0, 1)
sizes = st.floats(1, 1e12)


class TestScales:
    @given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.floats(-1e9, 1e9))
    def test_values_beyond_the_ends_go_to_an_end(
        self, low: float, span: float, value: float
    ) -> None:
        scale = Scale(low, low + span, 300, 20)
        assert 20 <= scale(value) <= 300
        assert (scale(low), scale(low + span)) == (300, 20)

    def test_it_is_straight(self) -> None:
        scale = Scale(0, 10, 100, 200)
        assert [scale(value) for value in (0, 2.5, 10)] == [100, 125, 200]


class TestTicks:
    @given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(3, 9))
    def test_round_numbers_about_the_values(self, one: float, other: float, most: int) -> None:
        low, high = sorted((one, other))
        ticks = round_ticks(low, high, most)
        values = [tick.value for tick in ticks]
        steps = np.diff(values)
        slack = 1e-6 * steps[0]
        assert 2 <= len(ticks) <= most
        assert values[0] <= low + slack
        assert values[-1] >= high - slack
        assert steps == pytest.approx(steps[0])
        assert len({tick.label for tick in ticks}) == len(ticks)

    @pytest.mark.parametrize(
        ("low", "high", "expected"),
        [
            (0, 1, ["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (0.621, 0.683, ["0.62", "0.64", "0.66", "0.68", "0.70"]),
            (-0.016, 0.01, ["−0.020", "−0.015", "−0.010", "−0.005", "0.000", "+0.005", "+0.010"]),
            (1234, 4000, ["1,000", "1,500", "2,000", "2,500", "3,000", "3,500", "4,000"]),
        ],
    )
    def test_labels(self, low: float, high: float, expected: list[str]) -> None:
        signs = any("+" in label for label in expected)
        assert [tick.label for tick in round_ticks(low, high, 7, sign=signs)] == expected

    @given(parts, parts, st.sampled_from([0.02, 0.1]))
    def test_parts(self, one: float, other: float, least: float) -> None:
        low, high = sorted((one, other))
        values = [tick.value for tick in unit_ticks(low, high, least)]
        assert 0 <= values[0] <= low + 1e-6
        assert high - 1e-6 <= values[-1] <= 1
        assert values[-1] - values[0] >= least / 2

    @given(sizes, sizes)
    def test_sizes(self, one: float, other: float) -> None:
        low, high = sorted((one / 1e6, other / 1e6))
        values = [tick.value for tick in log_ticks(low, high)]
        assert len(values) >= 2
        assert values == sorted(values)
        assert values[0] < math.log10(low)
        assert values[-1] > math.log10(high)

    def test_sizes_are_written_out(self) -> None:
        assert [tick.label for tick in log_ticks(23, 133)] == ["20", "50", "100", "200"]
        assert [tick.label for tick in log_ticks(0.5, 900)] == ["0.1", "1", "10", "100", "1,000"]


class TestNines:
    def test_how_many(self) -> None:
        assert nines(0.9) == pytest.approx(1)
        assert nines(0.99999) == pytest.approx(5)
        assert nines(1) == nines(1.0000001) == nines(1 - 1e-9) == 7
        assert nines(-1) == pytest.approx(-math.log10(2))

    @given(st.floats(-1, 0.999999))
    def test_there_and_back(self, cosine: float) -> None:
        assert from_nines(nines(cosine)) == pytest.approx(cosine, abs=1e-9)

    @given(st.lists(cosines.map(nines), min_size=1))
    def test_ticks_are_about_the_values(self, values: list[float]) -> None:
        ticks = nines_ticks(values)
        assert len({tick.label for tick in ticks}) == len(ticks) >= 2
        assert ticks[0].value <= min(values)
        assert ticks[-1].value >= max(values)

    def test_ticks_are_labelled_with_the_cosine(self) -> None:
        ticks = nines_ticks([nines(-0.5), nines(1.0)])
        expected = ["−1", "0", "0.9", "0.99", "0.999", "0.9999", "0.99999", "0.999999", "1"]
        assert [tick.label for tick in ticks] == expected


class TestSpread:
    @given(st.lists(st.floats(-50, 250), min_size=1, max_size=15), st.floats(1, 30))
    def test_a_gap_between_any_two(self, wanted: list[float], gap: float) -> None:
        moved = spread(wanted, gap, 0, 200)
        fitting = min(gap, 200 / max(1, len(wanted) - 1))
        assert all(-1e-6 <= place <= 200 + 1e-6 for place in moved)
        assert all(step >= fitting - 1e-6 for step in np.diff(sorted(moved)))
        assert [moved[i] for i in np.argsort(wanted, kind="stable")] == sorted(moved)

    def test_no_further_than_needed(self) -> None:
        assert spread([10, 50, 90], 20, 0, 200) == [10, 50, 90]
        assert spread([100, 100], 20, 0, 200) == [90, 110]
        assert spread([0, 0, 150], 20, 0, 200) == [0, 20, 150]
