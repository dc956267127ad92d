"""Order of found texts by a reranker, which reads each of them together with the question."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

import numpy as np

from minnow.characters import replace_halves
from minnow.errors import EngineError, InputError
from minnow.indexfile.keyword import MOST_SCORED
from minnow.options import CANDIDATES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.reranker import RankedDocument


class TextRanker(Protocol):
    """A reranker: `minnow.Reranker`, or what else has sentence-transformers' `rank`."""

    def rank(self, query: str, documents: list[str]) -> Sequence[RankedDocument]:
        """Score documents against a query: a row for each, the best first.

        Raises:
            InputError: It cannot rank, or a document is over its limit and it refuses those.
            EngineError: The runtime failed.
        """
        ...


def count_candidates(reranker: TextRanker | None, candidates: int | None, k: int) -> int:
    """Return how many texts to find, so that a reranker can choose k of them.

    Args:
        reranker: None where there is none: k texts are enough.
        candidates: The caller's choice; None gives CANDIDATES, or k if that is more.
        k: Texts that the caller wants.

    Raises:
        InputError: `reranker` is no open reranker, or `candidates` is out of range, or was given
            without a reranker.
    """
    if reranker is None:
        if candidates is not None:
            raise InputError("`candidates=` is how many hits a reranker reads: give `reranker=`.")
        return k
    if not callable(getattr(reranker, "rank", None)):
        raise InputError(
            f"`reranker=` is {type(reranker).__name__}, which has no rank(). Open the bundle of a "
            "reranker with Reranker.open()."
        )
    return check_candidates(candidates, k)


def check_candidates(candidates: int | None, k: int) -> int:
    """Return how many texts a reranker reads to choose k of them; see `count_candidates`.

    Raises:
        InputError: `candidates` is out of range.
    """
    if candidates is None:
        return max(CANDIDATES, k)
    whole = isinstance(candidates, (int, np.integer)) and not isinstance(candidates, bool)
    if not whole or not k <= candidates <= MOST_SCORED:
        raise InputError(
            f"`candidates=` should be from {k}, the number of hits, to {MOST_SCORED}, not "
            f"{candidates!r:.60}."
        )
    return int(candidates)


def rank_texts(reranker: TextRanker, query: str, texts: Sequence[str]) -> list[tuple[int, float]]:
    """Return the places of texts, the best first, each with its score.

    Raises:
        InputError, EngineError: As the reranker's; or it did not give each text a finite score.
    """
    if not texts:
        return []
    rows = reranker.rank(replace_halves(query), list(texts))
    order = [(int(row["corpus_id"]), float(row["score"])) for row in rows]
    places = sorted(place for place, _ in order)
    if places != list(range(len(texts))) or not all(math.isfinite(score) for _, score in order):
        raise EngineError(
            f"The reranker {type(reranker).__name__} did not give each of {len(texts)} texts one "
            "finite score."
        )
    return order
