"""Specs and tensors as a GGUF file of llama.cpp's BERT."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.engines.llama_cpp import (
    DOCUMENT_PROMPT,
    MAX_TOKENS,
    NORMALIZE,
    QUERY_PROMPT,
    SIMILARITY,
)
from minnow.errors import UnsupportedModelError
from minnow.export.gguf.vocabulary import read_vocabulary
from minnow.model.checkpoint import tensor_names
from minnow.model.network import Activation
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.model.original import Original

ARCHITECTURE = "bert"

_NAMES = {
    "embeddings.word": "token_embd.weight",
    "embeddings.position": "position_embd.weight",
    "embeddings.token_type": "token_types.weight",
    "embeddings.norm": "token_embd_norm",
    "layer.{i}.query": "blk.{i}.attn_q",
    "layer.{i}.key": "blk.{i}.attn_k",
    "layer.{i}.value": "blk.{i}.attn_v",
    "layer.{i}.attention_output": "blk.{i}.attn_output",
    "layer.{i}.attention_norm": "blk.{i}.attn_output_norm",
    "layer.{i}.inner": "blk.{i}.ffn_up",
    "layer.{i}.output": "blk.{i}.ffn_down",
    "layer.{i}.output_norm": "blk.{i}.layer_output_norm",
}
_ALWAYS_F32 = ("embeddings.position", "embeddings.token_type")
_POOLINGS = {Pooling.MEAN: 1, Pooling.CLS: 2, Pooling.LAST_TOKEN: 3}
VALUE_TYPES = {bool: "BOOL", int: "UINT32", float: "FLOAT32", str: "STRING"}


def gguf_metadata(original: Original) -> dict[str, Any]:
    """All keys of a model's GGUF file, but for the type of its tensors.

    Raises:
        UnsupportedModelError: llama.cpp cannot run such a network or tokenizer.
    """
    source, spec, embedding = original.source, original.encoder, original.embedding
    faults = []
    if embedding.pooling not in _POOLINGS:
        known = ", ".join(pooling.value for pooling in _POOLINGS)
        faults.append(f"it pools by {embedding.pooling.value}, and llama.cpp by {known} only")
    if spec.activation is Activation.RELU:
        faults.append("its activation is relu, and llama.cpp's BERT has gelu only")
    if faults:
        raise UnsupportedModelError(f"llama.cpp cannot run {source.name}: {'; '.join(faults)}.")
    return {
        "general.name": source.model_id or source.folder.name,
        f"{ARCHITECTURE}.context_length": spec.max_positions,
        f"{ARCHITECTURE}.embedding_length": spec.width,
        f"{ARCHITECTURE}.block_count": spec.layers,
        f"{ARCHITECTURE}.feed_forward_length": spec.inner_width,
        f"{ARCHITECTURE}.attention.head_count": spec.heads,
        f"{ARCHITECTURE}.attention.layer_norm_epsilon": spec.layer_norm_eps,
        f"{ARCHITECTURE}.attention.causal": False,
        f"{ARCHITECTURE}.pooling_type": _POOLINGS[embedding.pooling],
        MAX_TOKENS: embedding.max_tokens,
        NORMALIZE: embedding.normalize,
        SIMILARITY: embedding.similarity.value,
        QUERY_PROMPT: embedding.role_prompts.query,
        DOCUMENT_PROMPT: embedding.role_prompts.document,
        **read_vocabulary(source, spec, embedding),
    }


def write_file(
    path: Path, original: Original, metadata: Mapping[str, Any], *, file_type: int, matrices: str
) -> None:
    """Write a file.

    Args:
        path: Where.
        original: The tensors.
        metadata: What `gguf_metadata` gave.
        file_type: llama.cpp's number of a file with such matrices.
        matrices: The type of all matrices but the tables of positions and token types: F32, F16
            or BF16. Everything else is F32.
    """
    import gguf

    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    for key, value in {**metadata, "general.file_type": file_type}.items():
        kind = VALUE_TYPES.get(type(value), "ARRAY")
        writer.add_key_value(key, value, gguf.GGUFValueType[kind])
    for our, name in tensor_names(_NAMES, original.network).items():
        tensor = _tensor(original, our)
        narrow = tensor.ndim == 2 and our not in _ALWAYS_F32
        stored = gguf.GGMLQuantizationType[matrices if narrow else "F32"]
        with np.errstate(over="ignore"):  # what float16 cannot hold shows in the proof
            writer.add_tensor(name, gguf.quantize(tensor, stored), raw_dtype=stored)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _tensor(original: Original, name: str) -> NDArray[np.float32]:
    """A tensor; of the position table, only the rows from the first token's on."""
    tensor = original.tensors[name]
    if name == "embeddings.position":
        tensor = tensor[original.encoder.position_offset :]
    return np.ascontiguousarray(tensor)
