"""The yardstick: the forward pass as plainly as the paper writes it, in NumPy and float64.

One text at a time, no padding, no mask, no batch: nothing here is shared with the graph, the
converter or the engine that it judges.

Source: Vaswani et al., "Attention Is All You Need" (2017), sections 3.1 to 3.3, with GELU
(Hendrycks & Gimpel, 2016) and learned positions as in Devlin et al., "BERT" (2018).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.errors import MissingExtraError
from minnow.model.spec import Activation
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from minnow.model.spec import EmbeddingSpec, EncoderSpec

    Doubles = NDArray[np.float64]


class ReferenceModel:
    """A checkpoint as a plain function from token ids to one vector."""

    def __init__(
        self,
        encoder: EncoderSpec,
        embedding: EmbeddingSpec,
        tensors: Mapping[str, NDArray[np.float32]],
    ) -> None:
        """Hold a float64 copy of the tensors.

        Raises:
            MissingExtraError: The extra `convert` (scipy, for erf) is not installed.
        """
        try:
            from scipy.special import erf
        except ImportError as error:
            raise MissingExtraError("The reference forward pass", "convert") from error
        self._erf = erf
        self._encoder = encoder
        self._embedding = embedding
        self._tensors = {name: t.astype(np.float64) for name, t in tensors.items()}

    def hidden_states(self, ids: Sequence[int]) -> Doubles:
        """States of the tokens of one text: float64 of shape (tokens, width).

        Args:
            ids: The text's token ids, special tokens included, without padding.
        """
        spec, tensors = self._encoder, self._tensors
        start = spec.position_offset
        x = tensors["embeddings.word"][list(ids)]
        x = x + tensors["embeddings.position"][start : start + len(ids)]
        if spec.token_types:
            x = x + tensors["embeddings.token_type"][0]
        x = self._layer_norm(x, "embeddings.norm")
        for i in range(spec.layers):
            x = self._layer_norm(x + self._attention(x, f"layer.{i}"), f"layer.{i}.attention_norm")
            inner = self._activate(self._linear(x, f"layer.{i}.inner"))
            x = self._layer_norm(
                x + self._linear(inner, f"layer.{i}.output"), f"layer.{i}.output_norm"
            )
        return x

    def vector(self, ids: Sequence[int]) -> Doubles:
        """The text's vector, pooled and, where the model says so, scaled to length 1.

        Args:
            ids: The text's token ids, special tokens included, without padding.

        Returns:
            float64 of shape (width,).
        """
        return pool_one(self.hidden_states(ids), self._embedding)

    def _linear(self, x: Doubles, name: str) -> Doubles:
        product: Doubles = x @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"]
        return product

    def _layer_norm(self, x: Doubles, name: str) -> Doubles:
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred**2).mean(-1, keepdims=True)
        scaled = centred / np.sqrt(variance + self._encoder.layer_norm_eps)
        normed: Doubles = scaled * self._tensors[f"{name}.weight"] + self._tensors[f"{name}.bias"]
        return normed

    def _attention(self, x: Doubles, layer: str) -> Doubles:
        heads, depth = self._encoder.heads, self._encoder.width // self._encoder.heads
        query, key, value = (
            self._linear(x, f"{layer}.{part}").reshape(len(x), heads, depth).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(1, 2) / np.sqrt(depth)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        joined = (weights @ value).swapaxes(0, 1).reshape(len(x), heads * depth)
        return self._linear(joined, f"{layer}.attention_output")

    def _activate(self, x: Doubles) -> Doubles:
        activation = self._encoder.activation
        if activation is Activation.RELU:
            return np.maximum(x, 0)
        if activation is Activation.GELU_TANH:
            cubic = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
            gate: Doubles = np.tanh(cubic)
        else:
            gate = self._erf(x / np.sqrt(2))
        return x * 0.5 * (1 + gate)


def pool_one(hidden: Doubles, embedding: EmbeddingSpec) -> Doubles:
    """Pool one text without padding; written apart from `minnow.vectors` on purpose.

    Args:
        hidden: Token states, float64 of shape (tokens, width).
        embedding: Decides pooling and normalisation.

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
    vector: Doubles = formulas[embedding.pooling]()
    return vector / np.linalg.norm(vector) if embedding.normalize else vector
