"""A head as nodes of the graph, for an encoder that gives whole vectors.

The nodes are safe in half precision too, in which phones compute: it ends at 65504, and counts in
whole numbers up to 2048 only. So weights are divided before states are summed with them, and a
vector is scaled to a largest number of 1 before it is squared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from minnow.graph.nodes import Nodes

MASK = "attention_mask"
SMALLEST = 2.0**-14
"""The smallest normal number of half precision; its inverse is finite there too."""


def one_token(
    nodes: Nodes, states: str, pooling: Pooling, longest: int, mask: str = MASK
) -> str | None:
    """Add the nodes that select the one token that pooling takes, if it takes one.

    Args:
        nodes: The graph.
        states: Token states of shape (batch, seq, width), of any layer.
        pooling: The way to pool.
        longest: The most tokens that a text can have.
        mask: 1 for a token, 0 for padding; of shape (batch, seq).

    Returns:
        The name of a value of shape (batch, 1, width); None where pooling takes several tokens.
    """
    if pooling is Pooling.CLS:
        zero = nodes.constant("pooling.from", [0], np.int64)
        one = nodes.constant("pooling.to", [1], np.int64)
        return nodes.node("Slice", [states, zero, one, one], "pooling.token")
    if pooling is Pooling.LAST_TOKEN:
        return _weighted_sum(nodes, states, _last(nodes, longest, mask))
    return None


def several_tokens(
    nodes: Nodes,
    states: str,
    padding: str,
    pooling: Pooling,
    longest: int,
    mask: str = MASK,
) -> str:
    """Add the nodes that pool the last states of several tokens.

    Args:
        nodes: The graph.
        states: Token states of shape (batch, seq, width).
        padding: 0 for a token, far below all states for padding; of shape (batch, 1, 1, seq).
        pooling: The way to pool; one that takes more than one token.
        longest: The most tokens that a text can have.
        mask: 1 for a token, 0 for padding; of shape (batch, seq).

    Returns:
        The name of a value of shape (batch, 1, width).
    """
    if pooling is Pooling.MAX:
        column = nodes.reshape(padding, [0, -1, 1], "pooling.padding")
        masked = nodes.node("Add", [states, column], "pooling.masked")
        return nodes.node("ReduceMax", [masked], "pooling.max", axes=[1], keepdims=1)
    return _weighted_sum(nodes, states, _WEIGHTS[pooling](nodes, longest, mask))


def unit_length(nodes: Nodes, vectors: str) -> str:
    """Add the nodes that scale vectors of shape (batch, width) to length 1, but leave zeros."""
    smallest = nodes.scalar("unit.smallest", SMALLEST)
    size = nodes.node("Abs", [vectors], "unit.abs")
    size = nodes.node("ReduceMax", [size], "unit.max", axes=[1], keepdims=1)
    size = nodes.node("Max", [size, smallest], "unit.scale")
    scaled = nodes.node("Div", [vectors, size], "unit.scaled")
    squares = nodes.node("Mul", [scaled, scaled], "unit.squares")
    total = _row_sum(nodes, squares, "unit.sum")
    total = nodes.node("Max", [total, smallest], "unit.total")
    length = nodes.node("Sqrt", [total], "unit.length")
    return nodes.node("Div", [scaled, length], "unit")


def first_numbers(nodes: Nodes, vectors: str, count: int) -> str:
    """Add the nodes that keep the first numbers of vectors of shape (batch, width)."""
    zero = nodes.constant("truncated.from", [0], np.int64)
    end = nodes.constant("truncated.to", [count], np.int64)
    axis = nodes.constant("truncated.axis", [1], np.int64)
    return nodes.node("Slice", [vectors, zero, end, axis], "truncated")


def _weighted_sum(nodes: Nodes, states: str, weights: str) -> str:
    """Sum states of shape (batch, seq, width) by weights of shape (batch, seq)."""
    row = nodes.reshape(weights, [0, 1, -1], "pooling.row")
    return nodes.node("MatMul", [row, states], "pooling.sum")


def _mask(nodes: Nodes, mask: str) -> str:
    return nodes.cast(mask, "pooling.mask")


def _row_sum(nodes: Nodes, rows: str, name: str) -> str:
    axis = nodes.constant(f"{name}.axis", [1], np.int64)
    return nodes.node("ReduceSum", [rows, axis], name, keepdims=1)


def _positions(nodes: Nodes, longest: int, mask: str, unit: float) -> str:
    """Return the tokens' numbers from 1, times a unit: float of shape (1, seq)."""
    numbers = np.arange(1, longest + 1, dtype=np.float32)
    table = nodes.table("pooling.numbers", numbers[None] * np.float32(unit))
    shape = nodes.node("Shape", [mask], "pooling.shape")
    zero = nodes.constant("pooling.zero", [0], np.int64)
    one = nodes.constant("pooling.one", [1], np.int64)
    length = nodes.node("Gather", [shape, one], "pooling.length", axis=0)
    return nodes.node("Slice", [table, zero, length, one], "pooling.positions")


def _mean(nodes: Nodes, _: int, mask: str) -> str:
    mask = _mask(nodes, mask)
    return nodes.node("Div", [mask, _row_sum(nodes, mask, "pooling.count")], "pooling.weights")


def _mean_sqrt_len(nodes: Nodes, _: int, mask: str) -> str:
    mask = _mask(nodes, mask)
    root = nodes.node("Sqrt", [_row_sum(nodes, mask, "pooling.count")], "pooling.root")
    return nodes.node("Div", [mask, root], "pooling.weights")


def _weighted_mean(nodes: Nodes, longest: int, mask: str) -> str:
    """Weigh by position, in a unit above all of them: sums of whole numbers would be too large."""
    unit = 2.0 ** -np.ceil(np.log2(longest))
    positions = _positions(nodes, longest, mask, unit)
    weights = nodes.node("Mul", [_mask(nodes, mask), positions], "pooling.counted")
    return nodes.node(
        "Div", [weights, _row_sum(nodes, weights, "pooling.count")], "pooling.weights"
    )


def _last(nodes: Nodes, longest: int, mask: str) -> str:
    """Weigh by 1 the token whose number is the count of tokens, and all others by 0."""
    count = _row_sum(nodes, _mask(nodes, mask), "pooling.count")
    away = nodes.node("Sub", [_positions(nodes, longest, mask, 1.0), count], "pooling.away")
    away = nodes.node("Abs", [away], "pooling.distance")
    weights = nodes.node("Sub", [nodes.scalar("pooling.unit", 1.0), away], "pooling.near")
    return nodes.node("Relu", [weights], "pooling.weights")


_WEIGHTS: Mapping[Pooling, Callable[[Nodes, int, str], str]] = {
    Pooling.MEAN: _mean,
    Pooling.MEAN_SQRT_LEN: _mean_sqrt_len,
    Pooling.WEIGHTED_MEAN: _weighted_mean,
}
