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
        truncate: Keep the vector's first numbers, so many, as the last step: a vector of length 1
            becomes shorter. None keeps all.
    """

    pooling: Pooling
    normalize: bool = False
    truncate: int | None = None

    @property
    def gives_unit_length(self) -> bool:
        """Whether its vectors have length 1."""
        return self.normalize and self.truncate is None

    def width(self, states: int) -> int:
        """Return the length of its vectors, in numbers, where token states have so many."""
        return states if self.truncate is None else min(self.truncate, states)
