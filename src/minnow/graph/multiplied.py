"""Matrices whose inputs a graph multiplies, each by a number of its own.

An engine that rounds inputs to whole numbers of one step for many of them loses less where they are
of similar size. The matrix is divided by the same numbers, so that the products are the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from minnow.model.tensors import LazyTensors

MULTIPLIED = ".multiplied"
"""What the name of such a matrix's operator ends in. A reader that knows nothing of multipliers
does not find the matrix, and so does not take it for the model's."""
ATTENTION_INPUT, FEED_FORWARD_INPUT = "attention_input", "feed_forward_input"
_INPUTS = {
    **dict.fromkeys(("query", "key", "value"), ATTENTION_INPUT),
    **dict.fromkeys(("gate", "inner"), FEED_FORWARD_INPUT),
}


@dataclass(frozen=True)
class Multiplied:
    """The multipliers of a graph, and the matrices that are divided by them.

    Attributes:
        inputs: What inputs are multiplied by, by the names of `input_name`.
        weights: The divided matrices, by the names of their linear layers; on their grids, which
            those of the network are not quite once they are divided again.
    """

    inputs: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    weights: LazyTensors = field(default_factory=LazyTensors)

    def operator(self, matrix: str) -> str:
        """Return the name of a matrix's operator."""
        return f"{matrix}{MULTIPLIED}" if matrix in self.weights else matrix


def input_name(matrix: str) -> str:
    """Return the name of what a matrix reads, for those whose inputs a graph may multiply.

    "layer.0.key" reads "layer.0.attention_input".
    """
    layer, _, part = matrix.rpartition(".")
    return f"{layer}.{_INPUTS[part]}"


def norm_before(given: str) -> str:
    """Return the norm that makes an input, in layers that normalise after a sum.

    "layer.1.attention_input" is made by "layer.0.output_norm".
    """
    kind, layer, part = given.split(".")
    if part == FEED_FORWARD_INPUT:
        return f"{kind}.{layer}.attention_norm"
    before = int(layer) - 1
    return "embeddings.norm" if before < 0 else f"{kind}.{before}.output_norm"
