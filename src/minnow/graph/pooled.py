"""A head as nodes of the graph, for an encoder that gives whole vectors.

The nodes are safe in half precision too, in which phones compute: it ends at 65504, and counts in
whole numbers up to 2048 only. So weights are divided before states are summed with them, and a
vector is scaled to a largest number of 1 before it is squared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.graph.activations import activate
from minnow.graph.positions import MASKED
from minnow.model.head import POOLING_MASK, LayerActivation, LayerKind
from minnow.model.spec import Activation
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from minnow.graph.nodes import Nodes
    from minnow.model.head import Head, Layer

MASK = "attention_mask"
_UNPOOLED = "unpooled."
SMALLEST = 2.0**-14
"""The smallest normal number of half precision; its inverse is finite there too."""


def one_token(
    nodes: Nodes,
    states: str,
    pooling: Pooling,
    mask: str = MASK,
    name: str = "pooling",
) -> str | None:
    """Add the nodes that select the one token that pooling takes, if it takes one.

    Args:
        nodes: The graph.
        states: Token states of shape (batch, seq, width), of any layer.
        pooling: The way to pool.
        mask: 1 for a token, 0 for padding; of shape (batch, seq). POOLING_MASK is 0 for the first
            tokens too, those of the prompt.
        name: Prefix of the names of all values.

    Returns:
        The name of a value of shape (batch, 1, width); None where pooling takes several tokens.
    """
    if pooling is Pooling.CLS and mask == POOLING_MASK:
        return _weighted_sum(nodes, states, _first(nodes, mask, name), name)
    if pooling is Pooling.CLS:
        zero = nodes.constant(f"{name}.from", [0], np.int64)
        one = nodes.constant(f"{name}.to", [1], np.int64)
        return nodes.node("Slice", [states, zero, one, one], f"{name}.token")
    if pooling is Pooling.LAST_TOKEN:
        return _weighted_sum(nodes, states, _last(nodes, mask, name), name)
    return None


def several_tokens(
    nodes: Nodes,
    states: str,
    padding: str,
    pooling: Pooling,
    longest: int,
    mask: str = MASK,
    name: str = "pooling",
) -> str:
    """Add the nodes that pool the last states of several tokens.

    Args:
        nodes: The graph.
        states: Token states of shape (batch, seq, width).
        padding: 0 for a token, far below all states for padding; of shape (batch, 1, 1, seq).
        pooling: The way to pool; one that takes more than one token.
        longest: The most tokens that a text can have.
        mask: 1 for a token, 0 for padding; of shape (batch, seq).
        name: Prefix of the names of all values.

    Returns:
        The name of a value of shape (batch, 1, width).
    """
    if pooling is Pooling.MAX:
        if mask == POOLING_MASK:
            kept = nodes.with_number("Sub", _mask(nodes, mask, name), 1.0, f"{name}.shifted")
            padding = nodes.with_number("Mul", kept, MASKED, f"{name}.far")
        column = nodes.reshape(padding, [0, -1, 1], f"{name}.padding")
        masked = nodes.node("Add", [states, column], f"{name}.masked")
        return nodes.node("ReduceMax", [masked], f"{name}.max", axes=[1], keepdims=1)
    return _weighted_sum(nodes, states, _WEIGHTS[pooling](nodes, longest, mask, name), name)


def unit_length(nodes: Nodes, vectors: str, name: str = "unit") -> str:
    """Add the nodes that scale vectors of shape (batch, width) to length 1, but leave zeros."""
    smallest = nodes.scalar(f"{name}.smallest", SMALLEST)
    size = nodes.node("Abs", [vectors], f"{name}.abs")
    size = nodes.node("ReduceMax", [size], f"{name}.max", axes=[1], keepdims=1)
    size = nodes.node("Max", [size, smallest], f"{name}.scale")
    scaled = nodes.node("Div", [vectors, size], f"{name}.scaled")
    squares = nodes.node("Mul", [scaled, scaled], f"{name}.squares")
    total = _row_sum(nodes, squares, f"{name}.sum")
    total = nodes.node("Max", [total, smallest], f"{name}.total")
    length = nodes.node("Sqrt", [total], f"{name}.length")
    return nodes.node("Div", [scaled, length], name)


def pass_layers(
    nodes: Nodes, vectors: str, head: Head, tensors: Mapping[str, NDArray[np.float32]]
) -> str:
    """Add the nodes of a head's layers.

    Args:
        nodes: The graph.
        vectors: Pooled vectors of shape (batch, width).
        head: The layers.
        tensors: Theirs, under the names of `minnow.model.head.layer_shapes`.

    Returns:
        The name of a value of shape (batch, width of the last layer).
    """
    for i, layer in enumerate(head.layers):
        name = f"head.{i}"
        if layer.kind is LayerKind.DENSE:
            vectors = _dense(nodes, vectors, layer, name, tensors)
        elif layer.kind is LayerKind.UNIT_LENGTH:
            vectors = unit_length(nodes, vectors, name)
        else:
            tables = [
                nodes.table(f"{name}.{part}", tensors[f"{name}.{part}"])
                for part in ("weight", "bias")
            ]
            vectors = nodes.node(
                "LayerNormalization", [vectors, *tables], name, axis=-1, epsilon=layer.eps
            )
    return vectors


def _dense(
    nodes: Nodes, x: str, layer: Layer, name: str, tensors: Mapping[str, NDArray[np.float32]]
) -> str:
    y = _product(nodes, x, name, tensors)
    operator = _ACTIVATIONS.get(layer.activation)
    if operator:
        y = nodes.node(operator, [y], f"{name}.activated")
    elif layer.activation is not LayerActivation.IDENTITY:
        activation = Activation(layer.activation.value)
        y = activate(nodes, y, f"{name}.activated", activation, exact=True)
    if not layer.residual:
        return y
    if f"{name}.residual.weight" in tensors:
        x = _product(nodes, x, f"{name}.residual", tensors)
    return nodes.node("Add", [y, x], f"{name}.summed")


def _product(nodes: Nodes, x: str, name: str, tensors: Mapping[str, NDArray[np.float32]]) -> str:
    """Multiply by a matrix, and add a bias, of zeros if need be: MNN names the two as one."""
    weight = tensors[f"{name}.weight"]
    bias = tensors.get(f"{name}.bias", np.zeros(len(weight), np.float32))
    product = nodes.node("MatMul", [x, nodes.table(f"{name}.weight", weight.T)], f"{name}.product")
    return nodes.node("Add", [product, nodes.table(f"{name}.bias", bias)], name)


_ACTIVATIONS = {
    LayerActivation.TANH: "Tanh",
    LayerActivation.SIGMOID: "Sigmoid",
}


def first_numbers(nodes: Nodes, vectors: str, count: int) -> str:
    """Add the nodes that keep the first numbers of vectors of shape (batch, width)."""
    zero = nodes.constant("truncated.from", [0], np.int64)
    end = nodes.constant("truncated.to", [count], np.int64)
    axis = nodes.constant("truncated.axis", [1], np.int64)
    return nodes.node("Slice", [vectors, zero, end, axis], "truncated")


def pooling_mask(nodes: Nodes, mask: str, head: Head) -> str:
    """Return what pooling reads of tokens: the input for that, or a mask without some ids.

    Args:
        nodes: The graph.
        mask: 1 for a token, 0 for padding; of shape (batch, seq).
        head: Says what is left out.
    """
    if not head.include_prompt:
        return POOLING_MASK
    unpooled = head.unpooled
    if not unpooled:
        return mask
    kept = nodes.cast(mask, "unpooled.mask")
    one = nodes.scalar("unpooled.one", 1.0)
    for number in unpooled:
        name = f"unpooled.{number}"
        wanted = nodes.constant(f"{name}.id", number, np.int32)
        same = nodes.cast(nodes.node("Equal", ["input_ids", wanted], f"{name}.same"), name)
        other = nodes.node("Sub", [one, same], f"{name}.other")
        kept = nodes.node("Mul", [kept, other], f"{name}.kept")
    return kept


def _weighted_sum(nodes: Nodes, states: str, weights: str, name: str) -> str:
    """Sum states of shape (batch, seq, width) by weights of shape (batch, seq)."""
    row = nodes.reshape(weights, [0, 1, -1], f"{name}.row")
    return nodes.node("MatMul", [row, states], f"{name}.sum")


def _mask(nodes: Nodes, mask: str, name: str) -> str:
    return nodes.cast(mask, f"{name}.mask")


def _row_sum(nodes: Nodes, rows: str, name: str) -> str:
    axis = nodes.constant(f"{name}.axis", [1], np.int64)
    return nodes.node("ReduceSum", [rows, axis], name, keepdims=1)


def _positions(nodes: Nodes, longest: int, mask: str, unit: float, name: str) -> str:
    """Return the tokens' numbers from 1, times a unit: float of shape (1, seq)."""
    numbers = np.arange(1, longest + 1, dtype=np.float32)
    table = nodes.table(f"{name}.numbers", numbers[None] * np.float32(unit))
    shape = nodes.node("Shape", [mask], f"{name}.shape")
    zero = nodes.constant(f"{name}.zero", [0], np.int64)
    one = nodes.constant(f"{name}.one", [1], np.int64)
    length = nodes.node("Gather", [shape, one], f"{name}.length", axis=0)
    return nodes.node("Slice", [table, zero, length, one], f"{name}.positions")


def _mean(nodes: Nodes, _: int, mask: str, name: str) -> str:
    may_be_empty, mask = mask.startswith(_UNPOOLED), _mask(nodes, mask, name)
    count = _row_sum(nodes, mask, f"{name}.count")
    if may_be_empty:
        count = nodes.node("Max", [count, nodes.scalar(f"{name}.least", 1.0)], f"{name}.counted")
    return nodes.node("Div", [mask, count], f"{name}.weights")


def _mean_sqrt_len(nodes: Nodes, _: int, mask: str, name: str) -> str:
    mask = _mask(nodes, mask, name)
    root = nodes.node("Sqrt", [_row_sum(nodes, mask, f"{name}.count")], f"{name}.root")
    return nodes.node("Div", [mask, root], f"{name}.weights")


def _weighted_mean(nodes: Nodes, longest: int, mask: str, name: str) -> str:
    """Weigh by position, in a unit above all of them: sums of whole numbers would be too large."""
    unit = 2.0 ** -np.ceil(np.log2(longest))
    positions = _positions(nodes, longest, mask, unit, name)
    weights = nodes.node("Mul", [_mask(nodes, mask, name), positions], f"{name}.counted")
    return nodes.node(
        "Div", [weights, _row_sum(nodes, weights, f"{name}.count")], f"{name}.weights"
    )


def _first(nodes: Nodes, mask: str, name: str) -> str:
    """Weigh by 1 the token that no other precedes, and all others by 0."""
    return _without_neighbour(nodes, mask, name, [0, 1, 0, 0], (0, -1))


def _last(nodes: Nodes, mask: str, name: str) -> str:
    """Weigh by 1 the token that no other follows, and all others by 0; padding on either side."""
    return _without_neighbour(nodes, mask, name, [0, 0, 0, 1], (1, np.iinfo(np.int32).max))


def _without_neighbour(
    nodes: Nodes, mask: str, name: str, room: list[int], kept: tuple[int, int]
) -> str:
    """Weigh by 1 the tokens beside which there is none: in the mask, widened, and cut again."""
    mask = _mask(nodes, mask, name)
    padded = nodes.node(
        "Pad", [mask, nodes.constant(f"{name}.pads", room, np.int64)], f"{name}.padded"
    )
    start, end, axis = (
        nodes.constant(f"{name}.{part}", [number], np.int64)
        for part, number in zip(("one", "end", "axis"), (*kept, 1), strict=True)
    )
    beside = nodes.node("Slice", [padded, start, end, axis], f"{name}.beside")
    alone = nodes.node("Sub", [nodes.scalar(f"{name}.unit", 1.0), beside], f"{name}.alone")
    return nodes.node("Mul", [mask, alone], f"{name}.weights")


_WEIGHTS: Mapping[Pooling, Callable[[Nodes, int, str, str], str]] = {
    Pooling.MEAN: _mean,
    Pooling.MEAN_SQRT_LEN: _mean_sqrt_len,
    Pooling.WEIGHTED_MEAN: _weighted_mean,
}
