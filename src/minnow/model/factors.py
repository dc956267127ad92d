"""Factors of a network's numbers, powers of two, which round nothing: where they go in and out."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from minnow.model.network import Network, Norm, RmsNorm

    AnyNorm = TypeVar("AnyNorm", RmsNorm, Norm | None)

SCORES, VALUES, UNITS, WORDS_UNITS = "scores", "value", "units", "words_units"
SCALABLE = {
    VALUES: ("value", "attention_output", "attention_end_norm"),
    UNITS: ("inner", "output", "output_end_norm"),
    WORDS_UNITS: ("words_norm", "words_output", "words"),
}
"""Numbers inside a layer -> the module that makes multiples of them, the matrix behind them, and
what holds the norm behind that, if there is one. The matrix takes a factor out again, or the norm,
which has an eps to match."""


def is_scalable(name: str, layers: int) -> bool:
    """Return whether a name such as "layer.3.units" is of numbers that may have a power."""
    return name in {f"layer.{i}.{kind}" for i in range(layers) for kind in (SCORES, *SCALABLE)}


def factor_of(network: Network, name: str) -> float:
    """Return by what a tensor of the checkpoint is multiplied when it is read.

    It makes the words, and what each part of a layer adds to the states, smaller or larger.

    Args:
        network: The network.
        name: Our name of the tensor.
    """
    if name == "embeddings.word":
        return network.words.scale * network.stream
    if not name.startswith("layer."):
        return 1.0
    _, layer, module, *_ = name.split(".")
    block = network.blocks[int(layer)]
    attention = "attention_end_norm" if block.attention_end_norm else "attention_output"
    output = "output_end_norm" if block.output_end_norm else "output"
    if module == "words_gate":  # it reads the states without a norm
        return 1 / network.stream
    by = network.stream if module in (attention, output, "words_end_norm") else 1.0
    if module == ("query_norm" if block.attention.norm else "query"):
        by *= block.power(SCORES)
    for kind, (before, behind, norm) in SCALABLE.items():
        if module == before:
            by *= block.power(kind)
        elif name.endswith(f".{behind}.weight") and getattr(block, norm, None) is None:
            by /= block.power(kind)
    return by


def noted_factor(network: Network, name: str) -> float:
    """Return by what a network multiplies a tensor that `Magnitudes` recorded."""
    if is_state(name) or name.endswith(".words_inner"):
        return network.stream
    _, layer, noted = name.split(".")
    block = network.blocks[int(layer)]
    for kind, (before, behind, norm) in SCALABLE.items():
        if noted in (kind, before) or (noted == behind and getattr(block, norm)):
            return block.power(kind)
    asks = noted == SCORES or (noted == "query" and block.attention.norm is None)
    return block.power(SCORES) if asks else 1.0


def is_state(name: str) -> bool:
    """Return whether a tensor is the states, or what is added to them."""
    return name.rsplit(".", 1)[1] in ("states", "added")


def scale_stream(network: Network, stream: float) -> Network:
    """Describe the same network with another factor of the states between its layers.

    Args:
        network: A network of RMS norms before each part of a layer and at the end.
        stream: The factor.
    """
    by = (stream / network.stream) ** 2

    def scaled(norm: AnyNorm) -> AnyNorm:
        return replace(norm, eps=norm.eps * by) if norm else norm

    blocks = tuple(
        replace(
            block,
            attention_norm=scaled(block.attention_norm),
            output_norm=scaled(block.output_norm),
            words=block.words and replace(block.words, norm=scaled(block.words.norm)),
        )
        for block in network.blocks
    )
    return replace(network, blocks=blocks, final_norm=scaled(network.final_norm), stream=stream)


def scale_parts(network: Network, powers: Mapping[str, int]) -> Network:
    """Describe the same network with other powers of two of numbers inside its layers.

    Args:
        network: A network whose layers have none.
        powers: "layer.3.units" -> the power.
    """

    def end(norm: AnyNorm, power: float) -> AnyNorm:
        return replace(norm, eps=norm.eps * power**2) if norm else norm

    blocks = []
    for i, block in enumerate(network.blocks):
        own = {kind: powers.get(f"layer.{i}.{kind}", 0) for kind in (SCORES, *SCALABLE)}
        block = replace(block, powers=tuple((kind, n) for kind, n in own.items() if n))
        words, scale = block.words, block.attention.scale / block.power(SCORES)
        blocks.append(
            replace(
                block,
                attention=replace(block.attention, scale=scale),
                attention_end_norm=end(block.attention_end_norm, block.power(VALUES)),
                output_end_norm=end(block.output_end_norm, block.power(UNITS)),
                words=words
                and replace(words, end_norm=end(words.end_norm, block.power(WORDS_UNITS))),
            )
        )
    return replace(network, blocks=tuple(blocks))
