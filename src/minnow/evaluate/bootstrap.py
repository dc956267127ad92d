"""Paired bootstrap: confidence intervals of the difference of two systems, and verdicts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from minnow.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

Verdict = Literal["better", "worse", "equivalent", "too few queries to tell"]

_MIN_QUERIES = 20
_DRAWS_PER_BLOCK = 2**20
_DECIMALS = 12  # hides the rounding of sums, so that ends meet 0 and the margin


@dataclass(frozen=True)
class Interval:
    """A mean difference of two systems with its 95 % confidence interval.

    Attributes:
        difference: Mean of candidate minus baseline over the queries.
        low: Lower end of the interval.
        high: Upper end of the interval.
        queries: Number of queries.
    """

    difference: float
    low: float
    high: float
    queries: int


def paired_bootstrap(
    candidate: NDArray[np.float64],
    baseline: NDArray[np.float64],
    resamples: int = 10_000,
    seed: int = 0,
) -> Interval:
    """Estimate how candidate minus baseline would vary with other queries of the same kind.

    The same queries are drawn for both systems; the ends of the interval are percentiles. The
    refined BCa interval is not better here: where most queries do not differ, as with Recall@1, it
    found a difference between equally good systems in up to 10 % of simulated cases, not 5 %.

    Args:
        candidate: A measure of one system, of shape (queries,).
        baseline: The same measure of the other, with the same queries in the same order.
        resamples: How often to draw.
        seed: The same seed gives the same interval.

    Raises:
        InputError: The arrays do not have one axis and the same length of at least 1, or hold NaN;
            or `resamples` is below 1.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13; Sakai, SIGIR
    2006, for information retrieval.
    """
    ours, theirs = np.asarray(candidate, np.float64), np.asarray(baseline, np.float64)
    if ours.ndim != 1 or ours.shape != theirs.shape or not ours.size:
        raise InputError(
            "A paired comparison needs one value of each system per query, "
            f"not shapes {ours.shape} and {theirs.shape}."
        )
    differences = ours - theirs
    if not np.isfinite(differences).all():
        row = int(np.flatnonzero(~np.isfinite(differences))[0])
        raise InputError(f"The measures of query {row} hold NaN or infinity.")
    if resamples < 1:
        raise InputError(f"A bootstrap needs at least 1 resample, not {resamples}.")
    generator = np.random.default_rng(seed)
    count = differences.size
    step = max(1, _DRAWS_PER_BLOCK // count)
    blocks = []
    for start in range(0, resamples, step):
        drawn = generator.integers(count, size=(min(step, resamples - start), count))
        blocks.append(differences[drawn].mean(axis=1))
    means = np.concatenate(blocks)
    ends = (differences.mean(), *np.percentile(means, (2.5, 97.5)))
    difference, low, high = (round(float(end), _DECIMALS) for end in ends)
    return Interval(difference, low, high, count)


def verdict(interval: Interval, margin: float) -> Verdict:
    """Return what an interval says about the candidate.

    It is the first of these that holds:

    1. "too few queries to tell": there are fewer than 20, and the interval is not reliable.
    2. "equivalent": the whole interval lies within -margin to +margin, ends included. The
       difference may be real, but it does not matter.
    3. "better": the whole interval lies above 0.
    4. "worse": the whole interval lies below 0.
    5. "too few queries to tell": the interval contains 0 and reaches beyond the margin.

    Two systems with equal values for every query have the interval from 0 to 0, and so are
    "equivalent". After n equal queries, up to about 3/n of all others could still differ.

    Args:
        interval: As `paired_bootstrap` returns it.
        margin: The largest difference that does not matter, such as 0.01; at least 0.

    Raises:
        InputError: The margin is negative or NaN.
    """
    if not margin >= 0:
        raise InputError(f"The margin should be at least 0, not {margin}.")
    if interval.queries < _MIN_QUERIES:
        return "too few queries to tell"
    if -margin <= interval.low and interval.high <= margin:
        return "equivalent"
    if interval.low > 0:
        return "better"
    if interval.high < 0:
        return "worse"
    return "too few queries to tell"
