"""The head as data, which `minnow.graph.pooled` and `minnow.model.reference` interpret.

Layers that a model has between its pooling and its vector (Dense, LayerNorm) belong here.
"""

from __future__ import annotations

from dataclasses import dataclass

from minnow.vectors import Pooling


@dataclass(frozen=True)
class Head:
    """The step from the states of a text's tokens to its vector.

    Attributes:
        pooling: Makes one vector of the states.
        normalize: Scale the vector to length 1.
    """

    pooling: Pooling
    normalize: bool = False
