"""The part of a GGUF file that makes a reranker of it: classifier, labels, tokens around pairs.

Source: `build_pooling` in src/llama-graph.cpp of llama.cpp, and `format_rerank` of its server,
which writes the tokens around a query and a document.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.errors import UnsupportedModelError
from minnow.model.head import LayerActivation, LayerKind
from minnow.model.pairs import PairTemplate
from minnow.model.spec import PairTruncation
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from minnow.export.gguf.architectures import Architecture
    from minnow.model.original import Original

RANK = 4
"""llama.cpp's number of the pooling that ends in a classifier."""


@dataclass(frozen=True)
class _Head:
    """A classifier of llama.cpp.

    Attributes:
        pooling: What makes one vector of the states.
        layers: The kind and the activation of each layer.
        names: The name of each layer's tensors.
    """

    pooling: Pooling
    layers: tuple[tuple[LayerKind, LayerActivation], ...]
    names: tuple[str, ...]


_LABELS = (LayerKind.DENSE, LayerActivation.IDENTITY)
_NORM = (LayerKind.LAYER_NORM, LayerActivation.IDENTITY)
_HEADS = {
    "bert": _Head(
        Pooling.CLS,
        ((LayerKind.DENSE, LayerActivation.TANH), _LABELS),
        ("cls", "cls.output"),
    ),
    "modern-bert": _Head(
        Pooling.MEAN,
        ((LayerKind.DENSE, LayerActivation.GELU), _NORM, _LABELS),
        ("cls", "cls.norm", "cls.output"),
    ),
}
"""Architecture -> the classifier that llama.cpp computes behind it."""


def ranking_faults(original: Original, architecture: Architecture) -> list[str]:
    """Compare a reranker with what llama.cpp computes and its server writes."""
    reranking, head = original.reranking, original.head
    assert reranking is not None
    if architecture.name == "qwen3":
        return ["llama.cpp makes probabilities of a Qwen3's labels, and no logits"]
    known = _HEADS.get(architecture.name)
    if known is None:
        return [f"llama.cpp ranks with {' and '.join(_HEADS)} only, not with {architecture.name}"]
    faults = []
    if reranking.segments:
        faults.append(
            "its second text has a token type of its own, and llama.cpp gives all tokens the first"
        )
    if reranking.truncation is not PairTruncation.LONGEST_FIRST:
        faults.append("it cuts the second text only")
    layers = tuple((layer.kind, layer.activation) for layer in head.layers)
    if (head.pooling, layers) != (known.pooling, known.layers):
        faults.append(f"its head is {head.description}, which {architecture.title} does not have")
    norms = [i for i, layer in enumerate(head.layers) if layer.kind is LayerKind.LAYER_NORM]
    if any(original.tensors[f"head.{i}.bias"].any() for i in norms):
        faults.append("its head's norm has a bias, and that of llama.cpp has none")
    if original.embedding.prompts.get(original.embedding.default_prompt_name or ""):
        faults.append("it has a prompt, and llama.cpp's server writes none")
    return faults


def ranking_values(original: Original, architecture: Architecture) -> dict[str, Any]:
    """Return the keys that a reranker's file has beside those of its network and tokenizer.

    Raises:
        UnsupportedModelError: llama.cpp's server puts other tokens around pairs.
    """
    assert original.reranking is not None
    template = PairTemplate.of(original.tokenizer.content)
    before, between, after = template.ids
    if len(before) != 1 or len(after) != 1 or between not in (after, after * 2):
        raise UnsupportedModelError(
            f"llama.cpp's server cannot write the pairs of {original.source.name}: it puts one "
            "token before and one after both texts, and the latter once or twice between them."
        )
    return {
        f"{architecture.name}.classifier.output_labels": list(original.reranking.labels),
        "tokenizer.ggml.bos_token_id": before[0],
        "tokenizer.ggml.eos_token_id": after[0],
        "tokenizer.ggml.seperator_token_id": after[0],
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": True,
        "tokenizer.ggml.add_sep_token": len(between) == 2,
    }


def head_tensors(original: Original, architecture: Architecture) -> dict[str, np.ndarray[Any, Any]]:
    """Return the classifier's tensors by the file's names; norms have no bias there."""
    if original.reranking is None:
        return {}
    found = {}
    for i, name in enumerate(_HEADS[architecture.name].names):
        for kind in ("weight", "bias"):
            tensor = original.tensors.get(f"head.{i}.{kind}")
            if tensor is not None and (name, kind) != ("cls.norm", "bias"):
                found[f"{name}.{kind}"] = np.ascontiguousarray(tensor)
    return found
