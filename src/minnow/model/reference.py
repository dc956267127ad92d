"""The yardstick: a network and its head in NumPy, as plainly as the papers write them.

One text at a time, no padding, no mask, no batch, float64: nothing here is shared with the graph,
the converter or the engine that it judges.

Source: Vaswani et al., "Attention Is All You Need" (2017), sections 3.1 to 3.3, with GELU
(Hendrycks & Gimpel, 2016) and learned positions as in Devlin et al., "BERT" (2018); for norms
before a part, Xiong et al., "On Layer Normalization in the Transformer Architecture" (2020).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from minnow.errors import MissingExtraError
from minnow.model.network import Activation, Placement
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from minnow.model.head import Head
    from minnow.model.network import Attention, Block, LayerNorm, Network

Doubles = NDArray[np.float64]
Floats = TypeVar("Floats", NDArray[np.float32], NDArray[np.float64])


class ReferenceModel:
    """A checkpoint as a plain function from token ids to one vector."""

    def __init__(
        self, network: Network, head: Head, tensors: Mapping[str, NDArray[np.float32]]
    ) -> None:
        """Hold a float64 copy of the tensors.

        Raises:
            MissingExtraError: The extra `convert` (scipy, for erf) is not installed.
        """
        _import_erf()
        self._network = network
        self._head = head
        self._tensors = {name: t.astype(np.float64) for name, t in tensors.items()}

    def hidden_states(self, ids: Sequence[int]) -> Doubles:
        """Compute the states of the tokens of one text: float64 of shape (tokens, width).

        Args:
            ids: The text's token ids, special tokens included, without padding.
        """
        network, tensors = self._network, self._tensors
        x = embed(np.asarray(ids), np.arange(len(ids)), network, tensors)
        for i, block in enumerate(network.blocks):
            x = self._block(x, block, f"layer.{i}")
        return normalize_layer(x, network.final_norm, "final_norm", tensors)

    def vector(self, ids: Sequence[int]) -> Doubles:
        """Compute the text's vector, by the head.

        Args:
            ids: The text's token ids, special tokens included, without padding.

        Returns:
            float64 of shape (width,).
        """
        return pool_one(self.hidden_states(ids), self._head)

    def _block(self, x: Doubles, block: Block, name: str) -> Doubles:
        def add(part: Callable[[Doubles], Doubles], norm: str) -> Doubles:
            if block.placement is Placement.PRE:
                return x + part(self._norm(x, block.norm, norm))
            return self._norm(x + part(x), block.norm, norm)

        def feed_forward(x: Doubles) -> Doubles:
            inner = activate(self._linear(x, f"{name}.inner"), block.feed_forward.activation)
            return self._linear(inner, f"{name}.output")

        x = add(lambda x: self._attention(x, block.attention, name), f"{name}.attention_norm")
        return add(feed_forward, f"{name}.output_norm")

    def _attention(self, x: Doubles, attention: Attention, name: str) -> Doubles:
        query, key, value = (
            self._linear(x, f"{name}.{part}") for part in ("query", "key", "value")
        )
        return self._linear(attend(query, key, value, attention), f"{name}.attention_output")

    def _linear(self, x: Doubles, name: str) -> Doubles:
        product: Doubles = x @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"]
        return product

    def _norm(self, x: Doubles, norm: LayerNorm, name: str) -> Doubles:
        return normalize_layer(x, norm, name, self._tensors)


# --- formulas, which `minnow.convert.calibrate` uses in float32 --------------------------


def embed(
    ids: NDArray[np.integer[Any]],
    places: NDArray[np.integer[Any]],
    network: Network,
    tensors: Mapping[str, Floats],
) -> Floats:
    """Look up tokens in a network's tables.

    Args:
        ids: Token ids, of shape (tokens,).
        places: Each token's place in its text, from 0.
        network: The network.
        tensors: Its tensors.

    Returns:
        The states that the first block reads, of shape (tokens, width).
    """
    x = tensors["embeddings.word"][ids]
    x = x + tensors["embeddings.position"][places + network.positions.offset]
    if network.words.token_types:
        x = x + tensors["embeddings.token_type"][0]
    return normalize_layer(x, network.embedding_norm, "embeddings.norm", tensors)


def normalize_layer(
    x: Floats, norm: LayerNorm | None, name: str, tensors: Mapping[str, Floats]
) -> Floats:
    """Normalise states of shape (tokens, width), by the tensors of a name; None changes nothing."""
    if norm is None:
        return x
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred**2).mean(-1, keepdims=True)
    scaled = centred / np.sqrt(variance + norm.eps)
    normed: Floats = scaled * tensors[f"{name}.weight"] + tensors[f"{name}.bias"]
    return normed


def attend(query: Floats, key: Floats, value: Floats, attention: Attention) -> Floats:
    """Let each token of one text mix the values of all.

    Args:
        query: The queries, of shape (tokens, width of all heads).
        key: The keys, in the same shape.
        value: The values, in the same shape.
        attention: Heads and scale.

    Returns:
        The mixed values, in the same shape.
    """
    heads = (len(query), attention.heads, attention.head_size)
    query, key, value = (part.reshape(heads).swapaxes(0, 1) for part in (query, key, value))
    scores = query @ key.swapaxes(1, 2) * attention.scale
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    mixed: Floats = (weights @ value).swapaxes(0, 1).reshape(heads[0], attention.width)
    return mixed


def activate(x: Floats, activation: Activation) -> Floats:
    """Apply a feed-forward activation to numbers of any shape."""
    if activation is Activation.RELU:
        return np.maximum(x, 0)
    if activation is Activation.GELU_TANH:
        gate = np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))
    else:
        gate = _import_erf()(x * 0.5**0.5)
    activated: Floats = x * 0.5 * (1 + gate)
    return activated


def _import_erf() -> Any:
    try:
        from scipy.special import erf
    except ImportError as error:
        raise MissingExtraError("The reference forward pass", "convert") from error
    return erf


def pool_one(hidden: Doubles, head: Head) -> Doubles:
    """Pool one text without padding; it shares no code with `minnow.vectors` on purpose.

    Args:
        hidden: Token states, float64 of shape (tokens, width).
        head: Pooling and normalisation.

    Returns:
        float64 of shape (width,).
    """
    tokens = len(hidden)
    positions = np.arange(1, tokens + 1)
    formulas = {
        Pooling.CLS: lambda: hidden[0],
        Pooling.LAST_TOKEN: lambda: hidden[-1],
        Pooling.MAX: lambda: hidden.max(0),
        Pooling.MEAN: lambda: hidden.sum(0) / tokens,
        Pooling.MEAN_SQRT_LEN: lambda: hidden.sum(0) / np.sqrt(tokens),
        Pooling.WEIGHTED_MEAN: lambda: positions @ hidden / positions.sum(),
    }
    vector: Doubles = formulas[head.pooling]()
    return vector / np.linalg.norm(vector) if head.normalize else vector
