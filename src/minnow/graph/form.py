"""The form in which a network is written as a graph; its vectors are the same in every form."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class GraphForm:
    """What a graph is written for.

    Attributes:
        shape: The only (batch, seq) that it takes, for accelerators that need a fixed shape; None
            for any.
        in_parts: Whether feed-forward layers are in parts, for sums in half precision.
        exact_gelu: Whether GELU is in a form that MNN's converter does not approximate.
        long: Whether attention is for long texts; see `minnow.graph.long`.
        for_mnn: Whether to write what only MNN needs to be quick; without effect on a graph of one
            shape.
    """

    shape: tuple[int, int] | None = None
    in_parts: bool = False
    exact_gelu: bool = False
    long: bool = False
    for_mnn: bool = False
