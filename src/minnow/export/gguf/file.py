"""A network, its head and its tensors as a GGUF file of one of llama.cpp's encoders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.engines.llama_cpp_model import (
    DOCUMENT_PROMPT,
    MAX_TOKENS,
    NORMALIZE,
    QUERY_PROMPT,
    SIMILARITY,
)
from minnow.errors import UnsupportedModelError
from minnow.export.gguf.architectures import architecture_of
from minnow.export.gguf.ranking import RANK, head_tensors, ranking_faults, ranking_values
from minnow.export.gguf.vocabulary import read_vocabulary
from minnow.model.factors import factor_of
from minnow.model.parameters import tensor_names
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.model.head import Head
    from minnow.model.network import Network
    from minnow.model.original import Original

_ALWAYS_F32 = ("embeddings.position", "embeddings.token_type")
_POOLINGS = {Pooling.MEAN: 1, Pooling.CLS: 2, Pooling.LAST_TOKEN: 3}
VALUE_TYPES = {bool: "BOOL", int: "UINT32", float: "FLOAT32", str: "STRING"}


def gguf_metadata(original: Original) -> dict[str, Any]:
    """Return all keys of a model's GGUF file, but for the type of its tensors.

    Raises:
        UnsupportedModelError: llama.cpp cannot run such a network or tokenizer.
    """
    source, network, embedding = original.source, original.network, original.embedding
    if any(block.attention.convolution for block in network.blocks):
        raise UnsupportedModelError(
            f"{source.name} has layers that convolve, and minnow writes no GGUF file of those. "
            "llama.cpp's convert_hf_to_gguf.py does."
        )
    if faults := _faults(original, network):
        raise UnsupportedModelError(f"llama.cpp cannot run {source.name}: {'; '.join(faults)}.")
    block, architecture = network.blocks[0], architecture_of(network)
    values = {
        "context_length": network.longest,
        "embedding_length": network.width,
        "block_count": len(network.blocks),
        "feed_forward_length": block.feed_forward.width,
        "attention.head_count": block.attention.heads,
        "attention.layer_norm_epsilon": original.encoder.layer_norm_eps,
        "attention.causal": network.is_causal,
        "pooling_type": _POOLINGS[embedding.pooling] if original.reranking is None else RANK,
        **architecture.values(network),
    }
    ranking = {} if original.reranking is None else ranking_values(original, architecture)
    return {
        "general.name": source.model_id or source.folder.name,
        **{f"{architecture.name}.{key}": value for key, value in values.items()},
        MAX_TOKENS: embedding.max_tokens,
        NORMALIZE: embedding.normalize,
        SIMILARITY: embedding.similarity.value,
        QUERY_PROMPT: embedding.role_prompts.query,
        DOCUMENT_PROMPT: embedding.role_prompts.document,
        **read_vocabulary(source, original.encoder, embedding, original.tokenizer.content),
        **ranking,
    }


def _faults(original: Original, network: Network) -> list[str]:
    """Compare a network and its head with what llama.cpp computes."""
    if not network.blocks:
        return ["it is a table without a network, and llama.cpp's BERT is a network"]
    architecture = architecture_of(network)
    faults = _head_faults(original.head)
    if original.reranking is not None:
        faults = ranking_faults(original, architecture)
    if network.words.width:
        faults.append("its tables are narrower than its states, and those of llama.cpp are not")
    return faults + architecture.faults(network)


def _head_faults(head: Head) -> list[str]:
    """Compare an embedding model's head with what llama.cpp computes."""
    faults = []
    if head.pooling not in _POOLINGS:
        known = ", ".join(pooling.value for pooling in _POOLINGS)
        faults.append(f"it pools by {head.pooling.value}, and llama.cpp by {known} only")
    if not head.is_plain:
        faults.append(f"its head is {head.description}, and llama.cpp's BERT only pools")
    if head.truncate is not None:
        faults.append(f"it keeps {head.truncate} numbers of a vector, and llama.cpp all")
    return faults


def write_file(
    path: Path, original: Original, metadata: Mapping[str, Any], *, file_type: int, matrices: str
) -> None:
    """Write a file.

    Args:
        path: The file.
        original: The model, for its tensors.
        metadata: The result of `gguf_metadata`.
        file_type: llama.cpp's number of a file with such matrices.
        matrices: The type of all matrices but the tables of positions and token types: F32, F16
            or BF16. Everything else is F32.
    """
    import gguf

    network = original.network
    architecture = architecture_of(network)
    writer = gguf.GGUFWriter(path, architecture.name)
    for key, value in {**metadata, "general.file_type": file_type}.items():
        kind = VALUE_TYPES.get(type(value), "ARRAY")
        writer.add_key_value(key, value, gguf.GGUFValueType[kind])
    pieces: dict[str, list[str]] = {}
    for our, part in tensor_names(architecture.names, network).items():
        pieces.setdefault(part.name, []).append(our)
    tensors = {
        name: np.concatenate([_tensor(original, our) for our in ours])
        for name, ours in pieces.items()
    }
    wide = {name for name, ours in pieces.items() if ours[0] in _ALWAYS_F32}
    for name, tensor in (tensors | head_tensors(original, architecture)).items():
        narrow = tensor.ndim == 2 and name not in wide
        stored = gguf.GGMLQuantizationType[matrices if narrow else "F32"]
        with np.errstate(over="ignore"):  # the proof finds what float16 cannot hold
            writer.add_tensor(name, gguf.quantize(tensor, stored), raw_dtype=stored)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _tensor(original: Original, name: str) -> NDArray[np.float32]:
    """Return a tensor; of the position table, only the rows from the first token's on.

    It has the checkpoint's own numbers: llama.cpp scales words by itself.
    """
    tensor = original.tensors[name] / np.float32(factor_of(original.network, name))
    positions = original.network.positions
    if name == "embeddings.position" and positions:
        tensor = tensor[positions.offset :]
    return np.ascontiguousarray(tensor)
