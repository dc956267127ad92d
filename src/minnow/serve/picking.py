"""Choice of the waiting texts that go into one forward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.engines.base import TOKENS_PER_BATCH

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

OVERHEAD = 16
"""Fixed cost of a forward pass, in tokens.

Measured on all-MiniLM-L6-v2 in CPU time, from 1x8 to 32x16: 4 ms, and 0.23 ms a token. The fixed
part is resizing to a new shape, and reading the weights once.
"""


def pick(lengths: Sequence[int], batch_size: int) -> NDArray[np.intp]:
    """Choose texts to run together: the first, whose turn it is, and others about as long.

    The others are those that make the batch's cost for each token without padding the lowest.

    Args:
        lengths: Tokens of each waiting text; at least 1.
        batch_size: Most texts in a batch; of long ones there are fewer, see TOKENS_PER_BATCH.

    Returns:
        Indices, the longest text first; 0 is among them.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.intp), kind="stable")
    ordered = np.asarray(lengths, dtype=np.intp)[order]
    place = int(np.flatnonzero(order == 0)[0])
    best, chosen = -1.0, order[place : place + 1]
    for start in range(place, max(-1, place - batch_size), -1):
        longest = int(ordered[start])
        most = max(1, min(batch_size, TOKENS_PER_BATCH // longest))
        least = place - start
        if most <= least:
            break
        tokens = np.cumsum(ordered[start : start + most])
        worth = tokens / (np.arange(1, len(tokens) + 1) * longest + OVERHEAD)
        end = least + int(np.argmax(worth[least:]))
        if worth[end] > best:
            best, chosen = float(worth[end]), order[start : start + end + 1]
    return chosen
