"""Names of a network's tensors in the checkpoints of each family.

They are those of `transformers`, and those of an author's own code where that came first;
`transformers` reads both, and writes the author's (its conversion_mapping.py).

Our name of a tensor, or of a weight/bias pair, -> the checkpoint's; `{i}` is a layer. Some
checkpoints store several matrices as one: `Part` says which rows of it belong to ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Part:
    """A tensor of a checkpoint, or equal parts of its rows.

    Attributes:
        name: Its name, or that of its weight/bias pair.
        index: The part, from 0.
        of: The number of parts.
        by_layer: Whether each layer has a part, in their order.
        plus: Added to its numbers.
        replaced: Rows that get the numbers of the row `by`.
        by: The row that replaces them.
    """

    name: str
    index: int = 0
    of: int = 1
    by_layer: bool = False
    plus: float = 0.0
    replaced: tuple[int, ...] = ()
    by: int = 0


@dataclass(frozen=True)
class Naming:
    """One way to name the tensors of a family.

    Attributes:
        prefix: Prefix of every name in some checkpoints (task heads, pretraining).
        tensors: Our name -> the checkpoint's.
        also: Other prefixes that there are.
    """

    prefix: str
    tensors: Mapping[str, str | Part]
    also: tuple[str, ...] = ()


def convolved(our: str) -> str:
    """Return the name of a layer's module in the layers that convolve, if they have their own."""
    return our.replace("layer.{i}.", "convolved.{i}.", 1)


def parts(name: str, *ours: str) -> dict[str, Part]:
    """Name matrices that a checkpoint stores as one, in the order of their rows."""
    return {our: Part(name, i, len(ours)) for i, our in enumerate(ours)}


_QKV = ("layer.{i}.query", "layer.{i}.key", "layer.{i}.value")
_WORDS = {
    "embeddings.word": "embeddings.word_embeddings.weight",
    "embeddings.token_type": "embeddings.token_type_embeddings.weight",
    "embeddings.norm": "embeddings.LayerNorm",
}

BERT = _WORDS | {
    "embeddings.position": "embeddings.position_embeddings.weight",
    "layer.{i}.query": "encoder.layer.{i}.attention.self.query",
    "layer.{i}.key": "encoder.layer.{i}.attention.self.key",
    "layer.{i}.value": "encoder.layer.{i}.attention.self.value",
    "layer.{i}.attention_output": "encoder.layer.{i}.attention.output.dense",
    "layer.{i}.attention_norm": "encoder.layer.{i}.attention.output.LayerNorm",
    "layer.{i}.inner": "encoder.layer.{i}.intermediate.dense",
    "layer.{i}.output": "encoder.layer.{i}.output.dense",
    "layer.{i}.output_norm": "encoder.layer.{i}.output.LayerNorm",
}


def _pre_norm(attention_norm: str, output_norm: str, final_norm: str) -> dict[str, str]:
    """Name the tensors of a BERT with norms before its parts, and none after its tables."""
    norms = {
        "layer.{i}.attention_norm": f"encoder.layer.{{i}}.attention.{attention_norm}",
        "layer.{i}.output_norm": f"encoder.layer.{{i}}.{output_norm}",
        "final_norm": f"encoder.{final_norm}",
    }
    return {ours: name for ours, name in BERT.items() if ours != "embeddings.norm"} | norms


MEGATRON = _pre_norm("ln", "ln", "ln")
XLM_ROBERTA_XL = _pre_norm("self_attn_layer_norm", "LayerNorm", "LayerNorm")

DISTILBERT = _WORDS | {
    "embeddings.position": "embeddings.position_embeddings.weight",
    "layer.{i}.query": "transformer.layer.{i}.attention.q_lin",
    "layer.{i}.key": "transformer.layer.{i}.attention.k_lin",
    "layer.{i}.value": "transformer.layer.{i}.attention.v_lin",
    "layer.{i}.attention_output": "transformer.layer.{i}.attention.out_lin",
    "layer.{i}.attention_norm": "transformer.layer.{i}.sa_layer_norm",
    "layer.{i}.inner": "transformer.layer.{i}.ffn.lin1",
    "layer.{i}.output": "transformer.layer.{i}.ffn.lin2",
    "layer.{i}.output_norm": "transformer.layer.{i}.output_layer_norm",
}

MPNET = BERT | {
    "relative_bias": "encoder.relative_attention_bias.weight",
    "layer.{i}.query": "encoder.layer.{i}.attention.attn.q",
    "layer.{i}.key": "encoder.layer.{i}.attention.attn.k",
    "layer.{i}.value": "encoder.layer.{i}.attention.attn.v",
    "layer.{i}.attention_output": "encoder.layer.{i}.attention.attn.o",
    "layer.{i}.attention_norm": "encoder.layer.{i}.attention.LayerNorm",
}

MODERNBERT: Mapping[str, str | Part] = {
    "embeddings.word": "embeddings.tok_embeddings.weight",
    "embeddings.norm": "embeddings.norm",
    **parts("layers.{i}.attn.Wqkv", *_QKV),
    "layer.{i}.attention_output": "layers.{i}.attn.Wo",
    "layer.{i}.attention_norm": "layers.{i}.attn_norm",
    **parts("layers.{i}.mlp.Wi", "layer.{i}.gate", "layer.{i}.inner"),
    "layer.{i}.output": "layers.{i}.mlp.Wo",
    "layer.{i}.output_norm": "layers.{i}.mlp_norm",
    "final_norm": "final_norm",
}

_POST_NORM_LLAMA = _WORDS | {
    "layer.{i}.query": "layers.{i}.self_attn.q_proj",
    "layer.{i}.key": "layers.{i}.self_attn.k_proj",
    "layer.{i}.value": "layers.{i}.self_attn.v_proj",
    "layer.{i}.attention_output": "layers.{i}.self_attn.o_proj",
    "layer.{i}.attention_norm": "layers.{i}.post_attention_layernorm",
    "layer.{i}.gate": "layers.{i}.mlp.gate_proj",
    "layer.{i}.inner": "layers.{i}.mlp.up_proj",
    "layer.{i}.output": "layers.{i}.mlp.down_proj",
    "layer.{i}.output_norm": "layers.{i}.post_mlp_layernorm",
}
NOMIC = GTE = _POST_NORM_LLAMA

NOMIC_PUBLISHED: Mapping[str, str | Part] = _WORDS | {
    "embeddings.norm": "emb_ln",
    **parts("encoder.layers.{i}.attn.Wqkv", *_QKV),
    "layer.{i}.attention_output": "encoder.layers.{i}.attn.out_proj",
    "layer.{i}.attention_norm": "encoder.layers.{i}.norm1",
    "layer.{i}.gate": "encoder.layers.{i}.mlp.fc12",
    "layer.{i}.inner": "encoder.layers.{i}.mlp.fc11",
    "layer.{i}.output": "encoder.layers.{i}.mlp.fc2",
    "layer.{i}.output_norm": "encoder.layers.{i}.norm2",
}
"""Names in nomic-ai's own code; without a gate, the first matrix is called fc1."""
NOMIC_PLAIN = {**NOMIC_PUBLISHED, "layer.{i}.inner": "encoder.layers.{i}.mlp.fc1"}

GTE_PUBLISHED: Mapping[str, str | Part] = _WORDS | {
    **parts("encoder.layer.{i}.attention.qkv_proj", *_QKV),
    "layer.{i}.attention_output": "encoder.layer.{i}.attention.o_proj",
    "layer.{i}.attention_norm": "encoder.layer.{i}.attn_ln",
    **parts("encoder.layer.{i}.mlp.up_gate_proj", "layer.{i}.inner", "layer.{i}.gate"),
    "layer.{i}.output": "encoder.layer.{i}.mlp.down_proj",
    "layer.{i}.output_norm": "encoder.layer.{i}.mlp_ln",
}
"""Names in Alibaba's own code (new-impl), where one product gives queries, keys and values."""
GTE_UNPACKED = {
    **GTE_PUBLISHED,
    "layer.{i}.query": "encoder.layer.{i}.attention.q_proj",
    "layer.{i}.key": "encoder.layer.{i}.attention.k_proj",
    "layer.{i}.value": "encoder.layer.{i}.attention.v_proj",
}

EUROBERT = _POST_NORM_LLAMA | {
    "embeddings.word": "embed_tokens.weight",
    "layer.{i}.attention_norm": "layers.{i}.input_layernorm",
    "layer.{i}.output_norm": "layers.{i}.post_attention_layernorm",
    "final_norm": "norm",
}

QWEN3 = EUROBERT | {
    "layer.{i}.query_norm": "layers.{i}.self_attn.q_norm",
    "layer.{i}.key_norm": "layers.{i}.self_attn.k_norm",
}

_GEMMA3_NORMS = {
    "layer.{i}.query_norm": "layers.{i}.self_attn.q_norm",
    "layer.{i}.key_norm": "layers.{i}.self_attn.k_norm",
    "layer.{i}.attention_norm": "layers.{i}.input_layernorm",
    "layer.{i}.attention_end_norm": "layers.{i}.post_attention_layernorm",
    "layer.{i}.output_norm": "layers.{i}.pre_feedforward_layernorm",
    "layer.{i}.output_end_norm": "layers.{i}.post_feedforward_layernorm",
    "final_norm": "norm",
}
GEMMA3: Mapping[str, str | Part] = EUROBERT | {
    our: Part(theirs, plus=1.0) for our, theirs in _GEMMA3_NORMS.items()
}
"""Weights of norms are stored less one."""

EMBEDDING_GEMMA2: Mapping[str, str | Part] = (
    EUROBERT
    | _GEMMA3_NORMS
    | {
        "layer.{i}.words_gate": "layers.{i}.ple_block.per_layer_input_gate",
        "layer.{i}.words_inner": Part("ple.per_layer_model_projection", by_layer=True),
        "layer.{i}.words_norm": "ple.per_layer_projection_norm",
        "layer.{i}.words_output": "layers.{i}.ple_block.per_layer_projection",
        "layer.{i}.words_end_norm": "layers.{i}.ple_block.post_per_layer_input_norm",
        "layer.{i}.scale": "layers.{i}.layer_scalar",
        "projection": "embedding_projection",
    }
)

LFM2: Mapping[str, str | Part] = {
    "embeddings.word": "embed_tokens.weight",
    "layer.{i}.attention_norm": "layers.{i}.operator_norm",
    "layer.{i}.query": "layers.{i}.self_attn.q_proj",
    "layer.{i}.key": "layers.{i}.self_attn.k_proj",
    "layer.{i}.value": "layers.{i}.self_attn.v_proj",
    "layer.{i}.query_norm": "layers.{i}.self_attn.q_layernorm",
    "layer.{i}.key_norm": "layers.{i}.self_attn.k_layernorm",
    "layer.{i}.attention_output": "layers.{i}.self_attn.out_proj",
    **parts("layers.{i}.conv.in_proj", *map(convolved, (_QKV[1], _QKV[0], _QKV[2]))),
    "convolved.{i}.convolution": "layers.{i}.conv.conv",
    "convolved.{i}.attention_output": "layers.{i}.conv.out_proj",
    "layer.{i}.output_norm": "layers.{i}.ffn_norm",
    "layer.{i}.gate": "layers.{i}.feed_forward.w1",
    "layer.{i}.inner": "layers.{i}.feed_forward.w3",
    "layer.{i}.output": "layers.{i}.feed_forward.w2",
    "final_norm": "embedding_norm",
}
"""One product gives a convolution's keys, queries and values, in this order."""

ELECTRA = BERT | {"embeddings.projection": "embeddings_project"}

_ALBERT_LAYER = "encoder.albert_layer_groups.0.albert_layers.0"
ALBERT = _WORDS | {
    "embeddings.position": "embeddings.position_embeddings.weight",
    "embeddings.projection": "encoder.embedding_hidden_mapping_in",
    "layer.{i}.query": f"{_ALBERT_LAYER}.attention.query",
    "layer.{i}.key": f"{_ALBERT_LAYER}.attention.key",
    "layer.{i}.value": f"{_ALBERT_LAYER}.attention.value",
    "layer.{i}.attention_output": f"{_ALBERT_LAYER}.attention.dense",
    "layer.{i}.attention_norm": f"{_ALBERT_LAYER}.attention.LayerNorm",
    "layer.{i}.inner": f"{_ALBERT_LAYER}.ffn",
    "layer.{i}.output": f"{_ALBERT_LAYER}.ffn_output",
    "layer.{i}.output_norm": f"{_ALBERT_LAYER}.full_layer_layer_norm",
}
"""All layers are one, and have its tensors."""


def _t5(words: str, units: Mapping[str, str | Part]) -> dict[str, str | Part]:
    block = "encoder.block.{i}.layer"
    return {
        "embeddings.word": words,
        "relative_bias": "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight",
        "layer.{i}.query": f"{block}.0.SelfAttention.q",
        "layer.{i}.key": f"{block}.0.SelfAttention.k",
        "layer.{i}.value": f"{block}.0.SelfAttention.v",
        "layer.{i}.attention_output": f"{block}.0.SelfAttention.o",
        "layer.{i}.attention_norm": f"{block}.0.layer_norm",
        **units,
        "layer.{i}.output": f"{block}.1.DenseReluDense.wo",
        "layer.{i}.output_norm": f"{block}.1.layer_norm",
        "final_norm": "encoder.final_layer_norm",
    }


_T5_UNITS = "encoder.block.{i}.layer.1.DenseReluDense"
_T5_INNER: Mapping[str, str | Part] = {
    "layer.{i}.inner": f"{_T5_UNITS}.wi",
}
_T5_GATED: Mapping[str, str | Part] = {
    "layer.{i}.gate": f"{_T5_UNITS}.wi_0",
    "layer.{i}.inner": f"{_T5_UNITS}.wi_1",
}
T5 = tuple(
    _t5(words, units)
    for words in ("shared.weight", "encoder.embed_tokens.weight")
    for units in (_T5_INNER, _T5_GATED)
)
"""With the words of encoder and decoder together, or the encoder's own; plain, or gated."""

JINA_BERT: Mapping[str, str | Part] = BERT | {
    **parts("encoder.layer.{i}.mlp.gated_layers", "layer.{i}.gate", "layer.{i}.inner"),
    "layer.{i}.output": "encoder.layer.{i}.mlp.wo",
    "layer.{i}.output_norm": "encoder.layer.{i}.mlp.layernorm",
}

JINA_V3: Mapping[str, str | Part] = _WORDS | {
    "layer.{i}.query": "layers.{i}.self_attn.q_proj",
    "layer.{i}.key": "layers.{i}.self_attn.k_proj",
    "layer.{i}.value": "layers.{i}.self_attn.v_proj",
    "layer.{i}.attention_output": "layers.{i}.self_attn.o_proj",
    "layer.{i}.attention_norm": "layers.{i}.post_attention_layernorm",
    "layer.{i}.inner": "layers.{i}.mlp.fc1",
    "layer.{i}.output": "layers.{i}.mlp.fc2",
    "layer.{i}.output_norm": "layers.{i}.post_mlp_layernorm",
}
JINA_V3_PUBLISHED: Mapping[str, str | Part] = _WORDS | {
    "embeddings.norm": "emb_ln",
    **parts("encoder.layers.{i}.mixer.Wqkv", *_QKV),
    "layer.{i}.attention_output": "encoder.layers.{i}.mixer.out_proj",
    "layer.{i}.attention_norm": "encoder.layers.{i}.norm1",
    "layer.{i}.inner": "encoder.layers.{i}.mlp.fc1",
    "layer.{i}.output": "encoder.layers.{i}.mlp.fc2",
    "layer.{i}.output_norm": "encoder.layers.{i}.norm2",
}
"""transformers writes these; it reads both."""

_DEBERTA_SELF = "encoder.layer.{i}.attention.self"
DEBERTA: Mapping[str, str | Part] = BERT | {
    "distances.table": "encoder.rel_embeddings.weight",
    "distances.norm": "encoder.LayerNorm",
    "layer.{i}.query": f"{_DEBERTA_SELF}.query_proj",
    "layer.{i}.key": f"{_DEBERTA_SELF}.key_proj",
    "layer.{i}.value": f"{_DEBERTA_SELF}.value_proj",
    "layer.{i}.position_key": f"{_DEBERTA_SELF}.pos_key_proj",
    "layer.{i}.position_query": f"{_DEBERTA_SELF}.pos_query_proj",
}
