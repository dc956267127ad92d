"""Readers of the settings that only some families have, from the content of a config.json.

A reader returns plain values that JSON can hold, for `EncoderSpec.settings`. It raises
`UnsupportedModelError`, without the file's name, where minnow does not compute what is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minnow.errors import UnsupportedModelError
from minnow.model.config_values import (
    CONV,
    FULL,
    WINDOW,
    check_code,
    check_positive,
    read_flat_rotary,
    read_group,
    read_head_size,
    read_integer,
    read_layer_types,
    read_nested_rotations,
    read_rotary,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


def read_modernbert(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read a ModernBERT's kinds of layers, its window, rotations and biases.

    Files of older releases say `global_attn_every_n_layers`, `global_rope_theta` and
    `local_rope_theta`, others `layer_types` and `rope_parameters` for each kind of layer.
    """
    step = read_integer(config, "global_attn_every_n_layers", 3)
    kinds = read_layer_types(config, lambda i: i % step != 0)
    nested = read_nested_rotations(config)
    scaling = config.get("rope_scaling") or {}
    thetas = {
        FULL: config.get("global_rope_theta", 160_000.0),
        WINDOW: config.get("local_rope_theta", 10_000.0),
    }
    return {
        "layer_types": kinds,
        "window": read_integer(
            config, "sliding_window", read_integer(config, "local_attention", 128) // 2
        ),
        "rotary": {
            kind: read_rotary({**(nested.get(kind) or {}), **scaling}, theta)
            for kind, theta in thetas.items()
        },
        **{key: bool(config.get(key)) for key in ("attention_bias", "mlp_bias", "norm_bias")},
    }


def read_nomic(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read a NomicBERT's rotations, as `transformers` writes them: gated, without biases."""
    return {
        "rotary": read_flat_rotary(config, 1000.0),
        "head_size": read_head_size(config),
        "gated": True,
        "bias": False,
        "inner_bias": False,
        "output_bias": False,
    }


_NOMIC_CODE = {"modeling_hf_nomic_bert.NomicBertModel"}
_NOMIC_UNITS = 256


def read_published_nomic(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read a NomicBERT in the form of nomic-ai's own repositories.

    A gated part there is rounded up to 256 units.

    Source: nomic-ai/contrastors, `modeling_hf_nomic_bert.py`.
    """
    check_code(config, _NOMIC_CODE)
    units, gated = config["n_inner"], config["activation_function"] != "gelu"
    if gated:
        units = -(-units // _NOMIC_UNITS) * _NOMIC_UNITS
    return {
        "rotary": {
            "theta": check_positive("rotary_emb_base", config["rotary_emb_base"]),
            "factor": 1.0,
        },
        "head_size": config["n_embd"] // config["n_head"],
        "gated": gated,
        "bias": bool(config["qkv_proj_bias"]),
        "inner_bias": bool(config["mlp_fc1_bias"]),
        "output_bias": bool(config["mlp_fc2_bias"]),
        "units": units,
    }


_GTE_CODE = {"modeling.NewModel", "modeling_hf_alibaba_nlp_gte.GteModel"}


def read_gte(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read a GTE's rotations, in the form of `transformers` or of Alibaba's own code.

    Of the latter's scalings there is "ntk" without `mixed_b`: the base times the factor, and all
    angles divided by factor ** (2 / head size).

    Source: Alibaba-NLP/new-impl, as text-embeddings-inference repeats it (`models/gte.rs`);
    Su Jianlin, https://kexue.fm/archives/9706, equation 6.
    """
    check_code(config, _GTE_CODE)
    head_size = config["hidden_size"] // config["num_attention_heads"]
    scaling = config.get("rope_scaling") or {}
    default = 10_000.0 if config.get("model_type") == "new" else 160_000.0
    if scaling.get("type", scaling.get("rope_type")) != "ntk":
        return {"rotary": read_flat_rotary(config, default)}
    foreign = [key for key, value in scaling.items() if key not in ("type", "rope_type", "factor")]
    if [key for key in foreign if scaling[key] is not None]:
        raise UnsupportedModelError(f"minnow does not compute {', '.join(foreign)} in rope_scaling")
    theta = check_positive("rope_theta", config.get("rope_theta", default))
    factor = check_positive("factor", scaling.get("factor"))
    if factor <= 1:
        return {"rotary": {"theta": theta, "factor": 1.0}}
    return {"rotary": {"theta": theta * factor, "factor": factor ** (2 / head_size)}}


_EUROBERT_CODE = {"modeling_eurobert.EuroBertModel"}


def read_eurobert(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read an EuroBERT's heads, rotations and biases."""
    check_code(config, _EUROBERT_CODE)
    return {
        "rotary": read_flat_rotary(config, 10_000.0),
        "head_size": read_head_size(config),
        "group": read_group(config),
        **{key: bool(config.get(key)) for key in ("attention_bias", "mlp_bias")},
    }


def read_qwen3(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read a Qwen3's heads, rotations and windows; a window counts the token itself."""
    first = config.get("max_window_layers", 28)
    slides = bool(config.get("use_sliding_window")) and config.get("sliding_window") is not None
    kinds = read_layer_types(config, lambda i: slides and i >= first)
    if WINDOW in kinds and not slides:
        raise UnsupportedModelError(f"layer_types has {WINDOW}, but use_sliding_window is not set")
    size, rotary = read_head_size(config), read_flat_rotary(config, 10_000.0)
    return {
        "layer_types": kinds,
        "window": read_integer(config, "sliding_window", 4096) - 1 if slides else None,
        "rotary": {FULL: rotary, WINDOW: rotary},
        "head_size": size,
        "scale": size**-0.5,
        "group": read_group(config),
        "attention_bias": bool(config.get("attention_bias")),
        "causal": True,
    }


def read_gemma3(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read a Gemma 3's heads, rotations and windows.

    `sliding_window` counts the token itself and those before it; in both directions `transformers`
    halves it, and counts the token beside each half.

    Files of older releases say `sliding_window_pattern`, `rope_theta` and `rope_local_base_freq`,
    others `layer_types` and `rope_parameters` for each kind of layer.
    """
    step = read_integer(config, "sliding_window_pattern", 6)
    both = bool(config.get("use_bidirectional_attention"))
    width, nested = read_integer(config, "sliding_window", 4096), read_nested_rotations(config)
    full = {**(nested.get(FULL) or {}), **(config.get("rope_scaling") or {})}
    local = config.get("rope_local_base_freq", 10_000.0)
    return {
        "layer_types": read_layer_types(config, lambda i: (i + 1) % step != 0),
        "window": width // 2 if both else width - 1,
        "rotary": {
            FULL: read_rotary(full, config.get("rope_theta", 1_000_000.0)),
            WINDOW: read_rotary(nested.get(WINDOW) or {}, local),
        },
        "head_size": read_head_size(config),
        "scale": check_positive("query_pre_attn_scalar", config["query_pre_attn_scalar"]) ** -0.5,
        "group": read_group(config),
        "attention_bias": bool(config.get("attention_bias")),
        "causal": not both,
    }


_HEAD_KEYS = {"head_dim", "num_key_value_heads"}


def read_embedding_gemma2(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read the heads, windows and rotations of an EmbeddingGemma 2's text network.

    `per_layer_config` has what a layer's heads have otherwise than the file says for all. In files
    without it, those of layers that see all tokens have `global_head_dim` numbers each.
    """
    step = read_integer(config, "sliding_window_pattern", 6)
    kinds = [*read_layer_types(config, lambda i: (i + 1) % step != 0)[:-1], FULL]
    wide = {
        "head_dim": read_integer(config, "global_head_dim", 512),
        "num_key_value_heads": read_integer(config, "num_global_key_value_heads", 1),
    }
    stated = config.get("per_layer_config")
    if stated is None:
        stated = {str(i): wide for i, kind in enumerate(kinds) if kind == FULL}
    unknown = sorted({key for layer in stated.values() for key in layer} - _HEAD_KEYS)
    if unknown:
        raise UnsupportedModelError(f"minnow does not compute per_layer_config of {unknown}")
    layers = [{**config, **stated.get(str(i), {})} for i in range(len(kinds))]
    nested = read_nested_rotations(config)
    return {
        "states": read_integer(config, "hidden_size", 512),
        "layer_types": kinds,
        "window": read_integer(config, "sliding_window", 512),
        "rotary": {
            FULL: read_rotary(nested.get(FULL) or {}, 1_000_000.0),
            WINDOW: read_rotary(nested.get(WINDOW) or {}, 10_000.0),
        },
        "head_sizes": [read_head_size(layer) for layer in layers],
        "groups": [read_group(layer) for layer in layers],
        "attention_bias": bool(config.get("attention_bias")),
        "words_width": read_integer(config, "hidden_size_per_layer_input", 512),
    }


_LFM2_CODE = {"modeling_lfm2_bidirectional.Lfm2BidirectionalModel"}


def read_lfm2(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read an LFM2's kinds of layers, its filters, heads and units, and its direction.

    `auto_map` names the code of the embedding models, in which tokens see those behind them too.
    """
    check_code(config, _LFM2_CODE)
    both = "AutoModel" in (config.get("auto_map") or {})
    named = [str(config.get("auto_map") or ""), *map(str, config.get("architectures") or ())]
    if not both and any("Bidirectional" in name for name in named):
        raise UnsupportedModelError(
            "architectures or auto_map names a class for both directions, but auto_map does not "
            f"name {', '.join(_LFM2_CODE)} as AutoModel"
        )
    layers, chosen = config["num_hidden_layers"], config.get("full_attn_idxs")
    attending = chosen if isinstance(chosen, list) else range(layers)
    kinds = config.get("layer_types") or [FULL if i in attending else CONV for i in range(layers)]
    if len(kinds) != layers or not set(kinds) <= {FULL, CONV}:
        raise UnsupportedModelError(
            f"layer_types should be {layers} of {FULL} and {CONV}, not {kinds!r}"
        )
    units = read_integer(config, "block_ff_dim", config["intermediate_size"])
    if config.get("block_auto_adjust_ff_dim", True):
        units = int(2 * units / 3)
        by = config.get("block_ffn_dim_multiplier", 1.0)
        step = read_integer(config, "block_multiple_of", 256)
        if by is not None:
            units = step * -(-int(check_positive("block_ffn_dim_multiplier", by) * units) // step)
    size, rotary = read_head_size(config), read_flat_rotary(config, 1_000_000.0)
    taps = read_integer(config, "conv_L_cache", 3)
    return {
        "layer_types": list(kinds),
        "window": None,
        "rotary": {FULL: rotary, CONV: rotary},
        "head_size": size,
        "scale": size**-0.5,
        "group": read_group(config),
        "attention_bias": False,
        "causal": not both,
        "units": units,
        "taps": taps,
        "before": taps // 2 if both else taps - 1,
    }


def read_electra(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read the width of an ELECTRA's tables, where it is another than that of its states."""
    width = read_integer(config, "embedding_size", 128)
    return {"table_width": None if width == config["hidden_size"] else width}


def read_albert(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read the width of an ALBERT's tables; a matrix projects them to the states, always."""
    return {"table_width": read_integer(config, "embedding_size", 128)}


def read_t5(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read a T5's heads, gates and buckets of distances."""
    buckets = read_integer(config, "relative_attention_num_buckets", 32)
    distance = read_integer(config, "relative_attention_max_distance", 128)
    if buckets % 4 or distance <= buckets // 4:
        raise UnsupportedModelError(
            f"relative_attention_num_buckets, {buckets}, should be a multiple of 4, and less than "
            f"four times relative_attention_max_distance, {distance}"
        )
    return {
        "head_size": read_integer(config, "d_kv", 64),
        "gated": config["feed_forward_proj"].startswith("gated-"),
        "buckets": buckets,
        "distance": distance,
    }


_JINA_CODE = {"modeling_bert.JinaBertModel"}


def read_jina_bert(config: Mapping[str, Any]) -> dict[str, Any]:
    """Check that a JinaBERT's code is the one that its row describes.

    Source: jinaai/jina-bert-implementation, as text-embeddings-inference repeats it
    (`models/jina.rs`).
    """
    check_code(config, _JINA_CODE)
    if "qk-post-norm" in str(config.get("auto_map")):
        raise UnsupportedModelError("minnow does not compute norms of queries and keys")
    return {}


def read_jina_v3(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read the rotations of a JinaEmbeddingsV3."""
    return {"rotary": read_flat_rotary(config, 20_000.0), "gated": False, "inner_bias": True}


def read_deberta(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read how a DeBERTa knows distances."""
    width = config["hidden_size"]
    for key, same in (
        ("embedding_size", width),
        ("attention_head_size", width // config["num_attention_heads"]),
        ("conv_kernel_size", 0),
    ):
        if config.get(key, same) != same:
            raise UnsupportedModelError(f"minnow does not compute {key} {config[key]!r}")
    kinds = config.get("pos_att_type") or []
    kinds = kinds.lower().split("|") if isinstance(kinds, str) else kinds
    kinds = {str(kind).strip() for kind in kinds} - {""}
    norm = {part.strip() for part in str(config.get("norm_rel_ebd", "none")).lower().split("|")}
    if not kinds <= {"c2p", "p2c"} or not norm <= {"none", "layer_norm"}:
        raise UnsupportedModelError(
            f"minnow does not compute pos_att_type {config.get('pos_att_type')!r} with "
            f"norm_rel_ebd {config.get('norm_rel_ebd', 'none')!r}"
        )
    longest = config.get("max_relative_positions", -1)
    longest = longest if longest > 0 else config["max_position_embeddings"]
    buckets = config.get("position_buckets", -1)
    relative = bool(config.get("relative_attention", False))
    if relative and buckets > 0 and (buckets < 4 or longest - 1 <= buckets // 2):
        raise UnsupportedModelError(
            f"position_buckets, {buckets}, should be 4 or more, and their half less than "
            f"max_relative_positions, {longest}"
        )
    return {
        "keys": "c2p" in kinds,
        "queries": "p2c" in kinds,
        "shared": bool(config.get("share_att_key", False)),
        "span": (buckets if buckets > 0 else longest) if relative else 0,
        "distance": longest if buckets > 0 else None,
        "norm": "layer_norm" in norm,
        "positions": bool(config.get("position_biased_input", True)),
    }
