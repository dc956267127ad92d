"""Measurement of truncated vectors (Matryoshka dimensions) on one data set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.errors import InputError
from minnow.evaluate.bootstrap import Interval, Verdict, paired_bootstrap, verdict
from minnow.evaluate.comparison import MARGIN, RunOptions, embed, search_vectors
from minnow.evaluate.metrics import HEADLINE, Scores, score
from minnow.evaluate.ranking import search, to_rankings
from minnow.evaluate.results import DEPTH
from minnow.indexfile.truncated import truncate
from minnow.vectors import Similarity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.datasets import Dataset


@dataclass(frozen=True)
class Dimension:
    """Result of vectors that keep their first numbers only.

    Attributes:
        dim: How many numbers they keep.
        ndcg: The mean nDCG@10.
        interval: Its difference to that of whole vectors.
        verdict: Whether the difference matters.
    """

    dim: int
    ndcg: float
    interval: Interval
    verdict: Verdict


def measure_dimensions(
    system: str,
    dataset: Dataset,
    dims: Sequence[int],
    options: RunOptions = RunOptions(),
    *,
    margin: float = MARGIN,
) -> tuple[Dimension, ...]:
    """Measure the vectors of a system with their first numbers only, scaled to length 1 again.

    Args:
        system: As `compare` takes it; its vectors are embedded once, or taken from the cache.
        dataset: The data set to search.
        dims: How many numbers to keep.
        options: How to run the system.
        margin: The largest difference of a measure that does not matter.

    Raises:
        InputError: A number is out of range, or vectors are not compared by cosine.
        MinnowError: As `compare`.
    """
    embedded = embed(system, dataset, options)
    width = embedded.documents.shape[1]
    if embedded.similarity is not Similarity.COSINE:
        raise InputError(
            f"`dim=` needs a model with similarity cosine, not {embedded.similarity.value}."
        )
    if wrong := [dim for dim in dims if not 1 <= dim < width]:
        raise InputError(f"`dim=` should be 1 to {width - 1}, not {wrong[0]}.")
    queries, documents = search_vectors(embedded)

    def scores_with(dim: int) -> Scores:
        indices = search(dataset, truncate(queries, dim), truncate(documents, dim), k=DEPTH)
        return score(dataset, to_rankings(dataset, indices))

    whole, found = scores_with(width).weighted(HEADLINE), []
    for dim in sorted(set(dims), reverse=True):
        scores = scores_with(dim)
        interval = paired_bootstrap(scores.weighted(HEADLINE), whole)
        found.append(Dimension(dim, scores.means[HEADLINE], interval, verdict(interval, margin)))
    return tuple(found)
