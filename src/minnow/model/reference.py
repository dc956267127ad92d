"""The yardstick: a network and its head in NumPy, as plainly as the papers write them.

One text at a time, no padding, no mask, no batch, float64: nothing here is shared with the graph,
the converter or the engine that it judges.

Source: Vaswani et al., "Attention Is All You Need" (2017), sections 3.1 to 3.3, with GELU
(Hendrycks & Gimpel, 2016) and learned positions as in Devlin et al., "BERT" (2018); for norms
before a part, Xiong et al., "On Layer Normalization in the Transformer Architecture" (2020); for
RMS norms, Zhang & Sennrich (2019); for rotations, Su et al., "RoFormer" (2021); for buckets of
distances, Raffel et al., "T5" (2020); for shared heads, Ainslie et al., "GQA" (2023).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minnow.model.attention import (
    attend,
    attention_memory,
    convolve,
    relative_bias,
)
from minnow.model.formulas import (
    activate,
    embed,
    give_states,
    import_erf,
    multiply,
    normalize_heads,
    normalize_layer,
    normalize_values,
    places_of,
    project,
    states_by_distance,
)
from minnow.model.head import LayerActivation, LayerKind
from minnow.model.network import Block, LayerNorm, Network, Placement
from minnow.model.spec import Activation
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from minnow.model.head import Head, Layer
    from minnow.model.network import Attention, Convolution, Norm

    Apply = Callable[
        [Callable[[tuple["Doubles", "Doubles"]], "Doubles"], Sequence[tuple["Doubles", "Doubles"]]],
        Iterable["Doubles"],
    ]
    Note = Callable[[str, "Doubles"], None]

Doubles = NDArray[np.float64]
_Row = tuple[Sequence[int], Sequence[int]]
"""Token ids, and their types: none where all are 0."""

_ROWS_AT_ONCE = 1024
"""Tokens of a text that pass a feed-forward part together."""
_STATES_AT_ONCE = 2**24
"""Numbers of the states of texts that pass the layers together, but for those of the last text."""


class ReferenceModel:
    """A checkpoint as a plain function from token ids to one vector."""

    def __init__(
        self,
        network: Network,
        head: Head,
        tensors: Mapping[str, NDArray[np.float32]],
        note: Note = lambda *_: None,
    ) -> None:
        """Hold the tensors; those of a layer are widened to float64 while it is computed.

        Args:
            network: The network.
            head: The head.
            tensors: The tensors of both.
            note: Receives the name of each tensor inside the network, and its values for a text.

        Raises:
            MissingExtraError: The extra `convert` (scipy, for erf) is not installed.
        """
        import_erf()
        self._network = network
        self._head = head
        self._note = note
        self._words = tensors["embeddings.word"]
        self._layers: list[list[str]] = [[] for _ in network.blocks]
        shared = []
        for name in tensors:
            if name.startswith("layer."):
                self._layers[int(name.split(".")[1])].append(name)
            elif name != "embeddings.word":
                shared.append(name)
        self._stored = tensors
        self._shared = {name: tensors[name].astype(np.float64) for name in shared}

    def hidden_states(self, ids: Sequence[int], types: Sequence[int] = ()) -> Doubles:
        """Compute the states of the tokens of one text: float64 of shape (tokens, width).

        Args:
            ids: The text's token ids, special tokens included, without padding.
            types: The token types of a pair; empty where all are 0.
        """
        return self._states([(ids, types)])[0]

    def vector(self, ids: Sequence[int], types: Sequence[int] = (), start: int = 0) -> Doubles:
        """Compute the text's vector, or a pair's logits, by the head.

        Args:
            ids: The text's token ids, special tokens included, without padding.
            types: The token types of a pair; empty where all are 0.
            start: How many of the first tokens pooling leaves out.

        Returns:
            float64 of shape (width,), the head's width.
        """
        vector: Doubles = self.vectors([ids], start=start, types=[types])[0]
        return vector

    def vectors(
        self,
        rows: Sequence[Sequence[int]],
        apply: Apply = map,
        start: int = 0,
        types: Sequence[Sequence[int]] = (),
    ) -> Doubles:
        """Compute the vectors of texts, each on its own.

        Args:
            rows: The token ids of each text.
            apply: Calls a function for each text, as `map` does or side by side.
            start: How many of each text's first tokens pooling leaves out.
            types: The token types of each pair; empty where all are 0.

        Returns:
            float64 of shape (texts, width).
        """
        found, group, held = [], list[_Row](), 0
        for row, kinds in zip(rows, types or [()] * len(rows), strict=True):
            group.append((row, kinds))
            held += len(row) * self._network.width
            if held >= _STATES_AT_ONCE:
                found += self._pooled(group, apply, start)
                group, held = [], 0
        return np.stack([*found, *self._pooled(group, apply, start)])

    def _pooled(self, rows: Sequence[_Row], apply: Apply, start: int) -> list[Doubles]:
        return [
            self._vector(ids, states, start)
            for (ids, _), states in zip(rows, self._states(rows, apply), strict=True)
        ]

    def _vector(self, ids: Sequence[int], states: Doubles, start: int) -> Doubles:
        kept = [i for i, number in enumerate(ids) if number not in self._head.unpooled]
        if not kept:
            return np.zeros(self._head.width(self._network.output_width))
        return pool_one(states[kept], self._head, self._shared, start)

    def _states(self, rows: Sequence[_Row], apply: Apply = map) -> list[Doubles]:
        """Compute the states of texts, layer by layer: a text at a time in each."""
        states = words = [self._embed(*row) for row in rows]
        for i, block in enumerate(self._network.blocks):
            own = {name: self._stored[name].astype(np.float64) for name in self._layers[i]}
            layer = _Layer(self._network, block, f"layer.{i}", own | self._shared, self._note)
            states = list(apply(layer.run, list(zip(states, words, strict=True))))
        return [give_states(x, self._network, self._shared) for x in states]

    def _embed(self, ids: Sequence[int], types: Sequence[int]) -> Doubles:
        rows = self._words[np.asarray(ids, dtype=np.int64)].astype(np.float64)
        tensors = self._shared | {"embeddings.word": rows}
        places = places_of(ids, self._network)
        x = project(
            embed(np.arange(len(ids)), places, self._network, tensors, types),
            self._network,
            tensors,
        )
        self._note("embeddings.states", x)
        return x

    def memory(self, tokens: int) -> int:
        """Estimate the bytes that the pass of a text takes at its peak, beside the tensors."""
        return text_memory(self._network, tokens)


@dataclass(frozen=True)
class _Layer:
    """A layer with its tensors, and those that layers share."""

    network: Network
    block: Block
    name: str
    tensors: Mapping[str, Doubles]
    note: Note

    def run(self, given: tuple[Doubles, Doubles]) -> Doubles:
        """Compute the states after the layer, given those before it and the embedded words."""
        x, words = given
        x = self._add(x, self._attend, self.block.attention_norm, "attention_norm")
        x = self._add(x, self._feed_by_rows, self.block.output_norm, "output_norm")
        if self.block.words:
            x = self._add(x, lambda x: self._choose(x, words), None, "")
        if self.block.scaled:
            x = x * self.tensors[f"{self.name}.scale"]
            self.note(f"{self.name}.states", x)
        return x

    def _add(
        self, x: Doubles, part: Callable[[Doubles], Doubles], norm: Norm | None, named: str
    ) -> Doubles:
        is_pre = self.block.placement is Placement.PRE
        added = part(self._norm(x, norm, named) if is_pre else x)
        total = x + added
        self.note(f"{self.name}.added", added)
        self.note(f"{self.name}.states", total)
        return total if is_pre else self._norm(total, norm, named)

    def _attend(self, x: Doubles) -> Doubles:
        attention = self.block.attention
        query, key, value = (self._linear(x, part) for part in ("query", "key", "value"))
        if attention.convolution:
            mixed = self._convolve(query, key, value, attention.convolution)
        else:
            mixed = self._mix(query, key, value, attention)
        output = self._linear(mixed, "attention_output")
        return self._end(output, self.block.attention_end_norm, "attention_output")

    def _convolve(
        self, query: Doubles, key: Doubles, value: Doubles, convolution: Convolution
    ) -> Doubles:
        weight = self.tensors[f"{self.name}.convolution.weight"]
        mixed = convolve(query, key, value, convolution, weight)
        for numbers in (key * value, mixed):  # powers of two in the values multiply both
            self.note(f"{self.name}.value", numbers)
        return mixed

    def _mix(self, query: Doubles, key: Doubles, value: Doubles, attention: Attention) -> Doubles:
        query, key = (
            normalize_heads(x, attention, f"{self.name}.{part}_norm", self.tensors)
            for part, x in (("query", query), ("key", key))
        )
        longest = _longest(query, attention.heads) * _longest(key, attention.key_heads)
        self.note(f"{self.name}.scores", np.array([longest]))  # no product is larger
        tokens = len(query)
        bias = relative_bias(tokens, self.network.relative, self.tensors)
        distances = states_by_distance(tokens, self.network, self.name, self.tensors)
        value = normalize_values(value, attention)
        return attend(query, key, value, attention, bias, distances)

    def _feed_by_rows(self, x: Doubles) -> Doubles:
        parts = range(0, len(x), _ROWS_AT_ONCE)
        return np.concatenate([self._feed(x[i : i + _ROWS_AT_ONCE]) for i in parts])

    def _feed(self, x: Doubles) -> Doubles:
        part, inner = self.block.feed_forward, self._linear(x, "inner")
        if part.gated:
            units = activate(self._linear(x, "gate"), part.activation) * inner
        else:
            units = activate(inner, part.activation)
        self.note(f"{self.name}.units", units)
        output = self._linear(units, "output")
        return self._end(output, self.block.output_end_norm, "output")

    def _choose(self, x: Doubles, words: Doubles) -> Doubles:
        """Compute what the layer's third part adds to the states of a text."""
        part = self.block.words
        assert part is not None
        gate = activate(self._linear(x, "words_gate"), part.activation)
        units = gate * self._norm(self._linear(words, "words_inner"), part.norm, "words_norm")
        self.note(f"{self.name}.words_units", units)
        return self._end(self._linear(units, "words_output"), part.end_norm, "words_output")

    def _norm(self, x: Doubles, norm: Norm | None, name: str) -> Doubles:
        return normalize_layer(x, norm, f"{self.name}.{name}", self.tensors)

    def _linear(self, x: Doubles, name: str) -> Doubles:
        product = multiply(x, f"{self.name}.{name}", self.tensors)
        if not name.endswith("output"):
            self.note(f"{self.name}.{name}", product)
        return product

    def _end(self, output: Doubles, norm: Norm | None, part: str) -> Doubles:
        """Return what a part adds to the states, given its last product."""
        if norm is None:
            return output
        self.note(f"{self.name}.{part}", output)
        return self._norm(output, norm, f"{part.removesuffix('_output')}_end_norm")


def _longest(x: Doubles, heads: int) -> float:
    """Return the length of the longest vector of a head."""
    return float(np.linalg.norm(x.reshape(len(x), heads, -1), axis=2).max())


def text_memory(network: Network, tokens: int) -> int:
    """Estimate the bytes that a text's pass takes at its peak, beside the tensors."""
    if not network.blocks:
        return 8 * 5 * tokens * network.width
    units = max(block.feed_forward.width for block in network.blocks)
    fed = 8 * 6 * min(tokens, _ROWS_AT_ONCE) * units
    biased = (network.relative or network.distances) is not None
    attended = max(
        attention_memory(block.attention, tokens, biased=biased) for block in network.blocks
    )
    words = tokens * max(block.words.width if block.words else 0 for block in network.blocks)
    states = tokens * max(network.width, network.output_width)
    return 8 * (5 * states + 5 * words) + max(attended, fed)


def pool_one(
    hidden: Doubles,
    head: Head,
    tensors: Mapping[str, Doubles] = MappingProxyType({}),
    start: int = 0,
) -> Doubles:
    """Pool one text without padding; it shares no code with `minnow.vectors` on purpose.

    Args:
        hidden: Token states, float64 of shape (tokens, width).
        head: The steps to a vector.
        tensors: Those of its layers, float64; others are ignored.
        start: How many of the first tokens are left out; the others keep their positions.

    Returns:
        float64 of shape (width,), the head's width.
    """
    positions = np.arange(1, len(hidden) + 1)[start:]
    hidden = hidden[start:]
    tokens = len(hidden)
    formulas = {
        Pooling.CLS: lambda: hidden[0],
        Pooling.LAST_TOKEN: lambda: hidden[-1],
        Pooling.MAX: lambda: hidden.max(0),
        Pooling.MEAN: lambda: hidden.sum(0) / tokens,
        Pooling.MEAN_SQRT_LEN: lambda: hidden.sum(0) / np.sqrt(tokens),
        Pooling.WEIGHTED_MEAN: lambda: positions @ hidden / positions.sum(),
    }
    vector: Doubles = np.concatenate([formulas[pooling]() for pooling in head.poolings])
    for i, layer in enumerate(head.layers):
        if layer.kind is LayerKind.DENSE:
            vector = _dense(vector, layer, f"head.{i}", tensors)
        elif layer.kind is LayerKind.LAYER_NORM:
            norm = LayerNorm(layer.eps)
            vector = normalize_layer(vector[None], norm, f"head.{i}", tensors)[0]
        else:
            vector = vector / np.linalg.norm(vector)
    vector = vector / np.linalg.norm(vector) if head.normalize else vector
    return vector[: head.truncate]


def _dense(x: Doubles, layer: Layer, name: str, tensors: Mapping[str, Doubles]) -> Doubles:
    """Apply a dense layer to a vector, by the formulas of torch's activations."""
    y = multiply(x[None], name, tensors)[0]
    formulas = {
        LayerActivation.IDENTITY: lambda: y,
        LayerActivation.TANH: lambda: np.tanh(y),
        LayerActivation.SIGMOID: lambda: 1 / (1 + np.exp(-y)),
        LayerActivation.RELU: lambda: activate(y, Activation.RELU),
        LayerActivation.GELU: lambda: activate(y, Activation.GELU),
        LayerActivation.GELU_TANH: lambda: activate(y, Activation.GELU_TANH),
        LayerActivation.SILU: lambda: activate(y, Activation.SILU),
    }
    activated: Doubles = formulas[layer.activation]()
    if not layer.residual:
        return activated
    projection = tensors.get(f"{name}.residual.weight")
    return activated + (x if projection is None else projection @ x)
