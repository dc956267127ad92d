"""The ranking of memories for a question."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from minnow.indexfile.encodings import Doubles, Floats, Ids
from minnow.indexfile.fusion import DEPTH, hybrid_scores
from minnow.indexfile.keyword import MOST_SCORED
from minnow.indexfile.matrix import best, exact_scores, rounding
from minnow.indexfile.reranking import rank_texts
from minnow.memory.dates import Period
from minnow.memory.mentions import Mentions
from minnow.memory.scoring import contributions, recency
from minnow.vectors import Similarity, similarity

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from minnow.indexfile.reranking import TextRanker
    from minnow.memory.columns import Columns
    from minnow.memory.items import Recalled
    from minnow.memory.scoring import Weights
    from minnow.memory.view import View

    Form = tuple[str, Floats, NDArray[np.bool_]]

_BEFORE, _AFTER = (1.0, 0.5), (0.75, 0.25)
"""Weights of the two turns before a memory, and of the two after it, the nearest first."""


@dataclass(frozen=True)
class Question:
    """A question and what it says.

    Attributes:
        mentions: Its words to look for, and the speakers and tags that it names.
        vectors: The vectors of the question as it was asked and as the speaker would ask it, whom
            it names: float32 of shape (2, width).
        period: The time that it names.
    """

    mentions: Mentions
    vectors: Floats
    period: Period | None

    def forms(self, said: NDArray[np.bool_]) -> Iterator[Form]:
        """Yield the words and the vector of each form, and which memories to compare with it.

        Memories that have a speaker are compared with the question as that speaker would ask it,
        others with the question as it was asked.

        Args:
            said: Whether each memory has a speaker.
        """
        words = self.mentions.asked, self.mentions.words
        if words[0] == words[1]:  # it names nobody, and both forms are the same
            said = np.ones_like(said)
        for form in zip(words, self.vectors, (~said, said), strict=True):
            if form[2].any():
                yield form


@dataclass(frozen=True)
class Ranked:
    """The best memories, in order.

    Attributes:
        ids: int64 of shape (found,).
        similarities: What their vectors have to the question's, float64 of the same shape.
        parts: What each part adds to their scores, each of the same shape.
    """

    ids: Ids
    similarities: Doubles
    parts: dict[str, Doubles]

    def figures(self) -> Iterator[tuple[float, dict[str, float], float]]:
        """Yield the score of each memory, its parts and its similarity."""
        for place, similar in enumerate(self.similarities.tolist()):
            parts = {name: float(part[place]) for name, part in self.parts.items()}
            yield sum(parts.values()), parts, similar


def rank(
    view: View, question: Question, count: int, allowed: Ids | None, now: int, weights: Weights
) -> Ranked:
    """Return the memories with the greatest scores; of equal ones the older first.

    Products in float32 find those that may be among the best, and those are compared exactly.

    Args:
        view: The memories, refreshed, within a transaction.
        question: The question.
        count: How many to find.
        allowed: Ids that may be found, ascending; all by default.
        now: The time, in milliseconds since 1970.
        weights: How the parts of the score are weighted.
    """
    columns = view.refresh()
    chosen = np.arange(len(columns.rows))
    if allowed is not None:
        chosen = np.searchsorted(columns.ids, allowed)
    if not len(chosen):
        return Ranked(np.empty(0, np.int64), np.empty(0), {})
    forms = list(question.forms(columns.said()))
    near, words = _compare(view, forms, columns.ids, allowed)
    fixed = _fixed_parts(columns, question, now, weights)
    margin = 2 * max(rounding(form[1], view.matrix.longest, view.kind) for form in forms)

    def parts() -> dict[str, Doubles]:
        values = _relevance(columns, near, words, view.kind, weights) | fixed
        return contributions({name: part[chosen] for name, part in values.items()}, weights)

    if weights.relative:  # scaling would enlarge rounding where memories are alike
        places = np.arange(len(near))
    else:
        scores = sum(parts().values(), start=np.zeros(len(chosen)))
        wide = (
            margin * weights.relevance * (1 + 2.5 * weights.context) * _steepness(near, view.kind)
        )
        places = np.flatnonzero(scores >= _at_rank(scores, count) - wide)
        places = np.concatenate([chosen[places], np.flatnonzero(near >= near.max() - margin)])
        for _ in _BEFORE:  # as far as context goes
            around = np.concatenate([places, *(turns[places] for turns in columns.around())])
            places = np.unique(around[around >= 0])
    for _, vector, compared in forms:
        some = places[compared[places]]
        near[some] = exact_scores(vector, view.matrix.columns, view.kind, some)
    exact = parts()
    scores = sum(exact.values(), start=np.zeros(len(chosen)))
    ids = best(columns.ids[chosen], scores, count).ids
    order = np.searchsorted(columns.ids[chosen], ids)
    return Ranked(ids, near[chosen[order]], {name: part[order] for name, part in exact.items()})


def rerank(
    reranker: TextRanker | None, query: str, found: list[Recalled], count: int
) -> list[Recalled]:
    """Return the best memories in a reranker's order, if there is one; see `rank_texts`.

    It reads each text behind the name of its speaker.
    """
    if reranker is None:
        return found
    said = (one.item for one in found)
    texts = [f"{item.speaker}: {item.text}" if item.speaker else item.text for item in said]
    order = rank_texts(reranker, query, texts)[:count]
    return [replace(found[place], rerank_score=score) for place, score in order]


def _fixed_parts(
    columns: Columns, question: Question, now: int, weights: Weights
) -> dict[str, Doubles]:
    """Return the parts of the score that depend on neither vectors nor words."""
    rows = columns.rows
    parts: dict[str, Doubles] = {"speaker": columns.named(question.mentions).astype(np.float64)}
    if question.period is not None:
        parts["time"] = question.period.nearness(rows["created"])
    parts["recency"] = recency(rows["used"], now, weights.half_life)
    parts["importance"] = rows["importance"].astype(np.float64)
    return parts


def _relevance(
    columns: Columns, near: Doubles, words: Doubles, kind: Similarity, weights: Weights
) -> dict[str, Doubles]:
    """Return the relevance of memories as hybrid search has it, and that of the turns around."""
    if kind is not Similarity.COSINE:  # search scales by the least of those that it considers
        near = np.maximum(near, _at_rank(near, DEPTH))
    relevance = hybrid_scores(near, words, kind)
    if not weights.context:
        return {"relevance": relevance}
    excess = np.append(np.maximum(0, relevance - np.median(relevance)), 0.0)
    context = np.zeros(len(relevance))
    for turns, (near_weight, far_weight) in zip(columns.around(), (_BEFORE, _AFTER), strict=True):
        beyond = np.append(turns, -1)[turns]  # -1 leads to the zero at the end
        context += near_weight * excess[turns] + far_weight * excess[beyond]
    return {"relevance": relevance, "context": context}


def _compare(
    view: View, forms: Sequence[Form], ids: Ids, allowed: Ids | None
) -> tuple[Doubles, Doubles]:
    """Return the similarity of memories to their forms of the question, in float32, and BM25."""
    near, words = np.zeros(len(ids)), np.zeros(len(ids))
    for asked, vector, compared in forms:
        found = view.words.search(asked, MOST_SCORED, allowed)
        places = np.searchsorted(ids, found.ids)
        words[places] = np.where(compared[places], found.scores, words[places])
        near = np.where(compared, _approximate(vector, view), near)
    return near, words


def _approximate(query: Floats, view: View) -> Doubles:
    """Compare a query with all vectors, in float32."""
    columns = view.matrix.columns
    if view.kind in (Similarity.COSINE, Similarity.DOT):
        return np.asarray(query @ columns, np.float64)
    return np.asarray(similarity(query[None], columns.T, view.kind)[0], np.float64)


def _at_rank(scores: Doubles, count: int) -> float:
    """Return the score that `count` memories reach."""
    place = max(0, len(scores) - count)
    return float(np.partition(scores, place)[place])


def _steepness(near: Doubles, kind: Similarity) -> float:
    """Return how much the relevance changes with the similarity, at most."""
    least = -1.0 if kind is Similarity.COSINE else _at_rank(near, DEPTH)
    return 1 / max(float(near.max()) - least, 1e-12)
