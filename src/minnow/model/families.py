"""The table of model families: how each spells its config and its tensors, and what it computes.

Another family is another row. Key names are those that `transformers` writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.errors import UnsupportedModelError
from minnow.model import naming, networks, settings
from minnow.model.family import BERT_CONFIG, BERT_DEFAULTS, ENCODER_ONLY, Family
from minnow.model.more_families import MORE_FAMILIES
from minnow.model.naming import Naming
from minnow.model.network import Activation
from minnow.model.spec import STATIC

if TYPE_CHECKING:
    from collections.abc import Collection

    from minnow.model.network import Network
    from minnow.model.spec import EncoderSpec

_NOMIC_NAMINGS = (
    Naming("nomic_bert.", naming.NOMIC),
    Naming("bert.", naming.NOMIC_PUBLISHED, also=("nomic_bert.",)),
    Naming("bert.", naming.NOMIC_PLAIN),
)
_NOMIC_UNUSED = ("pooler.*", "cls.*", "classifier.*", "embeddings.position_ids")

FAMILIES: tuple[Family, ...] = (
    Family(
        name="bert",
        model_types=("bert",),
        namings=(Naming("bert.", naming.BERT),),
        defaults=BERT_DEFAULTS,
        must_be=ENCODER_ONLY,
        unused=("embeddings.position_ids", "embeddings.token_type_ids", "pooler.*", "cls.*"),
    ),
    Family(
        name="roberta",
        model_types=("roberta", "xlm-roberta", "camembert"),
        namings=(Naming("roberta.", naming.BERT),),
        defaults=BERT_DEFAULTS | {"pad_token_id": 1},
        must_be=ENCODER_ONLY,
        unused=("embeddings.position_ids", "embeddings.token_type_ids", "pooler.*", "lm_head.*"),
        positions_after_padding=True,
    ),
    Family(
        name="distilbert",
        model_types=("distilbert",),
        namings=(Naming("distilbert.", naming.DISTILBERT),),
        config=BERT_CONFIG
        | {
            "width": "dim",
            "layers": "n_layers",
            "heads": "n_heads",
            "inner_width": "hidden_dim",
            "activation": "activation",
        },
        defaults={"activation": "gelu", "pad_token_id": 0},
        fixed={"layer_norm_eps": 1e-12, "type_vocab_size": 0},
        ignored=tuple(BERT_CONFIG.values()),  # DistilBertConfig has other names for them, or none
        unused=("embeddings.position_ids", "vocab_*"),
    ),
    Family(
        name="mpnet",
        model_types=("mpnet",),
        namings=(Naming("mpnet.", naming.MPNET),),
        network=networks.mpnet_network,
        defaults={
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
            "pad_token_id": 1,
            "relative_attention_num_buckets": 32,
        },
        fixed={"type_vocab_size": 0},
        must_be={"relative_attention_num_buckets": (32,), "pad_token_id": (1,)},
        unused=("embeddings.position_ids", "pooler.*", "lm_head.*"),
        positions_after_padding=True,
    ),
    Family(
        name="modernbert",
        model_types=("modernbert",),
        namings=(Naming("model.", naming.MODERNBERT),),
        network=networks.modernbert_network,
        config=BERT_CONFIG | {"activation": "hidden_activation", "layer_norm_eps": "norm_eps"},
        defaults={
            "hidden_activation": "gelu",
            "norm_eps": 1e-5,
            "pad_token_id": 50283,
            "max_position_embeddings": 8192,
        },
        fixed={"type_vocab_size": 0},
        settings=settings.read_modernbert,
        settings_keys=(
            "layer_types",
            "global_attn_every_n_layers",
            "local_attention",
            "sliding_window",
            "rope_parameters",
            "rope_scaling",
            "global_rope_theta",
            "local_rope_theta",
            "attention_bias",
            "mlp_bias",
            "norm_bias",
        ),
        ignored=("position_embedding_type", "layer_norm_eps"),  # ModernBERT reads neither
        unused=("head.*", "decoder.*", "classifier.*"),
    ),
    Family(
        name="nomic_bert",
        model_types=("nomic_bert",),
        marks=("n_embd",),
        namings=_NOMIC_NAMINGS,
        network=networks.gated_network,
        config={
            "vocab_size": "vocab_size",
            "width": "n_embd",
            "layers": "n_layer",
            "heads": "n_head",
            "inner_width": "n_inner",
            "positions": "n_positions",
            "token_types": "type_vocab_size",
            "activation": "activation_function",
            "layer_norm_eps": "layer_norm_epsilon",
            "pad_token_id": "pad_token_id",
        },
        activations={
            "swiglu": Activation.SILU,
            "geglu": Activation.GELU,
            "gelu": Activation.GELU,
        },
        defaults={
            "pad_token_id": 0,
            "type_vocab_size": 2,
            "qkv_proj_bias": True,
            "mlp_fc1_bias": True,
            "mlp_fc2_bias": True,
            "rotary_emb_base": 10_000,
            "rotary_emb_fraction": 0.0,
        },
        must_be={
            "prenorm": (False,),
            "parallel_block": (False,),
            "parallel_block_tied_norm": (False,),
            "rotary_emb_fraction": (1.0,),
            "rotary_emb_interleaved": (False,),
            "rotary_emb_scale_base": (None,),
            "rotary_head_dim": (False, None),
            "rotary_scaling_factor": (None,),
            "use_rms_norm": (False, None),
            "causal": (False,),
            "num_heads_kv": (None,),
            "scale_attn_weights": (True,),
            "scale_attn_by_inverse_layer_idx": (False,),
            "last_layer_subset": (False, None),
            "num_experts": (0, None),
            "moe_every_n_layers": (0, None),
        },
        settings=settings.read_published_nomic,
        settings_keys=(
            "auto_map",
            "rotary_emb_base",
            "qkv_proj_bias",
            "mlp_fc1_bias",
            "mlp_fc2_bias",
        ),
        ignored=(
            "max_trained_positions",
            "pad_vocab_size_multiple",
            "dense_seq_output",
            "fused_bias_fc",
            "fused_dropout_add_ln",
            "use_flash_attn",
            "use_xentropy",
            "reorder_and_upcast_attn",
            "add_pooling_layer",
            "ffn_div",
            "expert_choice_router",
            "moe_impl",
            "moe_normalize_expert_weights",
            "moe_resid_pdrop",
            "moe_top_k",
            "num_shared_experts",
            "router_aux_loss_coef",
        ),
        unused=_NOMIC_UNUSED,
    ),
    Family(
        name="nomic_bert",
        model_types=("nomic_bert",),
        namings=_NOMIC_NAMINGS,
        network=networks.gated_network,
        defaults={
            "type_vocab_size": 2,
            "hidden_act": "silu",
            "layer_norm_eps": 1e-12,
            "pad_token_id": 0,
            "max_position_embeddings": 2048,
        },
        settings=settings.read_nomic,
        settings_keys=(
            "head_dim",
            "rope_parameters",
            "rope_scaling",
            "rope_theta",
            "partial_rotary_factor",
        ),
        unused=_NOMIC_UNUSED,
    ),
    Family(
        name="gte",
        model_types=("gte", "new"),
        namings=(
            Naming("gte.", naming.GTE),
            Naming("new.", naming.GTE_PUBLISHED, also=("gte.",)),
            Naming("new.", naming.GTE_UNPACKED),
        ),
        network=networks.gated_network,
        defaults={
            "type_vocab_size": 1,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-12,
            "pad_token_id": 1,
            "max_position_embeddings": 8192,
        },
        must_be={
            "position_embedding_type": ("rope",),
            "layer_norm_type": ("layer_norm",),
            "logn_attention_scale": (False,),
            "logn_attention_clip1": (False,),
        },
        settings=settings.read_gte,
        settings_keys=(
            "auto_map",
            "rope_parameters",
            "rope_scaling",
            "rope_theta",
            "partial_rotary_factor",
        ),
        ignored=("pack_qkv", "unpad_inputs", "use_memory_efficient_attention"),
        unused=("pooler.*", "lm_head.*", "classifier.*", "rotary_emb.*", "embeddings.position_ids"),
    ),
    Family(
        name="eurobert",
        model_types=("eurobert",),
        namings=(Naming("model.", naming.EUROBERT),),
        network=networks.eurobert_network,
        config=BERT_CONFIG | {"layer_norm_eps": "rms_norm_eps"},
        defaults={
            "hidden_act": "silu",
            "rms_norm_eps": 1e-5,
            "pad_token_id": 128001,
            "max_position_embeddings": 8192,
        },
        fixed={"type_vocab_size": 0},
        settings=settings.read_eurobert,
        settings_keys=(
            "auto_map",
            "num_key_value_heads",
            "head_dim",
            "rope_parameters",
            "rope_scaling",
            "rope_theta",
            "partial_rotary_factor",
            "attention_bias",
            "mlp_bias",
        ),
        ignored=("pretraining_tp", "clf_pooling"),
        unused=("lm_head.*", "dense.*", "classifier.*"),
    ),
    *MORE_FAMILIES,
)


def family_of(model_type: str, keys: Collection[str] = ()) -> Family | None:
    """Find the row that a config.json belongs to; None where there is none.

    Args:
        model_type: Its `model_type`.
        keys: Its keys, which tell spellings apart.
    """
    rows = [row for row in FAMILIES if model_type in row.model_types]
    rows = [row for row in rows if set(row.marks) <= set(keys)]
    return max(rows, key=lambda row: len(row.marks), default=None)


def network_of(spec: EncoderSpec) -> Network:
    """Describe the forward pass of a model, as its family's row says.

    Raises:
        UnsupportedModelError: The table has no such family, or a manifest holds settings that no
            model of the family has.
    """
    if spec.family == STATIC:
        return networks.static_network(spec)
    family = family_named(spec.family)
    try:
        return family.network(spec)
    except (KeyError, TypeError, ValueError) as error:
        raise UnsupportedModelError(
            f"These are not settings of the family {family.name}: {dict(spec.settings)}. Convert "
            "the model again."
        ) from error


def family_named(name: str) -> Family:
    """Find the row of a name.

    Raises:
        UnsupportedModelError: There is none.
    """
    found = next((family for family in FAMILIES if family.name == name), None)
    if found is None:
        raise UnsupportedModelError(
            f"This minnow knows no family {name!r}. Update it to the one that made the bundle."
        )
    return found
