"""What an index finds while its new vectors are predicted, on questions made of its own texts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minnow.evaluate.bootstrap import Interval, paired_bootstrap
from minnow.indexfile.encodings import Floats, Ids
from minnow.indexfile.fusion import fuse_scores
from minnow.indexfile.keyword import MOST_SCORED, Keywords
from minnow.indexfile.matrix import best
from minnow.ndcg import DEPTH, ndcg
from minnow.vectors import Similarity, similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from minnow.indexfile.matrix import Ranking
    from minnow.indexfile.store import Store

    Doubles = NDArray[np.float64]

SHARES = (0.0, 0.25, 0.5, 0.75)
"""Of texts whose new vector is made, at which the loss is measured."""

_SENTENCE_ENDS = re.compile(r"(?<=[.!?。！？])\s*(?=\S)|\n+")
_FEWEST_LETTERS, _MOST_LETTERS = 20, 300


@dataclass(frozen=True)
class Loss:
    """How well a mode of search does while a share of the new vectors is made.

    Attributes:
        mode: `vector` or `hybrid`.
        share: The share, from 0 to 1.
        ndcg: The mean nDCG@10 with predictions for the rest.
        ndcg_after: The same with the new model's vectors alone.
        interval: The difference of these, with its 95 % confidence interval.
    """

    mode: str
    share: float
    ndcg: float
    ndcg_after: float
    interval: Interval


@dataclass(frozen=True)
class EmbeddedSample:
    """Texts of an index that both models embedded.

    Attributes:
        ids: The ids of the chunks, int64 of shape (texts,), ascending.
        texts: What the chunks say, without headings.
        new: The new model's vectors, float32 of shape (texts, width).
        predicted: Predictions for these vectors, by maps that were fitted without them.
    """

    ids: Ids
    texts: Sequence[str]
    new: Floats
    predicted: Floats


def choose_sentence(text: str) -> str | None:
    """Return the sentence in the middle of a text, as a question; None if none is fit for one."""
    sentences = [part.strip() for part in _SENTENCE_ENDS.split(text)]
    fit = [part for part in sentences if _FEWEST_LETTERS <= len(part) <= _MOST_LETTERS]
    return fit[len(fit) // 2] if fit else None


def measure_losses(
    store: Store,
    sample: EmbeddedSample,
    questions: Sequence[str],
    vectors: Floats,
    kind: Similarity,
    sources: Sequence[int] | None = None,
) -> list[Loss]:
    """Measure what a search among the texts of a sample loses.

    Args:
        store: The index, whose keywords are searched too.
        sample: The texts.
        questions: The questions.
        vectors: The new model's vectors of them, float32 of shape (questions, width).
        kind: How vectors are compared.
        sources: For each question the place of the text that answers it in the sample. Where this
            is not known, the ten texts that the new model alone ranks best are right.
    """
    with store.reading() as database:
        keywords = Keywords(database)
        worded = [keywords.search(query, MOST_SCORED, sample.ids) for query in questions]
    bm25 = np.zeros((len(questions), len(sample.ids)))
    for row, ranking in zip(bm25, worded, strict=True):
        row[np.searchsorted(sample.ids, ranking.ids)] = ranking.scores
    before = similarity(vectors, sample.predicted, kind).astype(np.float64)
    after = similarity(vectors, sample.new, kind).astype(np.float64)
    order = np.random.default_rng(0).permutation(len(sample.ids)) / len(sample.ids)
    losses = []
    for mode, rank in (("vector", _by_vectors), ("hybrid", _by_both)):
        finals = [
            rank(sample.ids, row, words, kind) for row, words in zip(after, bm25, strict=True)
        ]
        right = (
            [ranking.ids for ranking in finals]
            if sources is None
            else sample.ids[np.array(sources)][:, None]
        )
        gains_after = _ndcg(finals, right)
        for share in SHARES:
            mixed = np.where(order < share, after, before)
            found = [rank(sample.ids, r, w, kind) for r, w in zip(mixed, bm25, strict=True)]
            gains = _ndcg(found, right)
            interval = paired_bootstrap(gains, gains_after)
            means = float(gains.mean()), float(gains_after.mean())
            losses.append(Loss(mode, share, *means, interval))
    return losses


def _by_vectors(ids: Ids, nearness: Doubles, keywords: Doubles, kind: Similarity) -> Ranking:
    return best(ids, nearness, DEPTH)


def _by_both(ids: Ids, nearness: Doubles, keywords: Doubles, kind: Similarity) -> Ranking:
    return fuse_scores(ids, nearness, keywords, kind, DEPTH)


def _ndcg(rankings: Sequence[Ranking], right: Sequence[Ids]) -> Doubles:
    """Return the nDCG@10 of each ranking, where all right texts are equally right."""
    pairs = zip(rankings, right, strict=True)
    return np.array([ndcg(np.isin(found.ids, ids), np.ones(len(ids))) for found, ids in pairs])
