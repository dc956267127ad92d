"""Forms of a model that no other form dominates."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from math import nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.frontier.points import Point, dominates, frontier_of


def point(name: str, size: int, mean: float, p5: float = 0.9, minimum: float = 0.8) -> Point:
    return Point(name, "bundle", size, mean, p5, minimum)


SMALL, MIDDLE, LARGE = point("s", 10, 0.9), point("m", 20, 0.99), point("l", 30, 0.999)
WORSE = point("worse", 25, 0.98)

points = st.lists(
    st.builds(
        Point,
        st.text(min_size=1),
        st.just("bundle"),
        st.integers(1, 5),
        st.sampled_from([nan, -0.5, 0.9, 0.99, 1.0]),
        st.just(0.9),
        st.just(0.8),
    ),
    max_size=8,
)


class TestFrontier:
    def test_what_another_outdoes_is_not_on_it(self) -> None:
        for order in permutations([SMALL, MIDDLE, LARGE, WORSE]):
            assert frontier_of(order) == [SMALL, MIDDLE, LARGE]

    def test_of_equal_sizes_the_more_faithful(self) -> None:
        assert frontier_of([MIDDLE, replace(WORSE, size=20)]) == [MIDDLE]

    def test_of_equal_fidelity_the_smaller(self) -> None:
        assert frontier_of([replace(LARGE, mean=0.99), MIDDLE]) == [MIDDLE]

    def test_equals_stay_together(self) -> None:
        twin = replace(MIDDLE, name="twin")
        assert frontier_of([twin, MIDDLE]) == [MIDDLE, twin]

    def test_values_shown_as_1_are_equal(self) -> None:
        exact, noisy = replace(LARGE, mean=1.0), replace(MIDDLE, mean=1 - 1e-8)
        assert frontier_of([exact, noisy]) == [noisy]

    def test_nan_is_never_on_it_and_outdoes_nothing(self) -> None:
        broken = replace(SMALL, size=1, mean=nan)
        assert frontier_of([broken]) == []
        assert frontier_of([broken, SMALL]) == [SMALL]

    def test_nothing(self) -> None:
        assert frontier_of([]) == []

    @given(points)
    def test_each_is_on_it_or_outdone_by_one_that_is(self, found: list[Point]) -> None:
        best = frontier_of(found)
        assert [one.size for one in best] == sorted(one.size for one in best)
        for one in found:
            held = any(b.size <= one.size and b.mean >= one.mean for b in best)
            assert held == (one.mean == one.mean)


class TestDominates:
    BETTER = Point("a", "bundle", 20, 0.99, 0.98, 0.97)
    OTHER = Point("b", "gguf", 20, 0.98, 0.97, 0.96)

    def test_no_larger_and_nearer_in_all(self) -> None:
        assert dominates(self.BETTER, self.OTHER)
        assert dominates(replace(self.BETTER, size=19), self.OTHER)
        assert not dominates(replace(self.BETTER, size=21), self.OTHER)
        assert not dominates(self.OTHER, self.BETTER)

    @pytest.mark.parametrize("name", ["mean", "p5", "minimum"])
    def test_equal_or_less_in_one_is_not_enough(self, name: str) -> None:
        changed: dict[str, Any]
        for value in (getattr(self.OTHER, name), 0.5, nan):
            changed = {name: value}
            assert not dominates(replace(self.BETTER, **changed), self.OTHER)
        changed = {name: nan}
        assert not dominates(self.BETTER, replace(self.OTHER, **changed))

    def test_noise_is_not_nearer(self) -> None:
        other = replace(self.OTHER, mean=1 - 2e-8, p5=1 - 2e-8, minimum=1 - 2e-8)
        assert not dominates(replace(self.BETTER, mean=1, p5=1, minimum=1), other)
