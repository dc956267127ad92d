"""Numbers as people read them."""

from __future__ import annotations

from functools import partial
from math import inf, nan
from typing import TYPE_CHECKING

import pytest

from minnow.reporting import numbers

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        (numbers.measure, 0.62184, "0.6218"),
        (numbers.measure, nan, "not measured"),
        (numbers.signed, 0.01234, "+0.0123"),
        (numbers.signed, -0.00004, "0.0000"),
        (numbers.signed, -0.5, "−0.5000"),
        (numbers.signed, nan, "not measured"),
        (numbers.cosine, 0.123456, "0.12346"),
        (numbers.cosine, 0.99987, "0.99987"),
        (numbers.cosine, 0.99998, "0.9999800"),
        (numbers.cosine, 0.9999999, "0.9999999"),
        (numbers.cosine, 1.0000001, "1"),
        (numbers.cosine, -0.25, "−0.25000"),
        (numbers.cosine, nan, "not measured"),
        (numbers.megabytes, 34_120_000, "34.1 MB"),
        (numbers.megabytes, 1_334_120_000, "1,334 MB"),
        (numbers.megabytes, 900, "below 0.01 MB"),
        (numbers.megabytes, 0, "not measured"),
        (numbers.seconds, 0.4213, "0.42 s"),
        (numbers.seconds, inf, "not measured"),
        (numbers.rate, 1234.5, "1,234"),
        (numbers.rate, nan, "not measured"),
        (numbers.count, 12345, "12,345"),
        (partial(numbers.rank, depth=100), 3, "3"),
        (partial(numbers.rank, depth=100), None, "beyond 100"),
    ],
)
def test_numbers(form: Callable[[float | None], str], value: float | None, expected: str) -> None:
    assert form(value) == expected


@pytest.mark.parametrize(
    ("value", "baseline", "expected"),
    [
        (34.1, 133.2, "×0.256"),
        (1234, 1, "×1,234.000"),
        (1, 10_000, "below ×0.001"),
        (0, 2, "×0.000"),
        (1, 0, ""),
        (nan, 1, ""),
        (1, inf, ""),
    ],
)
def test_ratios(value: float, baseline: float, expected: str) -> None:
    assert numbers.ratio(value, baseline) == expected


def test_what_is_left_out_of_words_is_in_the_middle() -> None:
    assert numbers.shorten("a-model-int8", 12) == "a-model-int8"
    assert numbers.shorten("a-very-long-model-int8", 12) == "a-very…-int8"
