"""A batch starts with the next client in turn, keeps to the limits, and has little padding."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from minnow.engines.base import TOKENS_PER_BATCH, batches_by_length
from minnow.serve.picking import OVERHEAD, pick

lengths = st.lists(st.integers(1, 600), min_size=1, max_size=80)


@given(lengths, st.integers(1, 40))
def test_the_first_is_in_it_and_limits_are_kept(lengths: list[int], batch_size: int) -> None:
    chosen = pick(lengths, batch_size).tolist()
    assert 0 in chosen
    assert len(set(chosen)) == len(chosen) <= batch_size
    found = [lengths[i] for i in chosen]
    assert found == sorted(found, reverse=True)
    assert len(chosen) == 1 or found[0] * len(found) <= TOKENS_PER_BATCH


@given(lengths, st.integers(1, 40))
def test_it_is_the_best_of_all_runs_of_neighbours(lengths: list[int], batch_size: int) -> None:
    """Compared with trying each."""

    def worth(rows: list[int]) -> float:
        return sum(rows) / (max(rows) * len(rows) + OVERHEAD)

    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    place = order.index(0)
    runs = [
        [lengths[i] for i in order[start:end]]
        for start in range(place + 1)
        for end in range(place + 1, min(len(order), start + batch_size) + 1)
        if end - start == 1 or lengths[order[start]] * (end - start) <= TOKENS_PER_BATCH
    ]
    best = max(map(worth, runs))
    assert abs(worth([lengths[i] for i in pick(lengths, batch_size)]) - best) < 1e-12


def test_a_short_text_does_not_wait_for_long_ones() -> None:
    assert pick([4, 250, 250, 5, 6], 32).tolist() == [4, 3, 0]


def test_equal_texts_fill_a_batch() -> None:
    assert len(pick([32] * 100, 32)) == 32
    assert len(pick([256] * 100, 32)) == TOKENS_PER_BATCH // 256


def test_all_that_waits_costs_little_more_than_sorted_batches() -> None:
    """Emptying a queue by turns, against `encode`'s batches of everything."""
    waiting = [8 + (37 * i) % 240 for i in range(256)]
    sorted_cost = sum(
        max(waiting[i] for i in batch) * len(batch) for batch in batches_by_length(waiting, 32)
    )
    cost, left = 0, list(waiting)
    while left:
        chosen = pick(left, 32).tolist()
        cost += max(left[i] for i in chosen) * len(chosen)
        left = [length for i, length in enumerate(left) if i not in chosen]
    assert cost < 1.1 * sorted_cost
