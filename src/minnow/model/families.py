"""The table of model families: how each spells its config and its tensors, and what it computes.

Another family is another row. Key names are those that `transformers` writes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.errors import UnsupportedModelError
from minnow.model import naming, networks, settings
from minnow.model.factors import scale_parts, scale_stream
from minnow.model.family import BERT_CONFIG, BERT_DEFAULTS, ENCODER_ONLY, Family
from minnow.model.naming import Naming
from minnow.model.rotary_families import ROTARY_FAMILIES
from minnow.model.spec import STATIC, Activation

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from minnow.model.network import Network
    from minnow.model.spec import EncoderSpec

FAMILIES: tuple[Family, ...] = (
    Family(
        name="bert",
        model_types=("bert", "ernie"),
        namings=(Naming("bert.", naming.BERT, also=("ernie.",)),),
        defaults=BERT_DEFAULTS,
        must_be=ENCODER_ONLY | {"use_task_id": (False, None)},
        ignored=("task_type_vocab_size",),
        unused=("embeddings.position_ids", "embeddings.token_type_ids", "pooler.*", "cls.*"),
    ),
    Family(
        name="roberta",
        model_types=("roberta", "xlm-roberta", "camembert", "data2vec-text"),
        namings=(Naming("roberta.", naming.BERT, also=("data2vec_text.",)),),
        defaults=BERT_DEFAULTS | {"pad_token_id": 1},
        must_be=ENCODER_ONLY,
        unused=("embeddings.position_ids", "embeddings.token_type_ids", "pooler.*", "lm_head.*"),
        positions_after_padding=True,
    ),
    Family(
        name="megatron-bert",
        model_types=("megatron-bert",),
        namings=(Naming("bert.", naming.MEGATRON),),
        network=networks.pre_norm_network,
        defaults=BERT_DEFAULTS,
        must_be=ENCODER_ONLY,
        unused=("embeddings.position_ids", "pooler.*", "cls.*"),
    ),
    Family(
        name="xlm-roberta-xl",
        model_types=("xlm-roberta-xl",),
        namings=(Naming("roberta.", naming.XLM_ROBERTA_XL),),
        network=networks.pre_norm_network,
        defaults=BERT_DEFAULTS | {"type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1},
        must_be=ENCODER_ONLY,
        unused=("embeddings.position_ids", "pooler.*", "lm_head.*"),
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
        name="electra",
        model_types=("electra",),
        namings=(Naming("electra.", naming.ELECTRA),),
        network=networks.projected_network,
        defaults=BERT_DEFAULTS | {"embedding_size": 128},
        must_be=ENCODER_ONLY,
        settings=settings.read_electra,
        settings_keys=("embedding_size",),
        unused=(
            "embeddings.position_ids",
            "pooler.*",
            "classifier.*",
            "generator_*",
            "discriminator_*",
        ),
    ),
    Family(
        name="albert",
        model_types=("albert",),
        namings=(Naming("albert.", naming.ALBERT),),
        network=networks.projected_network,
        defaults=BERT_DEFAULTS
        | {
            "hidden_act": "gelu_new",
            "embedding_size": 128,
            "num_hidden_groups": 1,
            "inner_group_num": 1,
            "max_position_embeddings": 512,
        },
        must_be=ENCODER_ONLY | {"num_hidden_groups": (1,), "inner_group_num": (1,)},
        settings=settings.read_albert,
        settings_keys=("embedding_size",),
        ignored=("down_scale_factor", "gap_size", "net_structure_type", "num_memory_blocks"),
        unused=("embeddings.position_ids", "pooler.*", "predictions.*", "sop_classifier.*"),
    ),
    Family(
        name="t5",
        model_types=("t5",),
        namings=tuple(Naming("transformer.", tensors) for tensors in naming.T5),
        network=networks.t5_network,
        config=BERT_CONFIG
        | {
            "width": "d_model",
            "layers": "num_layers",
            "heads": "num_heads",
            "inner_width": "d_ff",
            "positions": "n_positions",
            "activation": "feed_forward_proj",
            "layer_norm_eps": "layer_norm_epsilon",
        },
        activations={
            "relu": Activation.RELU,
            "gelu": Activation.GELU,
            "gelu_new": Activation.GELU_TANH,
            "silu": Activation.SILU,
            "gated-relu": Activation.RELU,
            "gated-gelu": Activation.GELU_TANH,
            "gated-gelu_new": Activation.GELU_TANH,
            "gated-silu": Activation.SILU,
        },
        defaults={
            "feed_forward_proj": "relu",
            "layer_norm_epsilon": 1e-6,
            "pad_token_id": 0,
            "d_kv": 64,
            "relative_attention_num_buckets": 32,
            "relative_attention_max_distance": 128,
        },
        fixed={"type_vocab_size": 0},
        assumed={"n_positions": 512},
        must_be={"is_encoder_decoder": (True, False, None), "is_decoder": (False, None)},
        settings=settings.read_t5,
        settings_keys=(
            "d_kv",
            "relative_attention_num_buckets",
            "relative_attention_max_distance",
        ),
        ignored=(
            "dense_act_fn",
            "is_gated_act",
            "dropout_rate",
            "num_decoder_layers",
            "scale_decoder_outputs",
        ),
        unused=("decoder.*", "lm_head.*", "encoder.embed_tokens.weight", "shared.weight"),
    ),
    Family(
        name="jina_bert",
        model_types=("bert",),
        marks=("feed_forward_type",),
        namings=(Naming("bert.", naming.JINA_BERT),),
        network=networks.jina_bert_network,
        config=BERT_CONFIG | {"activation": "feed_forward_type"},
        activations={"geglu": Activation.GELU, "reglu": Activation.RELU},
        defaults={key: value for key, value in BERT_DEFAULTS.items() if key != "hidden_act"},
        must_be=ENCODER_ONLY | {"position_embedding_type": ("alibi",)},
        settings=settings.read_jina_bert,
        settings_keys=("auto_map",),
        ignored=("hidden_act", "emb_pooler"),
        unused=("embeddings.position_ids", "pooler.*", "cls.*"),
    ),
    Family(
        name="deberta-v2",
        model_types=("deberta-v2",),
        namings=(Naming("deberta.", naming.DEBERTA),),
        network=networks.deberta_network,
        defaults={
            "type_vocab_size": 0,
            "hidden_act": "gelu",
            "layer_norm_eps": 1e-7,
            "pad_token_id": 0,
            "max_position_embeddings": 512,
        },
        settings=settings.read_deberta,
        settings_keys=(
            "embedding_size",
            "attention_head_size",
            "conv_kernel_size",
            "pos_att_type",
            "norm_rel_ebd",
            "max_relative_positions",
            "position_buckets",
            "relative_attention",
            "share_att_key",
            "position_biased_input",
        ),
        ignored=(
            "pooler_dropout",
            "pooler_hidden_act",
            "pooler_hidden_size",
            "legacy",
            "conv_act",
            "conv_groups",
        ),
        unused=(
            "embeddings.position_ids",
            "embeddings.position_embeddings.*",
            "pooler.*",
            "cls.*",
            "lm_predictions.*",
            "mask_predictions.*",
            "classifier.*",
        ),
    ),
    *ROTARY_FAMILIES,
)


NOT_COMPUTED: Mapping[str, str] = {
    "big_bird": "attention in sparse blocks",
    "canine": "characters in place of tokens",
    "convbert": "convolutions beside attention",
    "flaubert": "layers that may be left out, and languages beside words",
    "fnet": "Fourier transforms in place of attention",
    "funnel": "tokens that are pooled between layers",
    "gemma3": "a tower for images; the text network alone is gemma3_text",
    "longformer": "windows with tokens that see all others",
    "luke": "entities beside words",
    "mluke": "entities beside words",
    "mobilebert": "bottlenecks, and norms without a mean",
    "nystromformer": "attention by landmarks",
    "qwen3_moe": "mixtures of experts",
    "roformer": "rotations of neighbouring numbers",
    "splinter": "a tokenizer with places for questions",
    "squeezebert": "products in groups",
    "umt5": "distances with numbers of each layer",
    "xlm": "languages beside words",
    "xmod": "adapters for languages",
}
"""Values of `model_type` near those of the table -> what these networks have that none here has."""


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
        network = family.network(spec)
    except (KeyError, TypeError, ValueError) as error:
        raise UnsupportedModelError(
            f"These are not settings of the family {family.name}: {dict(spec.settings)}. Convert "
            "the model again."
        ) from error
    network = scale_parts(network, spec.powers) if spec.powers else network
    return network if spec.stream == 1 else scale_stream(network, spec.stream)


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
