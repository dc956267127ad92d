"""Rows of the table of model families: those with tables of another width than the states."""

from __future__ import annotations

from minnow.model import naming, networks, settings
from minnow.model.family import BERT_CONFIG, BERT_DEFAULTS, ENCODER_ONLY, Family
from minnow.model.naming import Naming
from minnow.model.network import Activation

MORE_FAMILIES: tuple[Family, ...] = (
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
        name="jina_embeddings_v3",
        model_types=("jina_embeddings_v3",),
        namings=(
            Naming("roberta.", naming.JINA_V3),
            Naming("roberta.", naming.JINA_V3_PUBLISHED),
        ),
        network=networks.gated_network,
        defaults=BERT_DEFAULTS
        | {
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
            "pad_token_id": 1,
            "max_position_embeddings": 8194,
        },
        settings=settings.read_jina_v3,
        settings_keys=("rope_parameters", "rope_scaling", "rope_theta", "partial_rotary_factor"),
        unused=("pooler.*", "lm_head.*", "classifier.*", "rotary_emb.*", "embeddings.position_ids"),
    ),
)
