"""Nodes that filter numbers over neighbouring tokens: the convolutions of LFM2.

The filter is written as a sum of shifted values, not as a Conv: MNN's convolutions are of another
layout than the products around this one, and a converter that rounds weights would round its few.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from minnow.graph.nodes import Nodes
    from minnow.model.network import Convolution


def token_column(nodes: Nodes, mask: str) -> str:
    """Make a column of a mask of tokens, (batch, seq): float of shape (batch, seq, 1)."""
    mask = nodes.cast(mask, "column.mask")
    axis = nodes.constant("column.axis", [2], np.int64)
    return nodes.node("Unsqueeze", [mask, axis], "column")


def filter_tokens(
    nodes: Nodes, values: str, name: str, convolution: Convolution, weight: NDArray[np.float32]
) -> str:
    """Filter each column of values over the tokens of a text, with zeros beyond its ends.

    Args:
        nodes: Takes the nodes.
        values: Of shape (batch, seq, columns), 0 for padding.
        name: Begins the names of the nodes.
        convolution: The filter.
        weight: Its weights, of shape (columns, 1, taps).
    """
    taps, before = convolution.taps, convolution.before
    around = nodes.constant(f"{name}.around", [0, before, 0, 0, taps - 1 - before, 0], np.int64)
    padded = nodes.node(
        "Pad", [values, around, nodes.scalar(f"{name}.fill", 0.0)], f"{name}.padded"
    )
    axis, total = nodes.constant(f"{name}.axis", [1], np.int64), ""
    for i in range(taps):
        end = i - taps + 1 or np.iinfo(np.int64).max
        ends = [
            nodes.constant(f"{name}.{kind}{i}", [place], np.int64)
            for kind, place in (("start", i), ("end", end))
        ]
        shifted = nodes.node("Slice", [padded, *ends, axis], f"{name}.shifted{i}")
        tap = nodes.table(f"{name}.weight{i}", weight[:, 0, i])
        part = nodes.node("Mul", [shifted, tap], f"{name}.part{i}")
        total = nodes.node("Add", [total, part], f"{name}.sum{i}") if total else part
    return total
