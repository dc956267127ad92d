"""Formulas of a forward pass, each as plain as the papers write it; in float32 or float64.

`minnow.model.reference` judges by them, and `minnow.convert.calibrate` rounds weights by them. The
graph, the converter and the engines share none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from minnow.errors import MissingExtraError
from minnow.model.network import LayerNorm, Network
from minnow.model.spec import Activation

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from minnow.model.attention import Distances
    from minnow.model.network import Attention, Norm

Floats = TypeVar("Floats", NDArray[np.float32], NDArray[np.float64])


def places_of(ids: Sequence[int], network: Network) -> NDArray[np.int64]:
    """Return each token's place in its text, from 0, as learned positions count them.

    Where padding takes no position, a padding token inside a text gets -1, as in fairseq's
    `make_positions` and in transformers' RoBERTa (`create_position_ids_from_input_ids`).
    """
    if network.positions is None or network.positions.padding is None:
        return np.arange(len(ids))
    places, count = [], 0
    for number in ids:
        is_padding = number == network.positions.padding
        places.append(-1 if is_padding else count)
        count += not is_padding
    return np.array(places, dtype=np.int64)


def embed(
    ids: NDArray[np.integer[Any]],
    places: NDArray[np.integer[Any]],
    network: Network,
    tensors: Mapping[str, Floats],
    types: Sequence[int] = (),
) -> Floats:
    """Look up tokens in a network's tables.

    Args:
        ids: Token ids, of shape (tokens,).
        places: Each token's place in its text, by `places_of`.
        network: The network.
        tensors: Its tensors.
        types: Each token's type; empty where all are 0.

    Returns:
        The normalised sum of the tables' rows, of shape (tokens, columns of the tables).
    """
    x = tensors["embeddings.word"][ids]
    if network.positions:
        x = x + tensors["embeddings.position"][places + network.positions.offset]
    if network.words.token_types:
        x = x + tensors["embeddings.token_type"][list(types) or 0]
    return normalize_layer(x, network.embedding_norm, "embeddings.norm", tensors)


def project(x: Floats, network: Network, tensors: Mapping[str, Floats]) -> Floats:
    """Project embedded tokens to the width of the states, where the tables are narrower."""
    return multiply(x, "embeddings.projection", tensors) if network.words.width else x


def states_by_distance(
    tokens: int, network: Network, name: str, tensors: Mapping[str, Floats]
) -> Distances:
    """Make a key and a query of each distance by a layer's matrices, where the network has them.

    Args:
        tokens: Tokens of the text.
        network: The network.
        name: The layer: "layer.0".
        tensors: The network's tensors.

    Returns:
        Both of shape (2 * tokens - 1, width of all heads), from the key that is tokens - 1 behind
        its query to the one that is as far ahead; None where there is none.
    """
    given = network.distances
    if given is None:
        return None, None
    table = normalize_layer(tensors["distances.table"], given.norm, "distances.norm", tensors)
    behind = np.arange(tokens - 1, -tokens, -1)
    if given.distance is not None:
        half = given.span // 2
        far = np.maximum(np.abs(behind), half) / half
        steps = np.ceil(np.log(far) / np.log((given.distance - 1) / half) * (half - 1))
        behind = np.where(np.abs(behind) <= half, behind, np.sign(behind) * (half + steps))
    rows = np.clip(behind + given.span, 0, 2 * given.span - 1).astype(int)
    key, query = (
        multiply(table, f"{name}.{part}", tensors)[rows] if part else None
        for part in given.matrices()
    )
    return key, query


def normalize_layer(
    x: Floats, norm: Norm | None, name: str, tensors: Mapping[str, Floats]
) -> Floats:
    """Normalise states of shape (.., width), by the tensors of a name; None changes nothing."""
    if norm is None:
        return x
    centred = x - x.mean(-1, keepdims=True) if isinstance(norm, LayerNorm) else x
    squares = (centred**2).mean(-1, keepdims=True)
    normed: Floats = centred / np.sqrt(squares + norm.eps) * tensors[f"{name}.weight"]
    has_bias = isinstance(norm, LayerNorm) and norm.bias
    return normed + tensors[f"{name}.bias"] if has_bias else normed


def normalize_heads(
    x: Floats, attention: Attention, name: str, tensors: Mapping[str, Floats]
) -> Floats:
    """Normalise each head of queries or keys of shape (tokens, width of all heads)."""
    heads = x.reshape(len(x), -1, attention.head_size)
    return normalize_layer(heads, attention.norm, name, tensors).reshape(x.shape)


def normalize_values(x: Floats, attention: Attention) -> Floats:
    """Normalise each head of values of shape (tokens, width of all heads)."""
    if attention.value_norm is None:
        return x
    heads = x.reshape(len(x), -1, attention.head_size)
    squares = (heads**2).mean(-1, keepdims=True)
    normed: Floats = heads / np.sqrt(squares + attention.value_norm.eps)
    return normed.reshape(x.shape)


def give_states(x: Floats, network: Network, tensors: Mapping[str, Floats]) -> Floats:
    """Return what a network gives, given the states of its last layer."""
    x = normalize_layer(x, network.final_norm, "final_norm", tensors)
    return multiply(x, "projection", tensors) if network.projection else x


def multiply(x: Floats, name: str, tensors: Mapping[str, Floats]) -> Floats:
    """Multiply states of shape (tokens, inputs) by a linear layer; add its bias, if it has one."""
    product: Floats = x @ tensors[f"{name}.weight"].T
    bias = tensors.get(f"{name}.bias")
    return product if bias is None else product + bias


def activate(x: Floats, activation: Activation) -> Floats:
    """Apply a feed-forward activation to numbers of any shape."""
    if activation is Activation.RELU:
        return np.maximum(x, 0)
    if activation is Activation.SILU:
        gate = np.tanh(x / 2)  # 1 / (1 + exp(-x)) is (1 + tanh(x / 2)) / 2
    elif activation is Activation.GELU_TANH:
        gate = np.tanh((2 / np.pi) ** 0.5 * (x + 0.044715 * x**3))
    elif activation is Activation.GELU_QUOTIENT:
        gate = _tanh_by_quotient(x)
    else:
        gate = import_erf()(x * 0.5**0.5)
    activated: Floats = x * 0.5 * (1 + gate)
    return activated


def _tanh_by_quotient(x: NDArray[Any]) -> Any:
    """Compute the tanh within GELU as `MNNGelu` of MNN 3.6.1 does, by a quotient of polynomials."""
    inner = np.clip(0.79788458 * (x + 0.044715 * x**3), -4.97, 4.97)
    square = inner**2
    above = inner * (135135 + square * (17325 + square * (378 + square)))
    return above / (135135 + square * (62370 + square * (3150 + square * 28)))


def import_erf() -> Any:
    """Import the error function of scipy.

    Raises:
        MissingExtraError: The extra `convert` is not installed.
    """
    try:
        from scipy.special import erf
    except ImportError as error:
        raise MissingExtraError("The reference forward pass", "convert") from error
    return erf
