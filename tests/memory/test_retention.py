"""Memories that are kept, and memories that are forgotten."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from minnow.errors import InputError
from minnow.memory import Retention
from minnow.memory.columns import COLUMNS
from minnow.memory.retention import outdated

HOUR = 3_600_000
DAY = timedelta(days=1)


def going(retention: Retention, hours: list[float], importance: list[float]) -> list[int]:
    rows = np.zeros(len(hours), COLUMNS)
    rows["id"], rows["importance"] = np.arange(1, len(hours) + 1), importance
    rows["used"] = (-np.array(hours) * HOUR).astype(np.int64)
    return [int(id_) for id_ in outdated(rows, 0, retention)]


def test_memories_unused_for_long_are_forgotten() -> None:
    assert going(Retention(unused_for=DAY), [0, 24, 25, 90], [1, 1, 1, 0]) == [3, 4]
    assert going(Retention(unused_for=DAY, spare=0.9), [0, 24, 25, 90], [1, 1, 1, 0]) == [4]


def test_the_best_are_kept() -> None:
    """Recency and importance make the order; of equal ones the older goes."""
    assert going(Retention(keep=2), [0, 100, 50, 10], [0.1, 0.9, 0.1, 0.5]) == [1, 3]
    assert going(Retention(keep=1), [5, 5, 5], [0.5, 0.5, 0.5]) == [1, 2]
    month = 24 * 30
    assert going(Retention(keep=1), [month, 2 * month], [0.1, 0.4]) == [1]
    slow = timedelta(days=3000)
    assert going(Retention(keep=1, half_life=slow), [0, 2 * month], [0.2, 0.1]) == [2]
    assert going(Retention(keep=9), [5, 5], [0.5, 0.5]) == []
    assert going(Retention(keep=0), [5, 5], [0.5, 0.5]) == [1, 2]


def test_spared_ones_count_but_are_never_forgotten() -> None:
    assert going(Retention(keep=2, spare=0.8), [99, 0, 98, 1], [0.9, 0.1, 0.8, 0.1]) == [2, 4]


def test_both_rules() -> None:
    assert going(Retention(unused_for=DAY, keep=1), [30, 2, 1], [1, 0.1, 0.1]) == [1, 2]


def test_there_may_be_none() -> None:
    assert going(Retention(unused_for=DAY, keep=1), [], []) == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [({}, "unused_for"), ({"keep": -1}, "keep"), ({"unused_for": -DAY}, "unused_for"),
     ({"keep": 1, "spare": 2}, "spare"), ({"keep": 1, "half_life": -DAY}, "half_life"),
     ({"keep": 1, "spare": float("nan")}, "spare")],
)  # fmt: skip
def test_wrong_rules_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Retention(**wrong)  # type: ignore[arg-type]
