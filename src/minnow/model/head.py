"""What follows the token states, as data: what `minnow.graph.pooled` and the reference interpret.

Layers that a model puts between its pooling and its vector (Dense, LayerNorm) belong here.
"""

from __future__ import annotations

from dataclasses import dataclass

from minnow.vectors import Pooling


@dataclass(frozen=True)
class Head:
    """From the states of a text's tokens to its vector.

    Attributes:
        pooling: How they become one vector.
        normalize: Whether that is scaled to length 1.
    """

    pooling: Pooling
    normalize: bool = False
