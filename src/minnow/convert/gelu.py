"""MNN's fast GELU: in the model that a proof computes, and in biases that take out its mean error.

MNN's polynomials are off by up to 5e-4, and mostly in one direction for the inputs that a unit
gets: this costs a float16 model far more than the rounding of its weights. What a unit is off by on
average can be subtracted beforehand. The average needs no text: the input comes from a norm, so
that its mean and its variance are known; it is taken for normally distributed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.model.formulas import activate
from minnow.model.network import LayerNorm, Placement
from minnow.model.spec import Activation
from minnow.records import replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from minnow.model.network import Block, Network
    from minnow.model.original import Original
    from minnow.recipe import Recipe

    Tensors = Mapping[str, NDArray[np.float32]]

_APPROXIMATED = (Activation.GELU, Activation.GELU_TANH)
_POINTS, _SHARES = np.polynomial.hermite_e.hermegauss(32)


def stored_model(original: Original, tensors: Tensors, recipe: Recipe) -> Original:
    """Return a model as its encoder computes it: with the numbers stored, and by MNN's GELU.

    Args:
        original: The model.
        tensors: The tensors with the numbers that the encoder stores.
        recipe: Whether GELU is exact.
    """
    encoder = original.encoder
    if not recipe.exact_gelu and encoder.activation in _APPROXIMATED:
        encoder = replace(encoder, activation=Activation.GELU_QUOTIENT)
    return replace(original, encoder=encoder, tensors=tensors)


def corrected_biases(network: Network, tensors: Tensors) -> dict[str, NDArray[np.float32]]:
    """Return the biases of the matrices behind a GELU, less what its mean error adds to them.

    Feed-forward parts with a gate, without a norm before them or without a last bias are left out.

    Args:
        network: The network.
        tensors: Its tensors.

    Returns:
        The new biases by name, float32 of shape (width,).
    """
    biases = {}
    for i, block in enumerate(network.blocks):
        part, name = block.feed_forward, f"layer.{i}"
        errors = None if part.gated or not part.output_bias else _mean_errors(block, name, tensors)
        if errors is not None:
            bias = tensors[f"{name}.output.bias"] - tensors[f"{name}.output.weight"] @ errors
            biases[f"{name}.output.bias"] = bias.astype(np.float32)
    return biases


def _mean_errors(block: Block, name: str, tensors: Tensors) -> NDArray[np.float64] | None:
    """Return the mean error of each unit, float64 of shape (units,); None where it has none."""
    before = block.placement is Placement.PRE
    norm = block.output_norm if before else block.attention_norm
    activation = block.feed_forward.activation
    if norm is None or activation not in _APPROXIMATED:
        return None
    named = f"{name}.{'output' if before else 'attention'}_norm"
    weight = tensors[f"{name}.inner.weight"].astype(np.float64)
    deviations = np.linalg.norm(weight * tensors[f"{named}.weight"], axis=1)
    means = np.zeros(len(weight))
    if isinstance(norm, LayerNorm) and norm.bias:
        means += weight @ tensors[f"{named}.bias"]
    if block.feed_forward.bias:
        means += tensors[f"{name}.inner.bias"]
    inputs = means[:, None] + deviations[:, None] * _POINTS
    shares = _SHARES / _SHARES.sum()
    errors: NDArray[np.float64] = (
        activate(inputs, Activation.GELU_QUOTIENT) - activate(inputs, activation)
    ) @ shares
    return errors
