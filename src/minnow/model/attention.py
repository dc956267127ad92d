"""The yardstick's attention: formulas of one text, computed in blocks of heads and queries.

All scores of an 8192-token text would take gigabytes a layer. A block of them is computed, turned
into weights and forgotten before the next; keys outside a block's window are not read at all.

Source: see `minnow.model.reference`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from minnow.model.network import Slopes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from minnow.model.network import Attention, Convolution, Relative, Rotary

Floats = TypeVar("Floats", NDArray[np.float32], NDArray[np.float64])

Distances = tuple[NDArray[Any] | None, NDArray[Any] | None]
"""The key, and the query, of each distance from 1 - tokens on: (2 * tokens - 1, width)."""

SCORES_AT_ONCE = 2**22
"""Scores in a block: 32 MiB of float64."""


def attend(
    query: Floats,
    key: Floats,
    value: Floats,
    attention: Attention,
    bias: Floats | None = None,
    distances: Distances = (None, None),
    *,
    at_once: int = SCORES_AT_ONCE,
) -> Floats:
    """Let each token of one text mix the values of all that it sees.

    Args:
        query: The queries, of shape (tokens, width of all heads).
        key: The keys, of shape (tokens, width of all heads of keys).
        value: The values, in the same shape.
        attention: Heads, scale, rotations, window and direction.
        bias: Added to the scores by distance; see `relative_bias`.
        distances: The key and the query of each distance; see `minnow.model.reference`.
        at_once: The most scores in a block, if one row of them is not longer.

    Returns:
        The mixed values, in the shape of the queries.
    """
    tokens = len(query)
    by_distance = [
        None if part is None else part.reshape(len(part), -1, attention.head_size).swapaxes(0, 1)
        for part in distances
    ]
    query, key, value = (
        part.reshape(len(part), -1, attention.head_size).swapaxes(0, 1)
        for part in (query, key, value)
    )
    if attention.rotary is not None:
        query, key = rotate(query, attention.rotary), rotate(key, attention.rotary)
    behind = tokens if attention.window is None else attention.window
    ahead_of = 0 if attention.causal else behind
    rows, seen = _block(tokens, attention.window)
    rows = max(1, min(rows, at_once // seen))
    heads = max(1, at_once // (rows * seen))
    mixed = np.empty_like(query)
    for first in range(0, attention.heads, heads):
        some = slice(first, min(first + heads, attention.heads))
        shared = np.arange(some.start, some.stop) // attention.group
        for start in range(0, tokens, rows):
            asking = slice(start, min(start + rows, tokens))
            asked = slice(max(0, start - behind), min(tokens, asking.stop + ahead_of))
            scores = query[some, asking] @ key[shared, asked].swapaxes(1, 2)
            ahead = _ahead(asking, asked) + (tokens - 1)
            if by_distance[0] is not None:
                each = query[some, asking] @ by_distance[0][shared].swapaxes(1, 2)
                scores += np.take_along_axis(each, ahead[None], axis=2)
            if by_distance[1] is not None:
                each = key[shared, asked] @ by_distance[1][some].swapaxes(1, 2)
                scores += np.take_along_axis(each, ahead.T[None], axis=2).swapaxes(1, 2)
            scores *= attention.scale
            if bias is not None:
                scores += bias[some][:, ahead]
            if not attention.sees_all:
                far = _ahead(asking, asked)
                scores[:, (far > ahead_of) | (-far > behind)] = -np.inf
            scores -= scores.max(-1, keepdims=True)
            np.exp(scores, out=scores)
            scores /= scores.sum(-1, keepdims=True)
            mixed[some, asking] = scores @ value[shared, asked]
    joined: Floats = mixed.swapaxes(0, 1).reshape(tokens, attention.width)
    return joined


def convolve(
    query: Floats, key: Floats, value: Floats, convolution: Convolution, weight: Floats
) -> Floats:
    """Mix the values of each token of one text with those of its neighbours.

    Args:
        query: The gates of what is mixed, of shape (tokens, width).
        key: The gates of the values, in the same shape.
        value: The values, in the same shape.
        convolution: The filter.
        weight: Its weights, of shape (width, 1, taps).

    Returns:
        The mixed values, in the shape of the queries.
    """
    around = (convolution.before, convolution.taps - 1 - convolution.before)
    gated = np.pad(key * value, (around, (0, 0)))
    shifted = [gated[i : i + len(query)] * weight[:, 0, i] for i in range(convolution.taps)]
    mixed: Floats = query * sum(shifted[1:], shifted[0])
    return mixed


def attention_memory(attention: Attention, tokens: int, *, biased: bool = False) -> int:
    """Estimate the bytes that `attend` takes at its peak for a text, in float64."""
    copies = 4 if biased or not attention.sees_all else 2
    rows, seen = _block(tokens, attention.window)
    scores = min(SCORES_AT_ONCE, attention.heads * rows * seen)
    return 8 * (8 * tokens * attention.width + copies * scores)


def _block(tokens: int, window: int | None) -> tuple[int, int]:
    """Return the most queries of a block, and the most keys that they see."""
    if window is None:
        return tokens, tokens
    rows = min(tokens, 2 * window + 1)
    return rows, min(tokens, rows + 2 * window)


def _ahead(asking: slice, asked: slice) -> NDArray[np.int64]:
    """Return how far each key of a block is ahead of each query."""
    keys, queries = (np.arange(part.start, part.stop) for part in (asked, asking))
    return keys[None, :] - queries[:, None]


def rotate(x: Floats, rotary: Rotary) -> Floats:
    """Turn each pair of a head's numbers, read as a complex number, by its position's angle.

    Args:
        x: Queries or keys of one text from its first token on, of shape (heads, tokens, size).
        rotary: The frequencies.
    """
    _, tokens, size = x.shape
    pairs = size // 2
    frequencies = rotary.theta ** (-np.arange(pairs) / pairs) / rotary.factor
    turns = np.exp(1j * np.arange(tokens)[:, None] * frequencies)
    turned = (x[..., :pairs] + 1j * x[..., pairs:]) * turns
    halves: Floats = np.concatenate([turned.real, turned.imag], axis=-1).astype(x.dtype)
    return halves


def relative_bias(
    tokens: int, relative: Relative | None, tensors: Mapping[str, Floats]
) -> Floats | None:
    """Look up the biases of a text's scores, by the distance from the query to the key.

    Returns:
        Numbers of shape (heads, 2 * tokens - 1), from the distance -(tokens - 1) on; or None.
    """
    if relative is None:
        return None
    ahead = np.arange(1 - tokens, tokens)
    if isinstance(relative, Slopes):
        fallen: Any = np.outer(relative.by_head, -np.abs(ahead))
        return cast("Floats", fallen)
    half, single = relative.buckets // 2, relative.buckets // 4
    far = np.maximum(np.abs(ahead), single) / single
    growing = np.floor(np.log(far) / np.log(relative.distance / single) * (half - single))
    bucket = np.where(np.abs(ahead) < single, np.abs(ahead), single + growing)
    bucket = np.minimum(bucket, half - 1) + np.where(ahead > 0, half, 0)
    bias: Floats = tensors["relative_bias"][bucket.astype(int)].T
    return bias
