"""Rounding a network's weights layer by layer, each to make up for what those before it lost.

Two passes go over the calibration text side by side: the model as published, and the one that is
being rounded. Each matrix is first replaced by the one that, on the rounded pass's inputs, comes
nearest to the published pass's outputs (least squares); then it is rounded so that errors make up
for each other; then its bias takes up the mean of what is left. Where a residual is added, its
difference counts as part of the output.

Both passes begin with the published tables. Matrices that make up for the rounding of a word table
make up for that of the words in the calibration text, and lose on all others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minnow.convert.rounding import round_weight
from minnow.errors import MissingExtraError
from minnow.model.spec import Activation, EncoderSpec

if TYPE_CHECKING:
    from collections.abc import Callable

    from minnow.recipe import Grid

Floats = NDArray[np.float32]
Tensors = dict[str, Floats]

DAMPING = 0.3
"""Added to the second moments, in parts of their mean: text of another kind is served too."""


def round_network(
    spec: EncoderSpec,
    tensors: Mapping[str, Floats],
    rows: Sequence[Sequence[int]],
    grid_of: Callable[[str], Grid],
    progress: Callable[[str], None] = lambda _: None,
) -> Tensors:
    """Round all matrices of the layers.

    Args:
        spec: The network.
        tensors: Its tensors as published.
        rows: Token ids of the calibration texts, special tokens included.
        grid_of: The grid of a matrix, by the name of its linear layer ("layer.0.query").
        progress: Told each layer.

    Returns:
        All tensors, the matrices rounded, the biases corrected.

    Raises:
        MissingExtraError: The extra `convert` (scipy) is not installed.
    """
    rounded = dict(tensors)
    published = _Pass(spec, tensors, rows)
    candidate = _Pass(spec, rounded, rows)
    for i in range(spec.layers):
        progress(f"rounding layer {i + 1} of {spec.layers}")
        _round_layer(f"layer.{i}", published, candidate, rounded, grid_of)
    return rounded


def _round_layer(
    layer: str,
    published: _Pass,
    candidate: _Pass,
    rounded: Tensors,
    grid_of: Callable[[str], Grid],
) -> None:
    def fit(part: str, target: Floats, given: Floats, moment: _Moment) -> None:
        name = f"{layer}.{part}"
        _fit(name, target, given, moment, rounded, grid_of(name))

    def add(part: str, norm: str, wanted: Floats, given: Floats) -> None:
        product = published.linear(wanted, f"{layer}.{part}")
        fit(part, product + (published.states - candidate.states), given, _Moment.of(given))
        published.add(product, f"{layer}.{norm}")
        candidate.add(candidate.linear(given, f"{layer}.{part}"), f"{layer}.{norm}")

    parts = ("query", "key", "value")
    targets = [published.linear(published.states, f"{layer}.{part}") for part in parts]
    moment = _Moment.of(candidate.states)
    for part, target in zip(parts, targets, strict=True):
        fit(part, target, candidate.states, moment)
    mixed = candidate.attend(
        *(candidate.linear(candidate.states, f"{layer}.{part}") for part in parts)
    )
    add("attention_output", "attention_norm", published.attend(*targets), mixed)
    target = published.linear(published.states, f"{layer}.inner")
    fit("inner", target, candidate.states, _Moment.of(candidate.states))
    inner = candidate.activate(candidate.linear(candidate.states, f"{layer}.inner"))
    add("output", "output_norm", published.activate(target), inner)


@dataclass(frozen=True)
class _Moment:
    """Mean and damped second moment about it of the inputs of a matrix."""

    mean: Floats
    centred: Floats
    second: NDArray[np.float64]

    @classmethod
    def of(cls, inputs: Floats) -> _Moment:
        mean = inputs.mean(0, dtype=np.float64).astype(np.float32)
        centred = inputs - mean
        second = (centred.T @ centred).astype(np.float64) / len(inputs)
        damping = DAMPING * np.diag(second).mean() + np.finfo(np.float32).tiny
        return cls(mean, centred, second + damping * np.eye(len(second)))


def _fit(
    name: str, target: Floats, given: Floats, moment: _Moment, rounded: Tensors, grid: Grid
) -> None:
    """Round one matrix and set its bias; `rounded` gets both."""
    from scipy.linalg import cho_factor, cho_solve

    weight, bias = rounded[f"{name}.weight"], rounded[f"{name}.bias"]
    missing = target - (given @ weight.T + bias)
    missing -= missing.mean(0)
    cross = (moment.centred.T @ missing).astype(np.float64) / len(given)
    weight = weight + cho_solve(cho_factor(moment.second), cross).T.astype(np.float32)
    weight = round_weight(weight, grid, moment.second)
    rounded[f"{name}.weight"] = weight
    wanted = target.mean(0, dtype=np.float64)
    rounded[f"{name}.bias"] = (wanted - weight @ moment.mean).astype(np.float32)


@dataclass
class _Pass:
    """A forward pass over all tokens of all texts at once; `states` is where it has come to."""

    spec: EncoderSpec
    tensors: Mapping[str, Floats]
    rows: Sequence[Sequence[int]]
    states: Floats = field(init=False)

    def __post_init__(self) -> None:
        spec, tensors = self.spec, self.tensors
        ids = np.concatenate([np.asarray(row) for row in self.rows])
        positions = np.concatenate([np.arange(len(row)) for row in self.rows])
        states = tensors["embeddings.word"][ids]
        states = states + tensors["embeddings.position"][spec.position_offset :][positions]
        if spec.token_types:
            states = states + tensors["embeddings.token_type"][0]
        self.states = self._norm(states, "embeddings.norm")
        self._ends = np.cumsum([len(row) for row in self.rows])

    def linear(self, inputs: Floats, name: str) -> Floats:
        product: Floats = inputs @ self.tensors[f"{name}.weight"].T
        product += self.tensors[f"{name}.bias"]
        return product

    def attend(self, query: Floats, key: Floats, value: Floats) -> Floats:
        """What the heads give, before the output's matrix: float32 of shape (tokens, width)."""
        heads, width = self.spec.heads, self.spec.width
        mixed = np.empty_like(query)
        start = 0
        for end in self._ends:
            q, k, v = (
                part[start:end].reshape(end - start, heads, width // heads).swapaxes(0, 1)
                for part in (query, key, value)
            )
            scores = q @ k.swapaxes(1, 2) * np.float32((width // heads) ** -0.5)
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            weights /= weights.sum(-1, keepdims=True)
            mixed[start:end] = (weights @ v).swapaxes(0, 1).reshape(end - start, width)
            start = end
        return mixed

    def activate(self, inner: Floats) -> Floats:
        """What comes between the two matrices of the feed-forward part."""
        return _activate(inner, self.spec.activation)

    def add(self, product: Floats, norm: str) -> None:
        """Go on: add what a linear layer gave to the states, and normalise."""
        self.states = self._norm(self.states + product, norm)

    def _norm(self, states: Floats, name: str) -> Floats:
        centred = states - states.mean(-1, keepdims=True)
        variance = (centred**2).mean(-1, keepdims=True)
        centred /= np.sqrt(variance + np.float32(self.spec.layer_norm_eps))
        normed: Floats = centred * self.tensors[f"{name}.weight"] + self.tensors[f"{name}.bias"]
        return normed


def _activate(x: Floats, activation: Activation) -> Floats:
    if activation is Activation.RELU:
        return np.maximum(x, np.float32(0))
    try:
        from scipy.special import erf
    except ImportError as error:
        raise MissingExtraError("Calibration", "convert") from error
    half = np.float32(0.5)
    if activation is Activation.GELU_TANH:
        cubic = np.float32((2 / np.pi) ** 0.5) * (x + np.float32(0.044715) * x**3)
        gate: Floats = np.tanh(cubic)
        return x * half * (1 + gate)
    gelu: Floats = x * half * (1 + erf(x * np.float32(0.5**0.5)))
    return gelu
