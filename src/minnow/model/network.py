"""A network's forward pass as data, which `minnow.graph` and `minnow.model.reference` interpret.

A row of `minnow.model.families` builds a `Network` from a model's hyperparameters; no other code
asks for the family. Another kind of norm, positions, attention or feed-forward part is a new field,
or a new type beside those below, that both interpreters implement on their own; calibration uses
the reference's formulas, `checkpoint.py` lists its tensors, and GGUF accepts or refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from minnow.model.spec import Activation, input_names


class Placement(str, Enum):
    """Place of a block's norms: before each of its parts, or after adding its output."""

    PRE = "pre"
    POST = "post"


@dataclass(frozen=True)
class LayerNorm:
    """LayerNorm over the width, with a weight.

    Attributes:
        eps: Added to the variance.
        bias: Whether it has a bias too.
    """

    eps: float
    bias: bool = True


@dataclass(frozen=True)
class RmsNorm:
    """Division by the root of the mean square over the width, then a weight.

    Attributes:
        eps: Added to the mean square.
    """

    eps: float


Norm = LayerNorm | RmsNorm


@dataclass(frozen=True)
class Words:
    """The table of words, and that of token types.

    Attributes:
        rows: Ids of the vocabulary.
        token_types: Rows of the table of token types; 0 where there is none.
        width: Columns of all tables, where a matrix with a bias makes states of their sum, after
            its norm; None where they are as wide as a state.
        scale: Factor of the rows of words.
        placeholders: Ids of tokens that stand for images or sounds; in a text they read the row of
            padding.
        padding: The id of padding.
    """

    rows: int
    token_types: int = 0
    width: int | None = None
    scale: float = 1.0
    placeholders: tuple[int, ...] = ()
    padding: int = 0


@dataclass(frozen=True)
class LearnedPositions:
    """A table with a row for each position, added to the words.

    Attributes:
        rows: Rows of the table.
        offset: The row of a text's first token.
        padding: The id of padding, where it takes no position even inside a text: it reads the
            row before the first, and the token behind it does not move on.
    """

    rows: int
    offset: int = 0
    padding: int | None = None

    @property
    def longest(self) -> int:
        """The longest sequence, in tokens, that the table covers."""
        return self.rows - self.offset


@dataclass(frozen=True)
class RelativeBuckets:
    """A learned number for each head and distance, added to the scores of every layer.

    Distances share a number in buckets: half of the buckets are for tokens behind, half for tokens
    ahead. Of each half, the first half are single distances; the others grow by a factor.

    Source: Raffel et al., "T5" (2020), section 2.1, in its form for encoders.

    Attributes:
        heads: Columns of the table.
        buckets: Rows of the table; a multiple of 4.
        distance: The distance from which on all tokens share a bucket.
    """

    heads: int
    buckets: int
    distance: int


@dataclass(frozen=True)
class Slopes:
    """Scores that fall with the distance of two tokens, in both directions, in every layer.

    Source: Press et al., "ALiBi" (2021), in its form for encoders.

    Attributes:
        by_head: What each head's scores lose with a token of distance.
    """

    by_head: tuple[float, ...]


Relative = RelativeBuckets | Slopes


@dataclass(frozen=True)
class Disentangled:
    """A table of distances, from which each layer makes keys and queries beside its own.

    A score is the product of a query and a key, plus that of the query and the key of their
    distance, plus that of the key and the query of their distance. The distance is that from the
    key to the query; far ones share a row, in buckets that grow by a factor.

    Source: He et al., "DeBERTa" (2020), section 3.1; the buckets: "DeBERTaV3" (2021).

    Attributes:
        span: Half of the table's rows: the row of distance 0.
        distance: The distance whose bucket is the last; None where each distance has a row.
        keys: Whether queries meet keys of distances.
        queries: Whether keys meet queries of distances.
        shared: Whether a layer's own matrices make both; otherwise it has others, with biases.
        norm: The norm of the table's rows; None where there is none.
    """

    span: int
    distance: int | None
    keys: bool
    queries: bool
    shared: bool
    norm: Norm | None

    def matrices(self) -> tuple[str | None, str | None]:
        """Return our names of the matrices, in a layer, of keys and of queries."""
        names = ("key", "query") if self.shared else ("position_key", "position_query")
        return names[0] if self.keys else None, names[1] if self.queries else None


@dataclass(frozen=True)
class Rotary:
    """Positions as rotations of queries and keys, the first half of a head with the second.

    The pair i of a head turns by `position * theta ** (-2 * i / size) / factor` radians.

    Source: Su et al., "RoFormer" (2021); the factor: Chen et al., "Extending Context Window"
    (2023).

    Attributes:
        size: Width of a head.
        theta: The base of the frequencies.
        factor: Divides all angles.
    """

    size: int
    theta: float
    factor: float = 1.0


@dataclass(frozen=True)
class Convolution:
    """A filter over neighbouring tokens, of each number on its own, between two gates.

    Token t gets `query[t] * sum(weight[i] * key[j] * value[j])` with `j = t + i - before`, where
    tokens beyond the ends of the text are 0.

    Source: Liquid AI, "LFM2" (2025), section 2.

    Attributes:
        taps: Tokens under the filter.
        before: How many of them stand before token t.
    """

    taps: int
    before: int


@dataclass(frozen=True)
class Attention:
    """Attention of every token to every token, to those within a window, or to those before it.

    Attributes:
        heads: Heads of the queries.
        head_size: Width of a head.
        scale: Factor of the products of queries and keys.
        group: Neighbouring heads of queries that share a head of keys and values; divides `heads`.
        rotary: How queries and keys are turned; None where they are not.
        window: The largest distance of two tokens that see each other; None for any distance.
        bias: Whether the three matrices of queries, keys and values have biases.
        output_bias: Whether the matrix that follows has one.
        causal: Whether a token sees itself and earlier ones only.
        norm: The norm of each head's queries, and of each head's keys, before they are turned.
        value_norm: The norm of each head's values, whose weights are all 1.
        convolution: A filter that mixes values in place of scores, in one head; None for scores.
    """

    heads: int
    head_size: int
    scale: float
    group: int = 1
    rotary: Rotary | None = None
    window: int | None = None
    bias: bool = True
    output_bias: bool = True
    causal: bool = False
    norm: RmsNorm | None = None
    value_norm: RmsNorm | None = None
    convolution: Convolution | None = None

    @property
    def sees_all(self) -> bool:
        """Whether every token sees every token."""
        return self.window is None and not self.causal

    @property
    def width(self) -> int:
        """Width of all heads of the queries together."""
        return self.heads * self.head_size

    @property
    def key_heads(self) -> int:
        """Heads of the keys, and of the values."""
        return self.heads // self.group

    @property
    def key_width(self) -> int:
        """Width of all heads of the keys together, and of the values."""
        return self.key_heads * self.head_size


@dataclass(frozen=True)
class FeedForward:
    """Matrices with an activation between them.

    A plain part is `output(activation(inner(x)))`, a gated one (Shazeer, "GLU Variants", 2020)
    `output(activation(gate(x)) * inner(x))`.

    Attributes:
        width: Units between the matrices.
        activation: The function applied to them, or to the gate.
        gated: Whether there is a gate.
        bias: Whether the first matrix, and that of the gate, have biases.
        output_bias: Whether the last matrix has one.
    """

    width: int
    activation: Activation
    gated: bool = False
    bias: bool = True
    output_bias: bool = True


@dataclass(frozen=True)
class WordsPart:
    """A third part of a layer, in which the states choose among numbers of the embedded words.

    It adds `end_norm(output(activation(gate(states)) * norm(inner(words))))` to the states, which
    it reads without a norm. No matrix has a bias.

    Attributes:
        width: Numbers of a token's embedded words.
        activation: The function applied to the gate.
        norm: The norm of these numbers.
        end_norm: The norm of the last product.
    """

    width: int
    activation: Activation
    norm: RmsNorm
    end_norm: RmsNorm


@dataclass(frozen=True)
class Block:
    """A layer: attention, then a feed-forward part, each added to the states.

    Attributes:
        attention: The first part.
        feed_forward: The second.
        attention_norm: The norm before or after the first part; None where there is none.
        output_norm: The norm before or after the second.
        placement: The place of both.
        attention_end_norm: The norm of the first part's output, before it is added.
        output_end_norm: The norm of the second's.
        words: A third part; None where there is none.
        powers: Powers of two of numbers of the layer, so that they round nothing: of SCALABLE ones,
            and of SCORES, which `attention.scale` takes out again.
        scaled: Whether a number, a tensor of its own, multiplies the states at the end.
    """

    attention: Attention
    feed_forward: FeedForward
    attention_norm: Norm | None
    output_norm: Norm | None
    placement: Placement = Placement.POST
    attention_end_norm: Norm | None = None
    output_end_norm: Norm | None = None
    words: WordsPart | None = None
    powers: tuple[tuple[str, int], ...] = ()
    scaled: bool = False

    def power(self, kind: str) -> float:
        """Return the factor of numbers inside the layer: a power of two."""
        return 2.0 ** dict(self.powers).get(kind, 0)


@dataclass(frozen=True)
class Network:
    """A transformer encoder, from token ids to token states.

    Attributes:
        width: Length of a token state.
        longest: The longest sequence, in tokens.
        words: The tables of words and token types.
        positions: The table of positions; None where there is none.
        embedding_norm: The norm of the sum of all tables' rows; None where there is none.
        blocks: The layers, in the order in which they run.
        final_norm: The norm of the last block's states; None where there is none.
        projection: Columns of the matrix, without a bias, that makes what the network gives of
            the last states; None where it gives them as they are.
        relative: What is added to the scores of every layer; None where nothing is.
        distances: Distances that have keys and queries; None where they have not.
        stream: Factor of all states between the layers, a power of two, so that it rounds nothing:
            half precision ends at 65504. The norms that read them have an eps to match.
    """

    width: int
    longest: int
    words: Words
    positions: LearnedPositions | None
    embedding_norm: Norm | None
    blocks: tuple[Block, ...]
    final_norm: Norm | None = None
    projection: int | None = None
    relative: Relative | None = None
    distances: Disentangled | None = None
    stream: float = 1.0

    @property
    def output_width(self) -> int:
        """Length of what the network gives for a token."""
        return self.projection or self.width

    @property
    def table_width(self) -> int:
        """Columns of the tables of words, token types and positions."""
        return self.words.width or self.width

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs, in order."""
        return input_names(self.words.token_types)

    @property
    def compares_positions(self) -> bool:
        """Whether attention depends on the positions of tokens, beside their states."""
        parts = [block.attention for block in self.blocks]
        return (self.relative or self.distances) is not None or any(
            (part.rotary or part.convolution) is not None or not part.sees_all for part in parts
        )

    @property
    def is_causal(self) -> bool:
        """Whether tokens of some layer see only themselves and earlier ones."""
        return any(block.attention.causal for block in self.blocks)
