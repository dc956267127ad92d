"""The table of llama.cpp's encoders: which networks each computes, and how its files name them.

The source is llama.cpp: `src/models/` and `src/llama-arch.cpp`. A network is compared with the very
layers that an architecture computes, so that none is taken for another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from minnow.model.naming import Part, parts
from minnow.model.network import (
    Attention,
    Block,
    FeedForward,
    LayerNorm,
    Network,
    Norm,
    Placement,
    RmsNorm,
    Rotary,
)
from minnow.model.spec import Activation

_QKV = ("layer.{i}.query", "layer.{i}.key", "layer.{i}.value")
_WORDS: Mapping[str, str | Part] = {
    "embeddings.word": "token_embd.weight",
    "embeddings.token_type": "token_types.weight",
    "embeddings.norm": "token_embd_norm",
    "layer.{i}.attention_output": "blk.{i}.attn_output",
    "layer.{i}.gate": "blk.{i}.ffn_gate",
    "layer.{i}.inner": "blk.{i}.ffn_up",
    "layer.{i}.output": "blk.{i}.ffn_down",
    "final_norm": "output_norm",
}
_POST_NORM = {
    "layer.{i}.attention_norm": "blk.{i}.attn_output_norm",
    "layer.{i}.output_norm": "blk.{i}.layer_output_norm",
}
_PRE_NORM = {
    "layer.{i}.attention_norm": "blk.{i}.attn_norm",
    "layer.{i}.output_norm": "blk.{i}.ffn_norm",
}
_SEPARATE = {our: f"blk.{{i}}.attn_{our.rsplit('.', 1)[1][0]}" for our in _QKV}
_ONE_PRODUCT = parts("blk.{i}.attn_qkv", *_QKV)
_QUERY_AND_KEY_NORMS = {
    "layer.{i}.query_norm": "blk.{i}.attn_q_norm",
    "layer.{i}.key_norm": "blk.{i}.attn_k_norm",
}
_KEY_LENGTH = "attention.key_length"
_FULL_EVERY = 6
"""llama.cpp's Gemma has a full layer after every five with a window."""
_WINDOW_EVERY = 3
"""llama.cpp's ModernBERT has a full layer first, and then every third."""


@dataclass(frozen=True)
class Architecture:
    """One of llama.cpp's encoders.

    Attributes:
        name: Its name in a file.
        title: Its name for people.
        names: Our name of a tensor, or of a weight/bias pair, -> the file's.
        faults: Says what a network has that this architecture does not compute.
        values: Keys of its metadata, without the architecture's name before them.
    """

    name: str
    title: str
    names: Mapping[str, str | Part]
    faults: Callable[[Network], list[str]]
    values: Callable[[Network], dict[str, Any]] = lambda _: {}


def architecture_of(network: Network) -> Architecture:
    """Choose the architecture that is nearest to a network; its faults say what differs."""
    block = network.blocks[0]
    if block.attention.rotary is None:
        return _BERT
    if block.attention.norm is not None:
        return _QWEN3 if block.output_end_norm is None else _GEMMA
    if isinstance(block.output_norm, RmsNorm):
        return _EUROBERT
    return _MODERN if block.placement is Placement.PRE else _NOMIC


def _bert_faults(network: Network) -> list[str]:
    faults = []
    known = (Activation.GELU, Activation.GELU_TANH)
    others = {block.feed_forward.activation for block in network.blocks} - set(known)
    faults += [
        f"its activation is {other.value}, and llama.cpp's BERT has gelu only" for other in others
    ]
    if any(block.placement is Placement.PRE for block in network.blocks):
        faults.append("it normalises before each part of a layer, and llama.cpp's BERT after it")
    if network.embedding_norm is None or network.final_norm is not None:
        faults.append("llama.cpp's BERT normalises its embeddings, and its last states only once")
    if network.positions is None or network.compares_positions:
        faults.append("llama.cpp's BERT knows positions by a table that is added to the words only")
    if not faults and any(block != _bert_block(block) for block in network.blocks):
        faults.append("its layers are not those of llama.cpp's BERT")
    return faults


def _bert_block(block: Block) -> Block:
    """Return the layer of BERT with the sizes of another."""
    attention, part = block.attention, block.feed_forward
    norm = LayerNorm(_eps(block))
    return Block(
        Attention(attention.heads, attention.head_size, attention.head_size**-0.5),
        FeedForward(part.width, part.activation),
        norm,
        norm,
    )


def _eps(block: Block) -> float:
    return block.output_norm.eps if block.output_norm else 0.0


def _theta(network: Network) -> float:
    rotary = network.blocks[0].attention.rotary
    return rotary.theta if rotary else 0.0


def _gated_block(
    block: Block, activation: Activation, norm: LayerNorm | RmsNorm, placement: Placement
) -> Block:
    """Return a layer with rotations, a gate and no biases, with the sizes of another."""
    attention, part = block.attention, block.feed_forward
    size, rotary = attention.head_size, attention.rotary
    return Block(
        replace(
            attention,
            scale=size**-0.5,
            rotary=Rotary(size, rotary.theta) if rotary else None,
            bias=False,
            output_bias=False,
            causal=False,
            norm=None,
        ),
        FeedForward(part.width, activation, gated=True, bias=False, output_bias=False),
        norm,
        norm,
        placement,
    )


def _nomic_faults(network: Network) -> list[str]:
    norm = LayerNorm(_eps(network.blocks[0]))
    wanted = _gated_block(network.blocks[0], Activation.SILU, norm, Placement.POST)
    attention = replace(wanted.attention, group=1, window=None)
    blocks = [replace(wanted, attention=attention)] * len(network.blocks)
    return _differences(network, _NOMIC, blocks, (norm, None))


def _eurobert_faults(network: Network) -> list[str]:
    norm = RmsNorm(_eps(network.blocks[0]))
    wanted = _gated_block(network.blocks[0], Activation.SILU, norm, Placement.PRE)
    blocks = [replace(wanted, attention=replace(wanted.attention, window=None))]
    return _differences(network, _EUROBERT, blocks * len(network.blocks), (None, norm))


def _qwen3_faults(network: Network) -> list[str]:
    norm = RmsNorm(_eps(network.blocks[0]))
    wanted = _gated_block(network.blocks[0], Activation.SILU, norm, Placement.PRE)
    attention = replace(wanted.attention, window=None, causal=True, norm=norm)
    blocks = [replace(wanted, attention=attention)] * len(network.blocks)
    return _differences(network, _QWEN3, blocks, (None, norm))


def _gemma_faults(network: Network) -> list[str]:
    norm = RmsNorm(_eps(network.blocks[0]))
    wanted = _gated_block(network.blocks[0], Activation.GELU_TANH, norm, Placement.PRE)
    size, blocks = wanted.attention.head_size, []
    for i in range(len(network.blocks)):
        local = (i + 1) % _FULL_EVERY != 0
        attention = replace(
            wanted.attention,
            rotary=Rotary(size, _thetas(network)[local]),
            window=_window(network) if local else None,
            norm=norm,
        )
        block = replace(wanted, attention=attention)
        blocks.append(replace(block, attention_end_norm=norm, output_end_norm=norm))
    return _differences(network, _GEMMA, blocks, (None, norm))


def _modern_faults(network: Network) -> list[str]:
    norm = LayerNorm(_eps(network.blocks[0]), bias=False)
    wanted = _gated_block(network.blocks[0], Activation.GELU, norm, Placement.PRE)
    size = wanted.attention.head_size
    blocks = []
    for i in range(len(network.blocks)):
        local = bool(i % _WINDOW_EVERY)
        attention = replace(
            wanted.attention,
            group=1,
            rotary=Rotary(size, _thetas(network)[local]),
            window=_window(network) if local else None,
        )
        first = None if i == 0 else norm
        blocks.append(replace(wanted, attention=attention, attention_norm=first))
    return _differences(network, _MODERN, blocks, (norm, norm))


def _differences(
    network: Network,
    architecture: Architecture,
    blocks: Sequence[Block],
    norms: tuple[Norm | None, Norm | None],
) -> list[str]:
    """Compare a network with the layers, and the first and the last norm, of an architecture."""
    title, attention = architecture.title, network.blocks[0].attention
    pairs = enumerate(zip(network.blocks, blocks, strict=True))
    faults = [f"layer {i} is not that of {title}" for i, (one, other) in pairs if one != other][:1]
    if (network.embedding_norm, network.final_norm) != norms:
        faults.append(f"its first and last norms are not those of {title}")
    if attention.width != network.width and _KEY_LENGTH not in architecture.values(network):
        faults.append(f"its heads are {attention.width} wide, and as wide as a state in {title}")
    if network.relative is not None or network.positions is not None:
        faults.append(f"it has positions that {title} does not have")
    if network.words.token_types and architecture is not _NOMIC:
        faults.append(f"it has token types, which {title} does not have")
    return faults


def _window(network: Network) -> int:
    return next((b.attention.window for b in network.blocks if b.attention.window is not None), 0)


def _thetas(network: Network) -> tuple[float, float]:
    """Return the bases of layers without a window, and with one."""
    parts = [block.attention for block in network.blocks if block.attention.rotary]
    found = {part.window is None: part.rotary.theta for part in parts if part.rotary}
    either = next(iter(found.values()), 0.0)
    return found.get(True, either), found.get(False, either)


def _llama_values(network: Network) -> dict[str, Any]:
    return {
        "rope.freq_base": _theta(network),
        "attention.head_count_kv": network.blocks[0].attention.key_heads,
        "attention.layer_norm_rms_epsilon": _eps(network.blocks[0]),
    }


def _head_sizes(network: Network) -> dict[str, Any]:
    size = network.blocks[0].attention.head_size
    return dict.fromkeys((_KEY_LENGTH, "attention.value_length"), size)


_BERT = Architecture("bert", "llama.cpp's BERT", {
    **_WORDS, **_POST_NORM, **_SEPARATE, "embeddings.position": "position_embd.weight",
}, _bert_faults)  # fmt: skip
_NOMIC = Architecture(
    "nomic-bert",
    "llama.cpp's NomicBERT",
    {**_WORDS, **_POST_NORM, **_ONE_PRODUCT},
    _nomic_faults,
    lambda network: {"rope.freq_base": _theta(network)},
)
_EUROBERT = Architecture(
    "eurobert",
    "llama.cpp's EuroBERT",
    {**_WORDS, **_PRE_NORM, **_SEPARATE},
    _eurobert_faults,
    _llama_values,
)
_QWEN3 = Architecture(
    "qwen3",
    "llama.cpp's Qwen3",
    {**_WORDS, **_PRE_NORM, **_SEPARATE, **_QUERY_AND_KEY_NORMS},
    _qwen3_faults,
    lambda network: _llama_values(network) | _head_sizes(network),
)
_GEMMA = Architecture(
    "gemma-embedding",
    "llama.cpp's EmbeddingGemma",
    {
        **_WORDS,
        **_PRE_NORM,
        **_SEPARATE,
        **_QUERY_AND_KEY_NORMS,
        "layer.{i}.attention_end_norm": "blk.{i}.post_attention_norm",
        "layer.{i}.output_end_norm": "blk.{i}.post_ffw_norm",
    },
    _gemma_faults,
    lambda network: (
        _llama_values(network)
        | _head_sizes(network)
        | {
            "rope.freq_base": _thetas(network)[0],
            "rope.freq_base_swa": _thetas(network)[1],
            "attention.sliding_window": 2 * _window(network),
        }
    ),
)
_MODERN = Architecture(
    "modern-bert",
    "llama.cpp's ModernBERT",
    {
        **_WORDS,
        **_PRE_NORM,
        **_ONE_PRODUCT,
        **parts("blk.{i}.ffn_up", "layer.{i}.gate", "layer.{i}.inner"),
    },
    _modern_faults,
    lambda network: {
        "rope.freq_base": _thetas(network)[0],
        "rope.freq_base_swa": _thetas(network)[1],
        "attention.sliding_window": 2 * _window(network),
        "attention.sliding_window_pattern": _WINDOW_EVERY,
    },
)
