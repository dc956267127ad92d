"""The largest numbers inside a network, and factors that keep them in half precision.

Phones compute in half precision: it ends at 65504, beyond which a number becomes infinite and a
vector NaN, without an error; below 6e-5 it loses digits. States between the layers can be
multiplied by a power of two, which rounds nothing, where every part of a layer reads them through a
norm: the norm takes it out again. So can numbers inside a layer that a matrix, or a norm, follows.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np

from minnow.model.factors import (
    SCALABLE,
    SCORES,
    UNITS,
    VALUES,
    WORDS_UNITS,
    factor_of,
    is_state,
)
from minnow.model.families import network_of
from minnow.model.limits import MOST_POWER
from minnow.model.network import Placement
from minnow.model.spec import Activation
from minnow.model.tensors import LazyTensors
from minnow.records import replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from minnow.model.network import Block, Network
    from minnow.model.original import Original, Tensors

_ROOM = 4096.0
"""The bound for numbers of the measured texts, a sixteenth of half precision's end: other texts may
have larger ones."""
_FLOOR = 2.0**-4
"""Numbers of which the largest is smaller have many below half precision's smallest normal one."""


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


def fit_halves(original: Original, values: Mapping[str, float]) -> Original:
    """Return the model with numbers that half precision holds, where that takes no rounding.

    Args:
        original: The model.
        values: The largest absolute value of each tensor, as `Magnitudes` recorded them.
    """
    network, states = original.network, [x for name, x in values.items() if is_state(name)]
    stream = 0
    if scales(network) and states:
        stream = _fitting([max(states)], raises=True)
    powers = {
        f"layer.{i}.{kind}": power
        for i, block in enumerate(network.blocks)
        for kind in (SCORES, *SCALABLE)
        if (power := _power(network, block, kind, f"layer.{i}", values))
    }
    return with_factors(original, network.stream * 2.0**stream, powers)


def _power(
    network: Network, block: Block, kind: str, layer: str, values: Mapping[str, float]
) -> int:
    """Return the power of two that makes numbers inside a layer fit; 0 where none can or need."""
    if kind == SCORES:
        scores = (network.distances or block.attention.convolution) is None
        bounds = [values[f"{layer}.{SCORES}"]] if scores else []
        return _fitting(bounds, raises=False)
    part = block.feed_forward
    can = {
        VALUES: block.attention.value_norm is None,
        UNITS: part.gated or part.activation is Activation.RELU,
        WORDS_UNITS: block.words is not None,
    }
    before, behind, norm = SCALABLE[kind]
    normed = getattr(block, norm) is not None
    names = {kind, before, *([behind] if normed else [])}
    found = [values[f"{layer}.{name}"] for name in names if f"{layer}.{name}" in values]
    return _fitting(found, raises=normed) if can[kind] else 0


def _fitting(found: Sequence[float], *, raises: bool) -> int:
    """Return the power of two that brings the largest values of tensors into half precision.

    Tiny numbers are raised only where a norm follows: elsewhere they are added to larger ones.
    """
    values = [value for value in found if 0 < value < math.inf]
    if not values:
        return 0
    room = math.floor(math.log2(_ROOM / max(values)))
    if room < 0:
        return max(room, -MOST_POWER)
    low = min(values)
    return min(room, -math.floor(math.log2(low)), MOST_POWER) if raises and low < _FLOOR else 0


def with_factors(original: Original, stream: float, powers: Mapping[str, int]) -> Original:
    """Return the same model with other factors of its states and of numbers inside layers.

    Args:
        original: The model.
        stream: See `EncoderSpec.stream`.
        powers: See `EncoderSpec.powers`.
    """
    before, encoder = original.network, replace(original.encoder, stream=stream, powers=powers)
    after = network_of(encoder)
    if after == before:
        return original
    tensors = LazyTensors(original.tensors)
    for name in original.tensors:
        ratio = factor_of(after, name) / factor_of(before, name)
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
