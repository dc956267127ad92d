"""A network, its head and its tensors as a GGUF file of llama.cpp's BERT."""

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
from minnow.export.gguf.vocabulary import read_vocabulary
from minnow.model.checkpoint import tensor_names
from minnow.model.network import (
    Activation,
    Attention,
    Block,
    FeedForward,
    LayerNorm,
    Placement,
)
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.model.head import Head
    from minnow.model.network import Network
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
_ACTIVATIONS = (Activation.GELU, Activation.GELU_TANH)
VALUE_TYPES = {bool: "BOOL", int: "UINT32", float: "FLOAT32", str: "STRING"}


def gguf_metadata(original: Original) -> dict[str, Any]:
    """Return all keys of a model's GGUF file, but for the type of its tensors.

    Raises:
        UnsupportedModelError: llama.cpp cannot run such a network or tokenizer.
    """
    source, network, embedding = original.source, original.network, original.embedding
    if faults := _network_faults(network, original.head):
        raise UnsupportedModelError(f"llama.cpp cannot run {source.name}: {'; '.join(faults)}.")
    block = network.blocks[0]
    return {
        "general.name": source.model_id or source.folder.name,
        f"{ARCHITECTURE}.context_length": network.longest,
        f"{ARCHITECTURE}.embedding_length": network.width,
        f"{ARCHITECTURE}.block_count": len(network.blocks),
        f"{ARCHITECTURE}.feed_forward_length": block.feed_forward.width,
        f"{ARCHITECTURE}.attention.head_count": block.attention.heads,
        f"{ARCHITECTURE}.attention.layer_norm_epsilon": original.encoder.layer_norm_eps,
        f"{ARCHITECTURE}.attention.causal": False,
        f"{ARCHITECTURE}.pooling_type": _POOLINGS[embedding.pooling],
        MAX_TOKENS: embedding.max_tokens,
        NORMALIZE: embedding.normalize,
        SIMILARITY: embedding.similarity.value,
        QUERY_PROMPT: embedding.role_prompts.query,
        DOCUMENT_PROMPT: embedding.role_prompts.document,
        **read_vocabulary(source, original.encoder, embedding),
    }


def _network_faults(network: Network, head: Head) -> list[str]:
    """Compare a network with the one that llama.cpp computes for this architecture."""
    faults = []
    if head.pooling not in _POOLINGS:
        known = ", ".join(pooling.value for pooling in _POOLINGS)
        faults.append(f"it pools by {head.pooling.value}, and llama.cpp by {known} only")
    if head.truncate is not None:
        faults.append(f"it keeps {head.truncate} numbers of a vector, and llama.cpp all")
    blocks = network.blocks
    others = {block.feed_forward.activation for block in blocks} - set(_ACTIVATIONS)
    faults += [
        f"its activation is {other.value}, and llama.cpp's BERT has gelu only" for other in others
    ]
    if any(block.placement is Placement.PRE for block in blocks):
        faults.append("it normalises before each part of a layer, and llama.cpp's BERT after it")
    if network.embedding_norm is None or network.final_norm is not None:
        faults.append("llama.cpp's BERT normalises its embeddings, and its last states only once")
    if network.positions is None or network.compares_positions:
        faults.append("llama.cpp's BERT knows positions by a table that is added to the words only")
    if faults == [] and any(block != _bert_block(block) for block in blocks):
        faults.append("its layers are not those of llama.cpp's BERT")
    return faults


def _bert_block(block: Block) -> Block:
    """Return the layer of BERT with the sizes of another."""
    attention, part = block.attention, block.feed_forward
    norm = next((n for n in (block.output_norm, block.attention_norm) if n), None)
    eps = norm.eps if norm else 0.0
    return Block(
        Attention(attention.heads, attention.head_size, attention.head_size**-0.5),
        FeedForward(part.width, part.activation),
        LayerNorm(eps),
        LayerNorm(eps),
    )


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

    writer = gguf.GGUFWriter(path, ARCHITECTURE)
    for key, value in {**metadata, "general.file_type": file_type}.items():
        kind = VALUE_TYPES.get(type(value), "ARRAY")
        writer.add_key_value(key, value, gguf.GGUFValueType[kind])
    for our, part in tensor_names(_NAMES, original.network).items():
        tensor = _tensor(original, our)
        narrow = tensor.ndim == 2 and our not in _ALWAYS_F32
        stored = gguf.GGMLQuantizationType[matrices if narrow else "F32"]
        with np.errstate(over="ignore"):  # the proof finds what float16 cannot hold
            writer.add_tensor(part.name, gguf.quantize(tensor, stored), raw_dtype=stored)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _tensor(original: Original, name: str) -> NDArray[np.float32]:
    """Return a tensor; of the position table, only the rows from the first token's on."""
    tensor = original.tensors[name]
    positions = original.network.positions
    if name == "embeddings.position" and positions:
        tensor = tensor[positions.offset :]
    return np.ascontiguousarray(tensor)
