"""The head as data, which `minnow.graph.pooled` and `minnow.model.reference` interpret."""

from __future__ import annotations

from enum import Enum

from msgspec import Struct

from minnow.vectors import Pooling

LAYER_NORM_EPS = 1e-5
"""Added to the variance in a LayerNorm module; the default of torch, which the module keeps."""


POOLING_MASK = "pooling_mask"
"""The input of an encoder whose head leaves the prompt out: 1 for a token that is pooled."""


class LayerKind(str, Enum):
    """Kinds of layers between pooling and vector."""

    DENSE = "dense"
    LAYER_NORM = "layer_norm"
    UNIT_LENGTH = "unit_length"


class LayerActivation(str, Enum):
    """Activations of a dense layer; a value is the name of torch's class in lower case."""

    IDENTITY = "identity"
    TANH = "tanh"
    RELU = "relu"
    GELU = "gelu"
    GELU_TANH = "gelu_tanh"
    SILU = "silu"
    SIGMOID = "sigmoid"


class Layer(Struct, frozen=True):
    """A layer between pooling and vector.

    Attributes:
        kind: A dense layer, y = activation(W x + b); a LayerNorm; or a scaling to length 1.
        width: Length of its output, in numbers.
        activation: A dense layer's activation.
        bias: Whether a dense layer has b.
        residual: Whether a dense layer adds its input to y, by a matrix of its own where the
            widths differ.
        eps: Added to the variance in a LayerNorm.
    """

    kind: LayerKind
    width: int
    activation: LayerActivation = LayerActivation.IDENTITY
    bias: bool = False
    residual: bool = False
    eps: float = LAYER_NORM_EPS

    def __str__(self) -> str:
        if self.kind is not LayerKind.DENSE:
            return "L2 normalisation" if self.kind is LayerKind.UNIT_LENGTH else "LayerNorm"
        tail = "" if self.activation is LayerActivation.IDENTITY else f", {self.activation.value}"
        return f"dense to {self.width}{tail}{', residual' * self.residual}"


class Head(Struct, frozen=True):
    """The step from the states of a text's tokens to its vector.

    Attributes:
        pooling: Makes one vector of the states.
        normalize: Scale the vector to length 1.
        truncate: Keep the vector's first numbers, so many, as the last step: a vector of length 1
            becomes shorter. None keeps all.
        joined: Further poolings, whose vectors follow that of the first, in this order.
        layers: What the pooled vector passes through before it is normalised.
        unpooled: Ids of tokens that pooling by the mean leaves out.
        include_prompt: Whether the tokens of a prompt are pooled too. Where they are not, the
            others keep their positions, and cls takes the first of them.
    """

    pooling: Pooling
    normalize: bool = False
    truncate: int | None = None
    joined: tuple[Pooling, ...] = ()
    layers: tuple[Layer, ...] = ()
    unpooled: tuple[int, ...] = ()
    include_prompt: bool = True

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the inputs that a graph has for it, beside the network's."""
        return () if self.include_prompt else (POOLING_MASK,)

    @property
    def gives_unit_length(self) -> bool:
        """Whether its vectors have length 1."""
        return self.normalize and self.truncate is None

    @property
    def is_plain(self) -> bool:
        """Whether it is one pooling, normalised and truncated or not, which every reader knows."""
        return not (self.joined or self.layers or self.unpooled) and self.include_prompt

    @property
    def poolings(self) -> tuple[Pooling, ...]:
        """All poolings, in the order in which their vectors are joined."""
        return (self.pooling, *self.joined)

    @property
    def description(self) -> str:
        """The poolings and layers in words: "cls+mean, dense to 512, tanh"."""
        poolings = "+".join(pooling.value for pooling in self.poolings)
        if self.unpooled:
            poolings += f" without the tokens {', '.join(map(str, self.unpooled))}"
        if not self.include_prompt:
            poolings += " without the prompt"
        return ", ".join([poolings, *map(str, self.layers)])

    def widths(self, states: int) -> tuple[int, ...]:
        """Return the length of the pooled vector and of each layer's output."""
        return (states * len(self.poolings), *(layer.width for layer in self.layers))

    def width(self, states: int) -> int:
        """Return the length of its vectors, in numbers, where token states have so many."""
        whole = self.widths(states)[-1]
        return whole if self.truncate is None else min(self.truncate, whole)


def layer_shapes(head: Head, states: int) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a head's layers by our name; matrices are (out, in)."""
    shapes: dict[str, tuple[int, ...]] = {}
    for i, (layer, width) in enumerate(zip(head.layers, head.widths(states), strict=False)):
        if layer.kind is LayerKind.LAYER_NORM:
            shapes |= {f"head.{i}.weight": (width,), f"head.{i}.bias": (width,)}
        if layer.kind is not LayerKind.DENSE:
            continue
        shapes[f"head.{i}.weight"] = (layer.width, width)
        if layer.bias:
            shapes[f"head.{i}.bias"] = (layer.width,)
        if layer.residual and layer.width != width:
            shapes[f"head.{i}.residual.weight"] = (layer.width, width)
    return shapes
