"""Specs of a model in a manifest: its hyperparameters, and how its vectors are made.

`minnow.model.config` and `minnow.model.embedding` read both from a model's files. A manifest keeps
hyperparameters rather than the network that follows from them: the family's row turns one into
the other at any time, so there are no two descriptions that could disagree.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import Struct, field

from minnow.errors import InputError
from minnow.model.head import Head, Layer
from minnow.vectors import Pooling, Similarity

QUERY_PROMPT_NAMES = ("query",)
DOCUMENT_PROMPT_NAMES = ("document", "passage", "corpus")

LONG = 2048
"""From this limit of texts on, in tokens, an encoder computes attention one head at a time."""


STATIC = "static"
"""The family of tables without a network; see `minnow.model.static`."""


class Activation(str, Enum):
    """The function between the two matrices of a feed-forward part.

    `GELU_QUOTIENT` is no checkpoint's: MNN computes it in place of the other two where it may.
    """

    GELU = "gelu"
    GELU_TANH = "gelu_tanh"
    GELU_QUOTIENT = "gelu_quotient"
    RELU = "relu"
    SILU = "silu"


class Interface(str, Enum):
    """The output of an encoder; a value is the output's name, as is usual in the field."""

    LAST_HIDDEN_STATE = "last_hidden_state"
    SENTENCE_EMBEDDING = "sentence_embedding"
    SCORES = "scores"

    @property
    def per_text(self) -> bool:
        """Whether the output has a row for each text, which the head made; not for each token."""
        return self is not Interface.LAST_HIDDEN_STATE


EMBEDDING_INTERFACES = (Interface.LAST_HIDDEN_STATE, Interface.SENTENCE_EMBEDDING)
"""The outputs among which an embedding model's recipe chooses."""


class ScoreActivation(str, Enum):
    """The function that makes a reranker's scores of its logits."""

    IDENTITY = "identity"
    SIGMOID = "sigmoid"


class PairTruncation(str, Enum):
    """What a pair over the limit loses, in the words of the `tokenizers` library.

    LONGEST_FIRST cuts the end of the longer text, and of both where half of the room is too little
    for the shorter one. ONLY_SECOND cuts the second text.
    """

    LONGEST_FIRST = "longest_first"
    ONLY_SECOND = "only_second"


class RolePrompts(Struct, frozen=True):
    """The prompts of queries and of documents, put before each text; both may be empty."""

    query: str = ""
    document: str = ""


def role_prompts(prompts: Mapping[str, str]) -> RolePrompts:
    """Choose each role's prompt among named ones; a role without one gets an empty string."""
    roles = (QUERY_PROMPT_NAMES, DOCUMENT_PROMPT_NAMES)
    return RolePrompts(*(next((prompts[n] for n in names if n in prompts), "") for names in roles))


class Choices(Struct, frozen=True):
    """Settings that the user gave in place of the source's files; None: read them there.

    Attributes:
        pooling: Replaces the pooling of `1_Pooling/config.json`.
        normalize: Replaces the presence of a Normalize module.
        max_tokens: Replaces the limit of the tokenizer files.
        query_prompt: Replaces the prompt of queries.
        document_prompt: Replaces the prompt of documents.
    """

    pooling: Pooling | None = None
    normalize: bool | None = None
    max_tokens: int | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None


def input_names(token_types: int) -> tuple[str, ...]:
    """Return the names of an encoder's inputs; token types only where it has a table of them."""
    names = ("input_ids", "attention_mask", "token_type_ids")
    return names if token_types else names[:2]


class EncoderSpec(Struct, frozen=True):
    """A network's hyperparameters; `minnow.model.families.network_of` makes a `Network` of them.

    Attributes:
        family: Name of the row in `minnow.model.families`.
        vocab_size: Rows of the word table.
        width: Length of a token state.
        layers: Transformer layers.
        heads: Attention heads per layer; divides `width`.
        inner_width: Width inside the feed-forward part.
        positions: Rows of the position table; without one, the longest sequence in tokens.
        position_offset: The row of the first token's position (0; 2 for RoBERTa).
        token_types: Rows of the token type table; 0 where the model has none.
        activation: The feed-forward activation.
        layer_norm_eps: Added to the variance, or the mean square, in every norm.
        pad_token_id: The id that fills up shorter texts of a batch.
        settings: What only some families have, as the family's row reads it (see
            `minnow.model.settings`); a manifest has it only where it is not empty.
        stream: Factor of the states between the layers, a power of two, which the conversion
            chooses (`minnow.model.magnitudes`); the checkpoint has none.
        powers: Powers of two of numbers inside layers, which it chooses too: "layer.3.units" -> -4;
            see `minnow.model.factors.scale_parts`.
    """

    family: str
    vocab_size: int
    width: int
    layers: int
    heads: int
    inner_width: int
    positions: int
    position_offset: int
    token_types: int
    activation: Activation
    layer_norm_eps: float
    pad_token_id: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    stream: float = 1.0
    powers: Mapping[str, int] = field(default_factory=dict)

    @property
    def max_positions(self) -> int:
        """The longest sequence, in tokens."""
        return self.positions - self.position_offset

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the graph's inputs, in order; token types only where the model has them."""
        return input_names(self.token_types)


class ChatFrame(Struct, frozen=True):
    """The texts around a query and a document in the one text that a chat template makes of both.

    Attributes:
        before: What precedes the query where there is no prompt.
        between: What stands between both.
        after: What follows the document; a pair over the limit keeps its tokens.
        around_prompt: What precedes a prompt, and what stands between it and the query; None where
            the template has no place for one.
    """

    before: str
    between: str
    after: str
    around_prompt: tuple[str, str] | None = None

    def join(self, query: str, document: str, prompt: str = "") -> str:
        """Return the text of a pair.

        Raises:
            InputError: There is a prompt, and no place for it.
        """
        before = self.before
        if prompt:
            if self.around_prompt is None:
                raise InputError("The chat template of this reranker has no place for a prompt.")
            before = prompt.join(self.around_prompt)
        return f"{before}{query}{self.between}{document}{self.after}"


class RerankingSpec(Struct, frozen=True):
    """Steps that a reranker adds: from a pair to its tokens, and from its logits to its scores.

    The logits are the vector that the head gives; see `EmbeddingSpec`.

    Attributes:
        labels: The name of each logit, in order.
        activation: What makes scores of the logits.
        truncation: What a pair over the limit loses.
        segments: Whether the tokens of the second text have a token type of their own.
        chat: The texts around a pair, where a chat template makes one text of it.
    """

    labels: tuple[str, ...]
    activation: ScoreActivation
    truncation: PairTruncation = PairTruncation.LONGEST_FIRST
    segments: bool = False
    chat: ChatFrame | None = None


class EmbeddingSpec(Struct, frozen=True):
    """Steps from a text to one vector; in a reranker, from a pair of texts to its logits.

    Attributes:
        pooling: How token states become one vector.
        normalize: Whether the model's own pipeline has L2 normalisation after the pooling.
        max_tokens: The longest input in tokens, special tokens included; the rest is cut off.
        lowercase: Lowercase the text before the tokenizer (sentence-transformers' do_lower_case).
        prompts: Prompt name -> text put before the input.
        default_prompt_name: The prompt of a plain `encode`, or None.
        similarity: How the model's vectors are meant to be compared.
        prompts_source: Where the prompts were found, for the model card.
        truncate_dim: Keep so many numbers of a vector, the first, after L2 normalisation if there
            is any, as sentence-transformers does; None keeps all.
        joined_poolings: Further poolings, whose vectors follow that of the first.
        layers: What the pooled vector passes through before it is normalised.
        unpooled_ids: Ids of tokens that pooling leaves out; a text of no others gives zeros.
        include_prompt: Whether the tokens of a prompt are pooled too.
    """

    pooling: Pooling
    normalize: bool
    max_tokens: int
    lowercase: bool = False
    prompts: Mapping[str, str] = field(default_factory=dict)
    default_prompt_name: str | None = None
    similarity: Similarity = Similarity.COSINE
    prompts_source: str = "none"
    truncate_dim: int | None = None
    joined_poolings: tuple[Pooling, ...] = ()
    layers: tuple[Layer, ...] = ()
    unpooled_ids: tuple[int, ...] = ()
    include_prompt: bool = True

    @property
    def is_long(self) -> bool:
        """Whether the canonical graph has attention for long texts; see `minnow.graph.long`."""
        return self.max_tokens >= LONG

    @property
    def head(self) -> Head:
        """What follows the token states."""
        return Head(
            self.pooling,
            self.normalize,
            self.truncate_dim,
            self.joined_poolings,
            self.layers,
            self.unpooled_ids,
            self.include_prompt,
        )

    @property
    def role_prompts(self) -> RolePrompts:
        """The prompts of queries and of documents."""
        return role_prompts(self.prompts)


def rebuilt_interface(embedding: EmbeddingSpec, reranking: RerankingSpec | None) -> Interface:
    """Return the output of a graph for other engines than MNN: states where they need pooling only.

    Joined poolings and layers are part of every graph.
    """
    if reranking is not None:
        return Interface.SCORES
    plain = embedding.head.is_plain
    return Interface.LAST_HIDDEN_STATE if plain else Interface.SENTENCE_EMBEDDING
