"""A model as its author published it: files, specs and tensors, read and checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minnow.model.chat import ChatTemplate
from minnow.model.checkpoint import read_tensors
from minnow.model.config import read_encoder_spec
from minnow.model.embedding import read_embedding_spec
from minnow.model.families import network_of
from minnow.model.layers import read_layer_tensors
from minnow.model.modules import read_limits, reads_messages
from minnow.model.reranking import is_reranker, read_reranker
from minnow.model.router import refuse_routes
from minnow.model.scorers import read_scorer, read_task
from minnow.model.source import ModelSource
from minnow.model.spec import (
    Choices,
    EmbeddingSpec,
    EncoderSpec,
    Interface,
    RerankingSpec,
    rebuilt_interface,
)
from minnow.model.static import (
    check_static_tokenizer,
    is_static,
    read_static_spec,
    read_static_table,
    static_tokenizer,
)
from minnow.model.tokenizer_adoption import SourceTokenizer
from minnow.model.tokenizer_check import check_tokenizer

if TYPE_CHECKING:
    from minnow.model.head import Head
    from minnow.model.network import Network

Tensors = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Original:
    """A model as its author published it.

    Attributes:
        source: Its files.
        encoder: The network's hyperparameters.
        embedding: How its vectors are made.
        tensors: The tensors of the network and of the head's layers, under our names.
        tokenizer: Its tokenizer, which need not be its tokenizer.json.
        reranking: What a reranker adds; None for an embedding model.
        chat: The template that makes one text of a pair, where it is not the tokenizer's.
    """

    source: ModelSource
    encoder: EncoderSpec
    embedding: EmbeddingSpec
    tensors: Tensors
    tokenizer: SourceTokenizer
    reranking: RerankingSpec | None = None
    chat: ChatTemplate | None = None

    @property
    def network(self) -> Network:
        """The forward pass, from token ids to token states."""
        return network_of(self.encoder)

    @property
    def rebuilt_interface(self) -> Interface:
        """The output of a graph for other engines than MNN; see `rebuilt_interface`."""
        return rebuilt_interface(self.embedding, self.reranking)

    @property
    def head(self) -> Head:
        """The way from token states to a vector."""
        return self.embedding.head


def read_original(source: ModelSource, choices: Choices = Choices()) -> Original:
    """Read all of a model.

    Args:
        source: Its files.
        choices: Settings that the user gave in place of them.

    Raises:
        SourceError: The files are not a model that minnow converts, or contradict each other.
        MissingExtraError: The extra `convert` is not installed.
    """
    refuse_routes(source)
    if is_reranker(source):
        return _read_reranker(source, choices)
    static = is_static(source)
    encoder = read_static_spec(source) if static else read_encoder_spec(source)
    embedding = read_embedding_spec(source, encoder, choices)
    tokenizer = read_tokenizer(source, encoder)
    head = read_layer_tensors(source, embedding.head, encoder.width)
    tensors = (
        {"embeddings.word": read_static_table(source)} if static else read_tensors(source, encoder)
    )
    return Original(source, encoder, embedding, tensors | head, tokenizer)


def _read_reranker(source: ModelSource, choices: Choices) -> Original:
    encoder = read_encoder_spec(source)
    task = read_task(source)
    limits = read_limits(source, task)
    tokenizer = read_tokenizer(source, encoder, pairs=not reads_messages(limits))
    scorer = read_scorer(source, encoder, tokenizer, task, limits)
    embedding, reranking = read_reranker(source, encoder, tokenizer, scorer, choices)
    return Original(source, encoder, embedding, scorer.tensors(), tokenizer, reranking, scorer.chat)


def read_tokenizer(
    source: ModelSource, encoder: EncoderSpec, *, pairs: bool = False
) -> SourceTokenizer:
    """Read and check the tokenizer of a source, as a bundle carries it.

    Args:
        source: The model's files.
        encoder: The network.
        pairs: Whether it tokenises pairs of texts.

    Raises:
        SourceError: Its files do not fit the model, contradict each other, or cannot be read.
    """
    if is_static(source):
        check_static_tokenizer(source, encoder)
        return SourceTokenizer(static_tokenizer(source))
    return check_tokenizer(source, encoder, pairs=pairs)


def tell_changes(original: Original, progress: Callable[[str], None]) -> None:
    """Report what a bundle has otherwise than its source: towers, and the tokenizer."""
    if original.network.words.placeholders:
        progress(
            "taking the network that reads texts alone: the towers for images and sounds are left "
            "out, and their tokens in a text read the row of padding, as in transformers"
        )
    if original.tokenizer.rebuilt is not None:
        progress(
            "taking the tokenizer that AutoTokenizer makes of all files, in place of "
            f"tokenizer.json: {original.tokenizer.rebuilt}"
        )
