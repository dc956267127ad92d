"""nDCG@10, for checks that run without the extra `evaluate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

DEPTH = 10
_DISCOUNTS = 1 / np.log2(np.arange(2, DEPTH + 2))


def ndcg(ranked: ArrayLike, judged: ArrayLike) -> float:
    """Return the nDCG@10 of one query; gains count as they are, as in trec_eval.

    Args:
        ranked: The gain of the text in each place of the ranking, the first place first; 0 for a
            text that does not answer. Places behind the tenth do not count.
        judged: The gains of all judged texts, in any order; one at least is above 0.

    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002.
    """
    found = np.asarray(ranked, np.float64)[:DEPTH]
    best = np.sort(np.asarray(judged, np.float64))[::-1][:DEPTH]
    return float(found @ _DISCOUNTS[: len(found)]) / float(best @ _DISCOUNTS[: len(best)])
