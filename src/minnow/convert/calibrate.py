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

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minnow.convert.multipliers import choose_multipliers
from minnow.convert.rounding import RoundedMatrix, SecondMoment, round_matrix
from minnow.graph.multiplied import Multiplied, input_name
from minnow.model.attention import attend, convolve, relative_bias
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
from minnow.model.network import Block, Norm, Placement
from minnow.model.parameters import OUTPUT_PROJECTION, PROJECTION
from minnow.model.tensors import LazyTensors
from minnow.recipe import Grid

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from minnow.model.network import FeedForward, Network, WordsPart

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
    passes = _Passes(
        _Pass(network, tensors, rows, types), _Pass(network, rounded, rows, types),
        rounded, multiplied, grid_of,
    )  # fmt: skip
    published, candidate = passes.published, passes.candidate
    if network.words.width:
        passes.project(PROJECTION)
        published.words, candidate.words = published.states, candidate.states
    for i, block in enumerate(network.blocks):
        progress(f"rounding layer {i + 1} of {len(network.blocks)}")
        _round_block(passes, block, f"layer.{i}")
    if network.projection:
        for each in (published, candidate):
            each.states = normalize_layer(each.states, network.final_norm, "final_norm", tensors)
        passes.project(OUTPUT_PROJECTION)
    return rounded, multiplied


def _round_block(passes: _Passes, block: Block, name: str) -> None:
    """Round a layer's matrices, and take both passes through it."""
    published, candidate = passes.published, passes.candidate
    norm = block.attention_norm
    wanted, given = passes.round_inputs(
        _Reading(block, norm, f"{name}.attention_norm", name, ("query", "key", "value"), ("value",))
    )
    mixed = published.attend(wanted, block, name), candidate.attend(given, block, name)
    passes.add(block, (norm, block.attention_end_norm), f"{name}.attention_output", *mixed)
    norm, part = block.output_norm, block.feed_forward
    units = ("gate", "inner") if part.gated else ("inner",)
    wanted, given = passes.round_inputs(
        _Reading(block, norm, f"{name}.output_norm", name, units, units)
    )
    wanted_units = _units(wanted, part)
    del wanted  # these are the largest arrays of all: no two pairs of them at once
    given_units = _units(given, part)
    del given
    passes.add(block, (norm, block.output_end_norm), f"{name}.output", wanted_units, given_units)
    if block.words:
        passes.fit(f"{name}.words_gate", published.states, candidate.states)
        passes.fit(f"{name}.words_inner", published.words, candidate.words)
        chosen = published.choose(block.words, name), candidate.choose(block.words, name)
        passes.add(block, (None, block.words.end_norm), f"{name}.words_output", *chosen)
    for each in (published, candidate):
        each.scale(block, name)


@dataclass(frozen=True)
class _Reading:
    """Matrices of a layer that read its states.

    Attributes:
        block: The layer.
        norm: What normalises the states first, in a pre-norm layer.
        norm_name: Its name.
        name: The layer's name.
        parts: The matrices.
        weighed: Those that decide by what the states are multiplied, where they are.
    """

    block: Block
    norm: Norm | None
    norm_name: str
    name: str
    parts: tuple[str, ...]
    weighed: tuple[str, ...]


@dataclass(frozen=True)
class _Passes:
    """The passes of the published and the rounded model, at the same layer, and what is rounded."""

    published: _Pass
    candidate: _Pass
    rounded: LazyTensors
    multiplied: Multiplied
    grid_of: Callable[[str], Grid]

    def fit(self, name: str, wanted: Floats, given: Floats) -> Floats:
        """Round a matrix, given its inputs in both passes; return its published output."""
        target = self.published.linear(wanted, name)
        _fit(name, target, given, _Inputs.of(given), self.rounded, self.grid_of(name))
        return target

    def project(self, name: str) -> None:
        """Round a matrix that makes states of states, without a residual."""
        given = self.candidate.states
        self.published.states = self.fit(name, self.published.states, given)
        self.candidate.states = self.candidate.linear(given, name)

    def add(
        self,
        block: Block,
        norms: tuple[Norm | None, Norm | None],
        name: str,
        wanted: Floats,
        given: Floats,
    ) -> None:
        """Round the matrix at the end of a part, and add its output to the states of both passes.

        Args:
            block: The layer.
            norms: The norm of the part, and that of its output.
            name: The matrix.
            wanted: Its inputs in the published pass.
            given: Its inputs in the rounded pass.
        """
        product = target = self.published.linear(wanted, name)
        if norms[1] is None:  # what is added makes up for the states before it
            target = product + (self.published.states - self.candidate.states)
        _fit(name, target, given, _Inputs.of(given), self.rounded, self.grid_of(name))
        stem = name.removesuffix("_output")
        self.published.add(product, block, norms, stem)
        self.candidate.add(self.candidate.linear(given, name), block, norms, stem)

    def round_inputs(self, reading: _Reading) -> tuple[list[Floats], list[Floats]]:
        """Round the matrices that read the states; return their published and rounded outputs."""
        published, candidate, rounded = self.published, self.candidate, self.rounded
        names = [f"{reading.name}.{part}" for part in reading.parts]
        wanted = published.normed(reading.block, reading.norm, reading.norm_name)
        given = candidate.normed(reading.block, reading.norm, reading.norm_name)
        targets = [published.linear(wanted, name) for name in names]
        grid, by = self.grid_of(names[0]), _ONE
        multiplies = grid.bits == MULTIPLIED_BITS
        if multiplies:
            weighed = [rounded[f"{reading.name}.{part}.weight"] for part in reading.weighed]
            by = choose_multipliers(given, np.concatenate(weighed), grid.block_in(given.shape[1]))
            self.multiplied.inputs[input_name(names[0])] = by
        inputs = _Inputs.of(given, by)
        for name, target in zip(names, targets, strict=True):
            divided = _fit(name, target, given, inputs, rounded, self.grid_of(name))
            if multiplies:
                self.multiplied.weights.put(name, divided.values)
        return targets, [candidate.linear(given, name) for name in names]


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
