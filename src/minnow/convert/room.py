"""The memory of a conversion and of its proof, estimated and compared before the work."""

from __future__ import annotations

from collections import Counter
from math import prod
from typing import TYPE_CHECKING

from minnow.engines.sizes import batch_memory
from minnow.model.parameters import tensor_shapes
from minnow.model.reference import text_memory
from minnow.resources import require_memory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.model.network import Network
    from minnow.model.original import Original

_ADVICE = "Give a smaller limit (`max_tokens=`), or a machine with more memory."
_FLOAT, _DOUBLE = 4, 8
_GRAPHS = 3
"""Copies of the weights that the graph and its bytes hold at once, or MNN's converter by itself."""


def check_room(original: Original, *, converts: bool) -> None:
    """Refuse a model whose conversion or proof would take more memory than is left.

    Args:
        original: The model, whose tensors are in memory.
        converts: Whether it is converted too.

    Raises:
        InputError: The largest step would; the message has the estimate and what to do.
    """
    shapes = tensor_shapes(original.network)
    numbers, words = sum(map(prod, shapes.values())), prod(shapes["embeddings.word"])
    layers = Counter[str]()
    for name, shape in shapes.items():
        layers[".".join(name.split(".")[:2])] += prod(shape) if name.startswith("layer.") else 0
    limit, encoder = original.embedding.max_tokens, original.encoder
    shape, apart = (1, limit), original.embedding.is_long
    steps = {
        f"The reference pass of a text of {limit} tokens": _DOUBLE * max(layers.values())
        + _FLOAT * words
        + text_memory(original.network, limit),
        f"MNN's pass of a text of {limit} tokens": 2 * _FLOAT * numbers
        + batch_memory(shape, encoder, heads_apart=apart),
    }
    if converts:
        steps["The conversion of the graph to MNN"] = _GRAPHS * _FLOAT * numbers
    largest = max(steps, key=lambda step: steps[step])
    require_memory(steps[largest], largest, _ADVICE)


def check_calibration(network: Network, rows: Sequence[Sequence[int]]) -> None:
    """Refuse to calibrate on text whose forward passes would take more memory than is left.

    Two passes hold the states of all tokens, and the inputs and outputs of one part of a layer.

    Raises:
        InputError: The estimate is above the memory that is left.
    """
    tokens = sum(map(len, rows))
    units = max((block.feed_forward.width for block in network.blocks), default=0)
    units = max(units, *(block.words.width for block in network.blocks if block.words), 0)
    needed = _FLOAT * tokens * (10 * network.width + 4 * units)
    require_memory(needed, f"Calibration on {tokens} tokens", "Give less text (`calibration=`).")
