"""A network's forward pass as data, which `minnow.graph` and `minnow.model.reference` interpret.

A row of `minnow.model.families` builds a `Network` from a model's hyperparameters; no other code
asks for the family. Another kind of norm, positions, attention or feed-forward part is a new field,
or a new type beside those below, that both interpreters implement on their own; calibration uses
the reference's formulas, `checkpoint.py` lists its tensors, and GGUF accepts or refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Activation(str, Enum):
    """The function between the two matrices of a feed-forward part."""

    GELU = "gelu"
    GELU_TANH = "gelu_tanh"
    RELU = "relu"


class Placement(str, Enum):
    """Place of a block's norms: before each of its parts, or after adding its output."""

    PRE = "pre"
    POST = "post"


@dataclass(frozen=True)
class LayerNorm:
    """LayerNorm over the width, with a weight and a bias.

    Attributes:
        eps: Added to the variance.
    """

    eps: float


@dataclass(frozen=True)
class Words:
    """The table of words, and that of token types.

    Attributes:
        rows: Ids of the vocabulary.
        token_types: Rows of the table of token types; 0 where there is none.
    """

    rows: int
    token_types: int = 0


@dataclass(frozen=True)
class LearnedPositions:
    """A table with a row for each position, added to the words.

    Attributes:
        rows: Rows of the table.
        offset: The row of a text's first token.
    """

    rows: int
    offset: int = 0

    @property
    def longest(self) -> int:
        """The longest sequence, in tokens, that the table covers."""
        return self.rows - self.offset


@dataclass(frozen=True)
class Attention:
    """Attention of every token to every token, with biases in all four matrices.

    Attributes:
        heads: Heads, for queries, keys and values alike.
        head_size: Width of a head.
        scale: Factor of the products of queries and keys.
    """

    heads: int
    head_size: int
    scale: float

    @property
    def width(self) -> int:
        """Width of all heads together."""
        return self.heads * self.head_size


@dataclass(frozen=True)
class FeedForward:
    """Two matrices with biases, and an activation between them.

    Attributes:
        width: Units between the matrices.
        activation: The function applied to them.
    """

    width: int
    activation: Activation


@dataclass(frozen=True)
class Block:
    """A layer: attention, then a feed-forward part, each added to the states.

    Attributes:
        attention: The first part.
        feed_forward: The second.
        norm: The kind of its two norms.
        placement: Their place.
    """

    attention: Attention
    feed_forward: FeedForward
    norm: LayerNorm
    placement: Placement = Placement.POST


@dataclass(frozen=True)
class Network:
    """A transformer encoder, from token ids to token states.

    Attributes:
        width: Length of a token state.
        words: The tables of words and token types.
        positions: The table of positions.
        embedding_norm: The norm of the sum of all three; None where there is none.
        blocks: The layers, in the order in which they run.
        final_norm: The norm of the last block's states; None where there is none.
    """

    width: int
    words: Words
    positions: LearnedPositions
    embedding_norm: LayerNorm | None
    blocks: tuple[Block, ...]
    final_norm: LayerNorm | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs, in order."""
        return input_names(self.words.token_types)


def input_names(token_types: int) -> tuple[str, ...]:
    """Return the names of an encoder's inputs; token types only where it has a table of them."""
    names = ("input_ids", "attention_mask", "token_type_ids")
    return names if token_types else names[:2]
