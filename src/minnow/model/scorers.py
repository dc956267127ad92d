"""Scorers: the part of a cross-encoder that makes logits, in each form that its files have.

Source: `CrossEncoder` of sentence-transformers 6.2: a class of transformers that gives them, a
causal language model with `LogitScore`, or a network with Pooling and Dense modules, of which the
last gives `scores`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minnow.errors import SourceError, UnsupportedModelError
from minnow.model.chat import ChatTemplate, read_chat_template
from minnow.model.checkpoint import read_named, read_tensors
from minnow.model.classifiers import CLASSIFIES, LABEL_OF_LAST_TOKEN, read_classifier
from minnow.model.config import read_object
from minnow.model.head import Head, LayerKind, layer_shapes
from minnow.model.layers import read_layer_tensors, read_layers
from minnow.model.layout import list_names
from minnow.model.listing import CONFIG, MODULES, Listing
from minnow.model.logit_score import read_logit_score
from minnow.model.modules import (
    CLASSIFICATION,
    GENERATION,
    LOGIT_SCORE,
    POOLED_SCORES,
    TransformerTask,
    module_config,
    pooling_modes,
    pools_prompt,
    read_modules,
    reads_messages,
)

if TYPE_CHECKING:
    from minnow.model.source import ModelSource
    from minnow.model.spec import EncoderSpec
    from minnow.model.tokenizer_adoption import SourceTokenizer

Tensors = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Scorer:
    """The part of a cross-encoder that makes logits of token states.

    Attributes:
        labels: The name of each logit.
        head: The way from token states to logits.
        limits: The content of the Transformer's own file.
        tensors: Reads the tensors of the network and of the head, under our names.
        chat: The template that makes one text of a pair; None where the tokenizer joins them.
    """

    labels: tuple[str, ...]
    head: Head
    limits: Mapping[str, Any]
    tensors: Callable[[], Tensors]
    chat: ChatTemplate | None = None


def read_task(source: ModelSource) -> TransformerTask:
    """Read what a cross-encoder's Transformer is loaded for, from the modules that follow it."""
    names = Listing(source.name, list_names(source.folder), source.folder).modules
    if any(name.endswith(f".{LOGIT_SCORE}") for name in names):
        return GENERATION
    return POOLED_SCORES if any(name.endswith(".Pooling") for name in names) else CLASSIFICATION


def read_scorer(
    source: ModelSource,
    encoder: EncoderSpec,
    tokenizer: SourceTokenizer,
    task: TransformerTask,
    limits: Mapping[str, Any],
) -> Scorer:
    """Read the part of a cross-encoder that makes logits of token states.

    Args:
        source: The model's files.
        encoder: The network.
        tokenizer: The model's tokenizer.
        task: What `read_task` read.
        limits: What `read_limits` read for that task.

    Raises:
        SourceError: A file contradicts itself or another.
        UnsupportedModelError: They ask for something that minnow does not compute.
        MissingExtraError: The extra `convert` is not installed.
    """
    chat = read_chat_template(source, limits) if reads_messages(limits) else None
    if task is GENERATION:
        return _read_causal(source, encoder, tokenizer, limits, chat)
    if task is POOLED_SCORES:
        return _read_pooled(source, encoder, limits)
    return _read_classified(source, encoder, limits, chat)


def _read_causal(
    source: ModelSource,
    encoder: EncoderSpec,
    tokenizer: SourceTokenizer,
    limits: Mapping[str, Any],
    chat: ChatTemplate | None,
) -> Scorer:
    score = read_logit_score(source, encoder, tokenizer)
    head = LABEL_OF_LAST_TOKEN.head

    def tensors() -> Tensors:
        network = read_tensors(source, encoder)
        row = score.row(source, network["embeddings.word"])
        return network | dict.fromkeys(layer_shapes(head, encoder.width), row)

    return Scorer((score.label,), head, limits, tensors, chat)


def _read_classified(
    source: ModelSource,
    encoder: EncoderSpec,
    limits: Mapping[str, Any],
    chat: ChatTemplate | None,
) -> Scorer:
    """Read the head of a class of transformers."""
    config = read_object(source.file(CONFIG))
    stated = config.get("architectures") or []
    if not any(str(name).endswith(CLASSIFIES) for name in stated):
        raise UnsupportedModelError(
            f"{source.name} is a reranker of the class {', '.join(map(str, stated)) or 'none'}; "
            f"minnow converts those of classes that end with {CLASSIFIES}."
        )
    labels = _read_labels(config)
    classifier = read_classifier(encoder, config, len(labels))

    def tensors() -> Tensors:
        shapes = layer_shapes(classifier.head, encoder.width)
        names = classifier.tensor_names(shapes)
        zeros = {name: np.zeros(shapes[name], np.float32) for name in classifier.zeros}
        head = read_named(source, names, shapes) | zeros
        return read_tensors(source, encoder, others=names.values()) | head

    return Scorer(labels, classifier.head, limits, tensors, chat)


def _read_labels(config: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the name of each logit, as transformers does: `id2label`, or two without names."""
    stated = config.get("id2label")
    if stated is None:
        return tuple(f"LABEL_{i}" for i in range(int(config.get("num_labels") or 2)))
    try:
        named = {int(number): str(name) for number, name in stated.items()}
    except (AttributeError, ValueError) as error:
        raise SourceError(f"{CONFIG}: id2label should map numbers to names.") from error
    if not named or sorted(named) != list(range(len(named))):
        raise SourceError(f"{CONFIG}: id2label numbers its labels {sorted(named)}, not from 0 on.")
    return tuple(named[i] for i in range(len(named)))


def _read_pooled(source: ModelSource, encoder: EncoderSpec, limits: Mapping[str, Any]) -> Scorer:
    """Read the modules Pooling and Dense, of which the last gives the logits."""
    modules = read_modules(source) or ()
    path = module_config(source, next(module for module in modules if module.kind == "Pooling"))
    config = read_object(path)
    poolings = pooling_modes(config, path, encoder.width)
    if not poolings or not pools_prompt(config, path):
        raise UnsupportedModelError(
            f"{path} asks for no pooling, or leaves prompts out, which minnow does not compute for "
            "a reranker."
        )
    layers, normalizes = read_layers(source, encoder.width * len(poolings), output="scores")
    if normalizes or not layers or layers[-1].kind is not LayerKind.DENSE:
        raise UnsupportedModelError(
            f"{source.name} is a reranker whose {MODULES} names Pooling: the last module should be "
            "a Dense that gives scores."
        )
    head = Head(poolings[0], joined=tuple(poolings[1:]), layers=layers)
    labels = tuple(f"LABEL_{i}" for i in range(layers[-1].width))
    return Scorer(
        labels,
        head,
        limits,
        lambda: read_tensors(source, encoder) | read_layer_tensors(source, head, encoder.width),
    )
