"""Attention in blocks: the same numbers as all scores at once, at a bounded and stated memory."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray

from minnow.model.attention import attend, relative_bias
from minnow.model.head import Head
from minnow.model.network import (
    Attention,
    Block,
    FeedForward,
    LayerNorm,
    Network,
    RelativeBuckets,
    Rotary,
    Words,
)
from minnow.model.parameters import tensor_shapes
from minnow.model.reference import ReferenceModel
from minnow.model.spec import Activation
from minnow.vectors import Pooling

Doubles = NDArray[np.float64]

HEADS, SIZE, TOKENS = 4, 8, 53
RELATIVE = RelativeBuckets(HEADS, buckets=16, distance=20)


def at_once(
    query: Doubles, key: Doubles, value: Doubles, attention: Attention, bias: Doubles | None
) -> Doubles:
    """Compute all scores of all heads, one query after the other, by the definition."""
    mixed = np.zeros_like(query)
    for head in range(attention.heads):
        own = slice(head * SIZE, (head + 1) * SIZE)
        shared = slice(head // attention.group * SIZE, (head // attention.group + 1) * SIZE)
        for i in range(len(query)):
            scores = key[:, shared] @ query[i, own] * attention.scale
            if bias is not None:
                scores = scores + bias[head, np.arange(len(query)) - i + len(query) - 1]
            if attention.window is not None:
                far = np.abs(np.arange(len(query)) - i) > attention.window
                scores = np.where(far, -np.inf, scores)
            weights = np.exp(scores - scores.max())
            mixed[i, own] = weights @ value[:, shared] / weights.sum()
    return mixed


@pytest.mark.parametrize("window", [None, 1, 5, 60])
@pytest.mark.parametrize("limit", [1, 60, 300, 2**22])
@pytest.mark.parametrize("biased", [False, True])
def test_blocks_give_what_all_scores_give(window: int | None, limit: int, biased: bool) -> None:
    random = np.random.default_rng(1)
    query = random.normal(size=(TOKENS, HEADS * SIZE))
    key, value = random.normal(size=(2, TOKENS, HEADS * SIZE // 2))
    attention = Attention(HEADS, SIZE, 0.4, group=2, window=window)
    tensors = {"relative_bias": random.normal(size=(16, HEADS))}
    bias = relative_bias(TOKENS, RELATIVE if biased else None, tensors)
    expected = at_once(query, key, value, attention, bias)
    found = attend(query, key, value, attention, bias, at_once=limit)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-13)


@pytest.mark.extra("convert")
@pytest.mark.parametrize(("tokens", "window"), [(3000, None), (3000, 64), (200, None)])
def test_the_stated_memory_is_what_a_pass_takes(tokens: int, window: int | None) -> None:
    attention = Attention(4, 16, 0.25, rotary=Rotary(16, 10_000.0), window=window)
    norm = LayerNorm(1e-5)
    block = Block(attention, FeedForward(256, Activation.GELU, gated=True), norm, norm)
    network = Network(64, tokens, Words(50), None, norm, (block,))
    random = np.random.default_rng(2)
    tensors = {
        name: random.normal(0, 0.05, shape).astype(np.float32)
        for name, shape in tensor_shapes(network).items()
    }
    model = ReferenceModel(network, Head(Pooling.MEAN), tensors)
    ids = random.integers(0, 50, tokens).tolist()
    model.vector(ids[:10])
    tracemalloc.start()
    model.vector(ids)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak / 2 < model.memory(tokens) < 2 * peak
