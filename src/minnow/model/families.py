"""The table of model families: how each spells its config and its tensors, and what it computes.

Another family is another row. Key names are those that `transformers` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from minnow.errors import UnsupportedModelError
from minnow.model import naming, settings
from minnow.model import network as net
from minnow.model.naming import Naming
from minnow.model.network import Network
from minnow.model.spec import EncoderSpec

_BERT_CONFIG = {
    "vocab_size": "vocab_size",
    "width": "hidden_size",
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "inner_width": "intermediate_size",
    "positions": "max_position_embeddings",
    "token_types": "type_vocab_size",
    "activation": "hidden_act",
    "layer_norm_eps": "layer_norm_eps",
    "pad_token_id": "pad_token_id",
}


def post_norm_network(spec: EncoderSpec) -> Network:
    """Describe an encoder as in Devlin et al., "BERT" (2018)."""
    norm, head_size = net.LayerNorm(spec.layer_norm_eps), spec.width // spec.heads
    block = net.Block(
        net.Attention(spec.heads, head_size, scale=head_size**-0.5),
        net.FeedForward(spec.inner_width, spec.activation),
        attention_norm=norm,
        output_norm=norm,
    )
    padding = spec.pad_token_id if spec.position_offset else None
    return Network(
        width=spec.width,
        longest=spec.max_positions,
        words=net.Words(spec.vocab_size, spec.token_types),
        positions=net.LearnedPositions(spec.positions, spec.position_offset, padding),
        embedding_norm=norm,
        blocks=(block,) * spec.layers,
    )


def mpnet_network(spec: EncoderSpec) -> Network:
    """Describe an encoder as in Song et al., "MPNet" (2020): BERT's, with relative positions too.

    The number of buckets and the distance are constants of the code, not of config.json.
    """
    relative = net.RelativeBuckets(spec.heads, buckets=32, distance=128)
    return replace(post_norm_network(spec), relative=relative)


def modernbert_network(spec: EncoderSpec) -> Network:
    """Describe an encoder as in Warner et al., "Smarter, Better, Faster, Longer" (2024)."""
    given, head_size = spec.settings, spec.width // spec.heads
    norm = net.LayerNorm(spec.layer_norm_eps, bias=given["norm_bias"])
    feed_forward = net.FeedForward(
        spec.inner_width,
        spec.activation,
        gated=True,
        bias=given["mlp_bias"],
        output_bias=given["mlp_bias"],
    )

    def block(index: int, kind: str) -> net.Block:
        attention = net.Attention(
            spec.heads,
            head_size,
            scale=head_size**-0.5,
            rotary=net.Rotary(head_size, **given["rotary"][kind]),
            window=given["window"] if kind == settings.WINDOW else None,
            bias=given["attention_bias"],
            output_bias=given["attention_bias"],
        )
        return net.Block(attention, feed_forward, norm if index else None, norm, net.Placement.PRE)

    return Network(
        width=spec.width,
        longest=spec.max_positions,
        words=net.Words(spec.vocab_size),
        positions=None,
        embedding_norm=norm,
        blocks=tuple(block(i, kind) for i, kind in enumerate(given["layer_types"])),
        final_norm=norm,
    )


@dataclass(frozen=True)
class Family:
    """One row of the table.

    Attributes:
        name: The family's name in a manifest.
        model_types: Values of `model_type` in config.json that belong to it.
        namings: The ways to name its tensors; a checkpoint has the one that fits best.
        network: Describes the forward pass of a model with given hyperparameters.
        config: Our name of a hyperparameter -> the key in config.json.
        defaults: Values for keys that config.json may leave out, as `transformers` has them.
        fixed: Values that replace those of config.json, for keys that `transformers` ignores.
        must_be: Keys of config.json that change the network -> the only supported values.
        settings: Reads what only this family has; see `EncoderSpec.settings`.
        settings_keys: The keys of config.json that `settings` reads.
        ignored: Keys of config.json that are this family's own and change no vector. A key that
            stands neither in this row nor in `minnow.model.config_keys` is refused.
        unused: Patterns (fnmatch) of tensors that belong to heads or buffers, not the encoder.
        positions_after_padding: Positions start at pad_token_id + 1, as in fairseq's RoBERTa.
    """

    name: str
    model_types: tuple[str, ...]
    namings: tuple[Naming, ...]
    network: Callable[[EncoderSpec], Network] = post_norm_network
    config: Mapping[str, str] = field(default_factory=lambda: _BERT_CONFIG)
    defaults: Mapping[str, object] = field(default_factory=dict)
    fixed: Mapping[str, object] = field(default_factory=dict)
    must_be: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    settings: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda _: {}
    settings_keys: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    positions_after_padding: bool = False


_ENCODER_ONLY: dict[str, tuple[object, ...]] = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False, None),
    "add_cross_attention": (False, None),
}
_BERT_DEFAULTS = {
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}

FAMILIES: tuple[Family, ...] = (
    Family(
        name="bert",
        model_types=("bert",),
        namings=(Naming("bert.", naming.BERT),),
        defaults=_BERT_DEFAULTS,
        must_be=_ENCODER_ONLY,
        unused=("embeddings.position_ids", "embeddings.token_type_ids", "pooler.*", "cls.*"),
    ),
    Family(
        name="roberta",
        model_types=("roberta", "xlm-roberta", "camembert"),
        namings=(Naming("roberta.", naming.BERT),),
        defaults=_BERT_DEFAULTS | {"pad_token_id": 1},
        must_be=_ENCODER_ONLY,
        unused=("embeddings.position_ids", "embeddings.token_type_ids", "pooler.*", "lm_head.*"),
        positions_after_padding=True,
    ),
    Family(
        name="distilbert",
        model_types=("distilbert",),
        namings=(Naming("distilbert.", naming.DISTILBERT),),
        config=_BERT_CONFIG
        | {
            "width": "dim",
            "layers": "n_layers",
            "heads": "n_heads",
            "inner_width": "hidden_dim",
            "activation": "activation",
        },
        defaults={"activation": "gelu", "pad_token_id": 0},
        fixed={"layer_norm_eps": 1e-12, "type_vocab_size": 0},
        ignored=tuple(_BERT_CONFIG.values()),  # DistilBertConfig has other names for them, or none
        unused=("embeddings.position_ids", "vocab_*"),
    ),
    Family(
        name="mpnet",
        model_types=("mpnet",),
        namings=(Naming("mpnet.", naming.MPNET),),
        network=mpnet_network,
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
        network=modernbert_network,
        config=_BERT_CONFIG | {"activation": "hidden_activation", "layer_norm_eps": "norm_eps"},
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
)


def family_of(model_type: str) -> Family | None:
    """Find the row that a `model_type` of config.json belongs to; None where there is none."""
    return next((family for family in FAMILIES if model_type in family.model_types), None)


def network_of(spec: EncoderSpec) -> Network:
    """Describe the forward pass of a model, as its family's row says.

    Raises:
        UnsupportedModelError: The table has no such family.
    """
    return family_named(spec.family).network(spec)


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
