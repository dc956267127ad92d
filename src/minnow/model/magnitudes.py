"""The largest numbers inside a network, and a factor that keeps its states in half precision.

Phones compute in half precision: it ends at 65504, beyond which a state becomes infinite and a
vector NaN, without an error. States between the layers can be multiplied by a power of two, which
rounds nothing, where every part of a layer reads them through a norm: the norm takes it out again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from minnow.model.families import network_of
from minnow.model.network import Placement
from minnow.model.tensors import LazyTensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from minnow.model.network import Network
    from minnow.model.original import Original, Tensors

_ROOM = 4096.0
"""The bound for states of the measured texts, a sixteenth of half precision's end: other texts may
have larger ones."""


@dataclass
class Magnitudes:
    """A record of the largest absolute value of each tensor, from any number of threads."""

    values: dict[str, float] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def note(self, name: str, tensor: NDArray[np.float64]) -> None:
        """Take note of a tensor's largest absolute value; NaN counts as infinite."""
        value = float(np.nan_to_num(np.abs(tensor).max(initial=0.0), nan=np.inf))
        with self._lock:
            self.values[name] = max(value, self.values.get(name, 0.0))


def fit_states(original: Original, values: Mapping[str, float]) -> Original:
    """Return the model with states that half precision holds, where that takes no rounding.

    Args:
        original: The model.
        values: The largest absolute value of each tensor, as `Magnitudes` recorded them.
    """
    network = original.network
    largest = max((x for name, x in values.items() if is_state(name)), default=0.0)
    if not (scales(network) and 0 < largest < math.inf):
        return original
    fitting = min(1.0, 2.0 ** math.floor(math.log2(_ROOM * network.stream / largest)))
    return with_stream(original, fitting)


def with_stream(original: Original, stream: float) -> Original:
    """Return the same model with another factor of the states between its layers.

    Args:
        original: The model.
        stream: The factor, a power of two.
    """
    before, encoder = original.network, replace(original.encoder, stream=stream)
    after = network_of(encoder)
    if after.stream == before.stream:
        return original
    tensors = LazyTensors(original.tensors)
    for name in original.tensors:
        ratio = after.factor(name) / before.factor(name)
        if ratio != 1:
            tensors.put(name, partial(_scaled, original.tensors, name, ratio))
    return replace(original, encoder=encoder, tensors=tensors)


def _scaled(tensors: Tensors, name: str, by: float) -> NDArray[np.float32]:
    return tensors[name] * np.float32(by)


def scales(network: Network) -> bool:
    """Return whether states can have another factor: whatever reads them is a norm."""
    tables = (network.embedding_norm, network.positions, network.words.token_types or None)
    return (
        bool(network.blocks)
        and network.final_norm is not None
        and all(table is None for table in tables)
        and all(
            block.placement is Placement.PRE and block.attention_norm and block.output_norm
            for block in network.blocks
        )
    )


def is_state(name: str) -> bool:
    """Return whether a tensor is the states, or what is added to them."""
    return name.rsplit(".", 1)[1] in ("states", "added")
