"""Measures of how good rankings are, computed by ir-measures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minnow.datasets.dataset import part_of
from minnow.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import ModuleType

    from minnow.datasets import Dataset

_IR_MEASURES = {  # our names; those of ir-measures, and cutoffs
    "Recall@1": ("R", 1),
    "Recall@3": ("R", 3),
    "Recall@5": ("R", 5),
    "Recall@10": ("R", 10),
    "MRR@10": ("RR", 10),
    "nDCG@10": ("nDCG", 10),
}
MEASURES = tuple(_IR_MEASURES)
HEADLINE = "nDCG@10"
"""The measure whose verdict stands for the whole."""

_MAX_GAIN = 1_000_000


@dataclass(frozen=True)
class Scores:
    """Quality of a system's rankings, for each query.

    Attributes:
        queries: Ids, in the data set's order.
        table: For each name in MEASURES, float64 of shape (queries,), from 0 to 1.
        weights: float64 of shape (queries,), 1 in the mean, where the queries of one part of a data
            set count more than those of another; by default all count alike.
    """

    queries: tuple[str, ...]
    table: Mapping[str, NDArray[np.float64]]
    weights: NDArray[np.float64] | None = None

    @property
    def means(self) -> dict[str, float]:
        """The mean of each measure over all queries, by their weights."""
        return {name: float(self.weighted(name).mean()) for name in self.table}

    def weighted(self, measure: str) -> NDArray[np.float64]:
        """Return the values of a measure times the weights: float64 of shape (queries,)."""
        values = self.table[measure]
        return values if self.weights is None else values * self.weights


def import_measures() -> ModuleType:
    """Import the library that computes measures; call it before long work that needs them.

    Raises:
        MissingExtraError: The extra `evaluate` is not installed.
    """
    try:
        import ir_measures
    except ImportError as error:
        raise MissingExtraError("Evaluation", "evaluate") from error
    module: ModuleType = ir_measures
    return module


def score(dataset: Dataset, rankings: Mapping[str, Sequence[str]]) -> Scores:
    """Measure rankings with ir-measures, the common interface to trec_eval.

    A score above 0 in the qrels is relevant. Recall@k is the share of a query's relevant documents
    among the first k. MRR@10 is 1 divided by the rank of the first relevant one (0 beyond 10).
    nDCG@10 takes the scores as gains, with a logarithmic discount, as BEIR does. Relevant documents
    that the data set lacks count in recall and in the ideal ranking; a query without a relevant
    document has 0 in every measure.

    Args:
        dataset: What was searched.
        rankings: For each query id, document ids, best first; only the order counts.

    Raises:
        InputError: A ranking is missing, is for an unknown query, repeats a document or names an
            unknown one; or a judgement is above a million.
        MissingExtraError: The extra `evaluate` is not installed.

    Source: https://ir-measur.es/en/latest/measures.html
    """
    ir_measures = import_measures()
    _check_rankings(dataset, rankings)
    measures = {  # parse_measure() fails on Python 3.14
        getattr(ir_measures, kind) @ cutoff: name for name, (kind, cutoff) in _IR_MEASURES.items()
    }
    # trec_eval crashes on ids that are not valid Unicode, and orders equal scores by id, so it
    # gets numbers as ids and negated ranks as scores.
    queries = {query: str(number) for number, query in enumerate(dataset.queries)}
    judged = _gains(dataset)
    missing = (document for gains in judged.values() for document in gains)
    names = dict.fromkeys((*dataset.documents, *missing))
    documents = {document: str(number) for number, document in enumerate(names)}
    relevant = {
        queries[query]: {documents[document]: gain for document, gain in gains.items()}
        for query, gains in judged.items()
        if gains
    }
    run = {
        queries[query]: {documents[document]: -float(n) for n, document in enumerate(ranking)}
        for query, ranking in rankings.items()
    }
    table = {name: np.zeros(len(queries)) for name in MEASURES}
    for metric in ir_measures.iter_calc(list(measures), relevant, run):
        table[measures[metric.measure]][int(metric.query_id)] = metric.value
    return Scores(queries=tuple(dataset.queries), table=table, weights=_weights(dataset))


def _weights(dataset: Dataset) -> NDArray[np.float64] | None:
    """Return weights by which a mean over queries is the mean over parts of their means."""
    if not dataset.parts:
        return None
    parts = [part_of(query) for query in dataset.queries]
    counts = Counter(parts)
    return np.array([len(parts) / (len(counts) * counts[part]) for part in parts])


def _gains(dataset: Dataset) -> dict[str, dict[str, int]]:
    """Return the scores above 0, which alone count; trec_eval's memory grows with the largest."""
    gains: dict[str, dict[str, int]] = {}
    for query, judged in dataset.qrels.items():
        gains[query] = {document: gain for document, gain in judged.items() if gain > 0}
        for document, gain in gains[query].items():
            if gain > _MAX_GAIN:
                raise InputError(
                    f"{dataset.name} judges {document!r} for {query!r} with {gain}; "
                    f"the largest score that can be used is {_MAX_GAIN}."
                )
    return gains


def _check_rankings(dataset: Dataset, rankings: Mapping[str, Sequence[str]]) -> None:
    for query in dataset.queries:
        if query not in rankings:
            raise InputError(f"There is no ranking for the query {query!r} of {dataset.name}.")
    for query, ranking in rankings.items():
        if query not in dataset.queries:
            raise InputError(f"A ranking is for {query!r}, which is not a query of {dataset.name}.")
        if len(set(ranking)) < len(ranking):
            raise InputError(f"The ranking for {query!r} repeats a document.")
        for document in ranking:
            if document not in dataset.documents:
                raise InputError(
                    f"The ranking for {query!r} names {document!r}, "
                    f"which is not a document of {dataset.name}."
                )
