"""Options of a search, and their checks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypedDict, get_args

import numpy as np

from minnow.errors import InputError
from minnow.indexfile.keyword import MOST_SCORED
from minnow.options import Fusion, SearchMode

if TYPE_CHECKING:
    from minnow.indexfile.filters import Parameters
    from minnow.indexfile.reranking import TextRanker

    class SearchOptions(TypedDict, total=False):
        """The keyword arguments of `Index.search`, which describes them."""

        mode: SearchMode
        where: str | None
        params: Parameters
        fusion: Fusion | Literal["scores", "rrf"]
        reranker: TextRanker | None
        candidates: int | None


MOST_HITS = MOST_SCORED


def check_count(k: int) -> None:
    """Check the number of hits.

    Raises:
        InputError: It is out of range.
    """
    if not isinstance(k, (int, np.integer)) or not 0 < k <= MOST_HITS:
        raise InputError(f"k should be from 1 to {MOST_HITS}, not {k}.")


def check_modes(mode: str, fusion: str) -> None:
    """Check the mode of a search and its method of fusion.

    Raises:
        InputError: There is no such mode, or no such fusion.
    """
    if mode not in get_args(SearchMode):
        raise InputError(f"mode should be {', '.join(get_args(SearchMode))}, not {mode!r}.")
    if fusion not in list(Fusion):
        raise InputError(f"fusion should be {', '.join(Fusion)}, not {fusion!r}.")
