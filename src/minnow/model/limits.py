"""Ranges of the numbers in a model's specs: what no network and no limit can be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from minnow.model.factors import is_scalable
from minnow.model.head import LayerKind
from minnow.model.spec import STATIC

if TYPE_CHECKING:
    from minnow.model.spec import EmbeddingSpec, EncoderSpec

MOST_POWER = 64
"""The largest exponent of the powers of two that a conversion multiplies numbers by."""
LARGEST = 2**31 - 1
"""Shapes and ids are int32 in MNN."""

_COUNTS = ("vocab_size", "width", "layers", "heads", "inner_width", "positions")


def spec_faults(encoder: EncoderSpec, embedding: EmbeddingSpec) -> list[str]:
    """Describe the numbers of specs that are out of range; none if there are none."""
    counts = [name for name in _COUNTS if name != "layers" or encoder.family != STATIC]
    numbers = {name: getattr(encoder, name) for name in counts}
    faults = [
        f"{name} is {value}, not 1 to {LARGEST}"
        for name, value in numbers.items()
        if not 1 <= value <= LARGEST
    ]
    if faults:
        return faults
    ranges = {
        "pad_token_id": (encoder.pad_token_id, 0, encoder.vocab_size - 1),
        "position_offset": (encoder.position_offset, 0, encoder.positions - 1),
        "token_types": (encoder.token_types, 0, LARGEST),
        "layer_norm_eps": (encoder.layer_norm_eps, 0, 1),
        "max_tokens": (embedding.max_tokens, 1, max(encoder.max_positions, 1)),
    }
    if embedding.truncate_dim is not None:
        ranges["truncate_dim"] = (
            embedding.truncate_dim,
            1,
            embedding.head.widths(encoder.width)[-1],
        )
    for i, (layer, width) in enumerate(
        zip(embedding.layers, embedding.head.widths(encoder.width), strict=False)
    ):
        ranges[f"layers[{i}].width"] = (layer.width, 1, LARGEST)
        if layer.kind is not LayerKind.DENSE and layer.width != width:
            faults.append(f"layers[{i}].width is {layer.width}, not {width}, that of its input")
    for i, number in enumerate(embedding.unpooled_ids):
        ranges[f"unpooled_ids[{i}]"] = (number, 0, encoder.vocab_size - 1)
    if encoder.family == STATIC and encoder.layers:
        faults.append(f"layers is {encoder.layers}, but a static model has none")
    if encoder.width % encoder.heads:
        faults.append(f"heads is {encoder.heads}, which does not divide width, {encoder.width}")
    stream = encoder.stream
    if not (2.0**-MOST_POWER <= stream <= 2.0**MOST_POWER and math.frexp(stream)[0] == 0.5):
        faults.append(f"stream is {stream}, not a power of two")
    faults += [
        f"powers of {name} is {power}"
        for name, power in encoder.powers.items()
        if not is_scalable(name, encoder.layers) or not 0 < abs(power) <= MOST_POWER
    ]
    return faults + [
        f"{name} is {value}, not {least} to {most}"
        for name, (value, least, most) in ranges.items()
        if not least <= value <= most
    ]
