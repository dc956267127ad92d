"""Options of a search, and their checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

import numpy as np

from minnow.errors import InputError
from minnow.indexfile.filters import Parameters
from minnow.indexfile.keyword import MOST_SCORED
from minnow.indexfile.reranking import TextRanker, count_candidates
from minnow.options import Fusion, SearchMode
from minnow.search.scope import Moment


class SearchOptions(TypedDict, total=False):
    """The keyword arguments of `Index.search`, which describes them."""

    mode: SearchMode | None
    where: str | None
    params: Parameters
    paths: Sequence[str]
    since: Moment | None
    until: Moment | None
    fusion: Fusion | Literal["scores", "rrf"]
    reranker: TextRanker | None
    candidates: int | None
    fold: bool
    context: int


MOST_HITS = MOST_SCORED
MOST_CONTEXT = 100


@dataclass(frozen=True)
class Search:
    """The options of a search with their defaults; `SearchOptions` are its keyword arguments."""

    mode: SearchMode | None = None
    where: str | None = None
    params: Parameters = ()
    paths: Sequence[str] = ()
    since: Moment | None = None
    until: Moment | None = None
    fusion: Fusion | Literal["scores", "rrf"] = Fusion.SCORES
    reranker: TextRanker | None = None
    candidates: int | None = None
    fold: bool = False
    context: int = 0

    def check(self, k: int) -> None:
        """Check the options of a search for k hits, all but the condition.

        Raises:
            InputError: One is out of range.
        """
        check_count(k)
        if self.mode is not None and self.mode not in get_args(SearchMode):
            names = ", ".join(get_args(SearchMode))
            raise InputError(f"mode should be {names}, not {self.mode!r}.")
        if self.fusion not in list(Fusion):
            raise InputError(f"fusion should be {', '.join(Fusion)}, not {self.fusion!r}.")
        if isinstance(self.paths, str):
            raise InputError("paths is one string; give a list of patterns, such as ['docs/*.md'].")
        if not isinstance(self.context, (int, np.integer)) or not 0 <= self.context <= MOST_CONTEXT:
            raise InputError(
                f"`context=` should be from 0 to {MOST_CONTEXT} chunks, not {self.context!r:.60}."
            )
        count_candidates(self.reranker, self.candidates, k)


def check_count(k: int) -> None:
    """Check the number of hits.

    Raises:
        InputError: It is out of range.
    """
    if not isinstance(k, (int, np.integer)) or not 0 < k <= MOST_HITS:
        raise InputError(f"k should be from 1 to {MOST_HITS}, not {k}.")
