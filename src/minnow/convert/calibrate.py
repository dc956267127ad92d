"""Rounding of a network, layer by layer; each matrix compensates for the error before it.

Two passes read the calibration text side by side: one of the published model, one of the rounded
model. A matrix is first replaced by the one that, on the rounded pass's inputs, comes nearest to
the published pass's outputs (least squares). It is then rounded so that its errors cancel each
other, and its bias takes up the mean of the remaining error; a matrix without a bias gets one.
Where a residual is added, its difference counts as part of the output.

Both passes start from the published tables. Matrices that compensate for a rounded word table would
compensate for the words of the calibration text only, and make all others worse.

A matrix of 8 bits that reads the states is rounded as the engine will hold it, divided by the
multipliers of its inputs (`minnow.convert.multipliers`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minnow.convert.multipliers import choose_multipliers
from minnow.convert.rounding import RoundedMatrix, SecondMoment, round_matrix
from minnow.graph.multiplied import Multiplied, input_name
from minnow.model.attention import attend, convolve, relative_bias
from minnow.model.checkpoint import OUTPUT_PROJECTION, PROJECTION
from minnow.model.formulas import (
    activate,
    embed,
    multiply,
    normalize_heads,
    normalize_layer,
    normalize_values,
    places_of,
    states_by_distance,
)
from minnow.model.network import Placement
from minnow.model.tensors import LazyTensors

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from minnow.model.network import Block, FeedForward, Network, Norm, WordsPart
    from minnow.recipe import Grid

Floats = NDArray[np.float32]
DAMPING = 0.3
"""Added to the second moments, as a share of their mean: keeps weights from fitting one text."""

MULTIPLIED_BITS = 8
"""Bits of the matrices whose inputs the graph multiplies: matrices of fewer bits lose more by their
own rounding than by that of inputs."""
_ONE = np.ones(1, np.float32)


def round_network(
    network: Network,
    tensors: Mapping[str, Floats],
    rows: Sequence[Sequence[int]],
    grid_of: Callable[[str], Grid],
    progress: Callable[[str], None] = lambda _: None,
    types: Sequence[Sequence[int]] = (),
) -> tuple[LazyTensors, Multiplied]:
    """Round all matrices of the layers.

    Args:
        network: The network.
        tensors: Its tensors as published.
        rows: Token ids of the calibration texts, special tokens included.
        grid_of: The grid of a matrix, by the name of its linear layer ("layer.0.query").
        progress: Receives a line of text before each layer.
        types: Token types of the rows, where they are pairs; empty where all are 0.

    Returns:
        All tensors, the matrices rounded, the biases corrected; and the matrices of multiplied
        inputs, divided.

    Raises:
        MissingExtraError: The extra `convert` (scipy) is not installed.
    """
    rounded, multiplied = LazyTensors(tensors), Multiplied()
    published = _Pass(network, tensors, rows, types)
    candidate = _Pass(network, rounded, rows, types)
    if network.words.width:
        _fit_projection(PROJECTION, published, candidate, rounded, grid_of)
        published.words, candidate.words = published.states, candidate.states
    for i, block in enumerate(network.blocks):
        progress(f"rounding layer {i + 1} of {len(network.blocks)}")
        _round_block(block, f"layer.{i}", published, candidate, rounded, multiplied, grid_of)
    if network.projection:
        for each in (published, candidate):
            each.states = normalize_layer(each.states, network.final_norm, "final_norm", tensors)
        _fit_projection(OUTPUT_PROJECTION, published, candidate, rounded, grid_of)
    return rounded, multiplied


def _fit_projection(
    name: str,
    published: _Pass,
    candidate: _Pass,
    rounded: LazyTensors,
    grid_of: Callable[[str], Grid],
) -> None:
    """Round a matrix that makes states of states, without a residual."""
    given = candidate.states
    target = published.linear(published.states, name)
    _fit(name, target, given, _Inputs.of(given), rounded, grid_of(name))
    published.states, candidate.states = target, candidate.linear(given, name)


def _round_block(
    block: Block,
    name: str,
    published: _Pass,
    candidate: _Pass,
    rounded: LazyTensors,
    multiplied: Multiplied,
    grid_of: Callable[[str], Grid],
) -> None:
    def fit(part: str, target: Floats, given: Floats, inputs: _Inputs) -> RoundedMatrix:
        matrix = f"{name}.{part}"
        return _fit(matrix, target, given, inputs, rounded, grid_of(matrix))

    def add(
        part: str, norms: tuple[Norm | None, Norm | None], wanted: Floats, given: Floats
    ) -> None:
        product = target = published.linear(wanted, f"{name}.{part}")
        if norms[1] is None:  # what is added makes up for the states before it
            target = product + (published.states - candidate.states)
        fit(part, target, given, _Inputs.of(given))
        stem = f"{name}.{part.removesuffix('_output')}"
        published.add(product, block, norms, stem)
        candidate.add(candidate.linear(given, f"{name}.{part}"), block, norms, stem)

    def round_inputs(
        parts: tuple[str, ...], norm: Norm | None, named: str, weighed: tuple[str, ...]
    ) -> tuple[list[Floats], list[Floats]]:
        """Round the matrices that read the states; return their published and rounded outputs.

        Where the states are multiplied, the matrices of the `weighed` parts decide by what.
        """
        wanted = published.normed(block, norm, f"{name}.{named}")
        given = candidate.normed(block, norm, f"{name}.{named}")
        targets = [published.linear(wanted, f"{name}.{part}") for part in parts]
        first = f"{name}.{parts[0]}"
        grid, by = grid_of(first), _ONE
        multiplies = grid.bits == MULTIPLIED_BITS
        if multiplies:
            weights = np.concatenate([rounded[f"{name}.{part}.weight"] for part in weighed])
            by = choose_multipliers(given, weights, grid.block_in(given.shape[1]))
            multiplied.inputs[input_name(first)] = by
        inputs = _Inputs.of(given, by)
        for part, target in zip(parts, targets, strict=True):
            divided = fit(part, target, given, inputs)
            if multiplies:
                multiplied.weights.put(f"{name}.{part}", divided.values)
        return targets, [candidate.linear(given, f"{name}.{part}") for part in parts]

    norm = block.attention_norm
    targets, found = round_inputs(("query", "key", "value"), norm, "attention_norm", ("value",))
    mixed = published.attend(targets, block, name), candidate.attend(found, block, name)
    add("attention_output", (norm, block.attention_end_norm), mixed[0], mixed[1])
    norm, part = block.output_norm, block.feed_forward
    units = ("gate", "inner") if part.gated else ("inner",)
    targets, found = round_inputs(units, norm, "output_norm", units)
    wanted = _units(targets, part)
    del targets  # these are the largest arrays of all: no two pairs of them at once
    given = _units(found, part)
    del found
    add("output", (norm, block.output_end_norm), wanted, given)
    if block.words:
        gates = published.linear(published.states, f"{name}.words_gate")
        fit("words_gate", gates, candidate.states, _Inputs.of(candidate.states))
        inner = published.linear(published.words, f"{name}.words_inner")
        fit("words_inner", inner, candidate.words, _Inputs.of(candidate.words))
        wanted, given = (each.choose(block.words, name) for each in (published, candidate))
        add("words_output", (None, block.words.end_norm), wanted, given)
    for each in (published, candidate):
        each.scale(block, name)


def _units(outputs: Sequence[Floats], part: FeedForward) -> Floats:
    """Return the units of a feed-forward part, given the outputs of its first matrices."""
    activated = activate(outputs[0], part.activation)
    return activated * outputs[1] if part.gated else activated


@dataclass(frozen=True)
class _Inputs:
    """What matrices of the same inputs share: the inputs about their mean, and moments of them.

    All but the multipliers are of the multiplied inputs.
    """

    mean: Floats
    centred: Floats
    moment: SecondMoment
    multipliers: Floats

    @classmethod
    def of(cls, inputs: Floats, multipliers: Floats = _ONE) -> _Inputs:
        """Multiply and measure inputs; the second moment is damped."""
        mean = inputs.mean(0, dtype=np.float64).astype(np.float32)
        centred = inputs - mean
        centred *= multipliers
        second = (centred.T @ centred).astype(np.float64) / len(inputs)
        damping = DAMPING * np.diag(second).mean() + np.finfo(np.float32).tiny
        moment = SecondMoment(second + damping * np.eye(len(second)))
        return cls(mean * multipliers, centred, moment, multipliers)

    @cached_property
    def factor(self) -> tuple[NDArray[np.float64], bool]:
        """Cholesky's factor of the moment."""
        from scipy.linalg import cho_factor

        factor: tuple[NDArray[np.float64], bool] = cho_factor(self.moment.matrix)
        return factor


def _fit(
    name: str, target: Floats, given: Floats, inputs: _Inputs, rounded: LazyTensors, grid: Grid
) -> RoundedMatrix:
    """Round one matrix and set its bias, both in `rounded`.

    Returns:
        The matrix, divided by the multipliers of its inputs.
    """
    from scipy.linalg import cho_solve

    weight = rounded[f"{name}.weight"]
    missing = target - multiply(given, name, rounded)
    missing -= missing.mean(0)
    cross = (inputs.centred.T @ missing).astype(np.float64) / len(given)
    weight = weight / inputs.multipliers + cho_solve(inputs.factor, cross).T.astype(np.float32)
    matrix = round_matrix(weight, grid, inputs.moment)
    multipliers = inputs.multipliers  # alone: `inputs` would be kept with all tokens' numbers
    rounded.put(f"{name}.weight", lambda: matrix.values() * multipliers)
    wanted = target.mean(0, dtype=np.float64)
    bias = (wanted - matrix.values() @ inputs.mean).astype(np.float32)
    rounded.put(f"{name}.bias", lambda: bias)
    return matrix


class _Pass:
    """A forward pass over all tokens of all texts at once, as far as `states`."""

    def __init__(
        self,
        network: Network,
        tensors: Mapping[str, Floats],
        rows: Sequence[Sequence[int]],
        types: Sequence[Sequence[int]],
    ) -> None:
        self.tensors = tensors
        ids = np.concatenate([np.asarray(row) for row in rows])
        places = np.concatenate([places_of(row, network) for row in rows])
        kinds = [kind for row in types for kind in row]
        self.states = self.words = embed(ids, places, network, tensors, kinds)
        self._ends = np.cumsum([len(row) for row in rows])
        self._network = network

    def linear(self, inputs: Floats, name: str) -> Floats:
        return multiply(inputs, name, self.tensors)

    def attend(self, parts: Sequence[Floats], block: Block, name: str) -> Floats:
        """Mix the values of each text, given queries, keys and values of all texts."""
        texts = zip(*(np.split(part, self._ends[:-1]) for part in parts), strict=True)
        needed = (
            f"{name}.query",
            f"{name}.key",
            f"{name}.convolution",
            "relative_bias",
            "distances.",
        )
        tensors = {  # read once, not again for each text
            our: self.tensors[our] for our in self.tensors if our.startswith(needed)
        }
        mixed = []
        convolution = block.attention.convolution
        for query, key, value in texts:
            if convolution:
                weight = tensors[f"{name}.convolution.weight"]
                mixed.append(convolve(query, key, value, convolution, weight))
                continue
            query, key = (
                normalize_heads(x, block.attention, f"{name}.{part}_norm", tensors)
                for part, x in (("query", query), ("key", key))
            )
            bias = relative_bias(len(query), self._network.relative, tensors)
            distances = states_by_distance(len(query), self._network, name, tensors)
            value = normalize_values(value, block.attention)
            mixed.append(attend(query, key, value, block.attention, bias, distances))
        return np.concatenate(mixed)

    def normed(self, block: Block, norm: Norm | None, name: str) -> Floats:
        """Return the input of a part of the block: the states, normalised in a pre-norm block."""
        if block.placement is Placement.PRE:
            return normalize_layer(self.states, norm, name, self.tensors)
        return self.states

    def choose(self, part: WordsPart, name: str) -> Floats:
        """Return the units of a layer's third part."""
        gate = activate(self.linear(self.states, f"{name}.words_gate"), part.activation)
        words = self.linear(self.words, f"{name}.words_inner")
        return gate * normalize_layer(words, part.norm, f"{name}.words_norm", self.tensors)

    def scale(self, block: Block, name: str) -> None:
        """Multiply the states as the layer does at its end."""
        if block.scaled:
            self.states = self.states * self.tensors[f"{name}.scale"]

    def add(
        self, product: Floats, block: Block, norms: tuple[Norm | None, Norm | None], stem: str
    ) -> None:
        """Add a part's output to the states, and normalise them in a post-norm block.

        Args:
            product: The output.
            block: The layer.
            norms: The norm of the part, and that of its output.
            stem: Their names, without `_norm` and `_end_norm`.
        """
        added = normalize_layer(product, norms[1], f"{stem}_end_norm", self.tensors)
        self.states = self.states + added
        if block.placement is Placement.POST:
            self.states = normalize_layer(self.states, norms[0], f"{stem}_norm", self.tensors)
