"""Numbers as people read them."""

from __future__ import annotations

from math import inf, nan
from typing import TYPE_CHECKING

import pytest

from minnow.evaluate import formats

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("form", "value", "expected"),
    [
        (formats.measure, 0.62184, "0.6218"),
        (formats.measure, nan, "not measured"),
        (formats.signed, 0.01234, "+0.0123"),
        (formats.signed, -0.00004, "0.0000"),
        (formats.signed, -0.5, "−0.5000"),
        (formats.signed, nan, "not measured"),
        (formats.cosine, 0.123456, "0.12346"),
        (formats.cosine, 0.99987, "0.99987"),
        (formats.cosine, 0.99998, "0.9999800"),
        (formats.cosine, 0.9999999, "0.9999999"),
        (formats.cosine, 1.0000001, "1"),
        (formats.cosine, -0.25, "−0.25000"),
        (formats.cosine, nan, "not measured"),
        (formats.megabytes, 34_120_000, "34.1 MB"),
        (formats.megabytes, 1_334_120_000, "1,334 MB"),
        (formats.megabytes, 900, "below 0.01 MB"),
        (formats.megabytes, 0, "not measured"),
        (formats.seconds, 0.4213, "0.42 s"),
        (formats.seconds, inf, "not measured"),
        (formats.rate, 1234.5, "1,234"),
        (formats.rate, nan, "not measured"),
        (formats.count, 12345, "12,345"),
        (formats.place, 3, "3"),
        (formats.place, None, "beyond 100"),
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
    assert formats.ratio(value, baseline) == expected


def test_what_is_left_out_of_words_is_in_the_middle() -> None:
    assert formats.shorten("a-model-int8", 12) == "a-model-int8"
    assert formats.shorten("a-very-long-model-int8", 12) == "a-very…-int8"
