"""The table of model families: how each spells its config and its tensors, and what it computes.

Another family is another row. Key names are those that `transformers` writes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from minnow.errors import UnsupportedModelError
from minnow.model import network as net
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

_BERT_TENSORS = {
    "embeddings.word": "embeddings.word_embeddings.weight",
    "embeddings.position": "embeddings.position_embeddings.weight",
    "embeddings.token_type": "embeddings.token_type_embeddings.weight",
    "embeddings.norm": "embeddings.LayerNorm",
    "layer.{i}.query": "encoder.layer.{i}.attention.self.query",
    "layer.{i}.key": "encoder.layer.{i}.attention.self.key",
    "layer.{i}.value": "encoder.layer.{i}.attention.self.value",
    "layer.{i}.attention_output": "encoder.layer.{i}.attention.output.dense",
    "layer.{i}.attention_norm": "encoder.layer.{i}.attention.output.LayerNorm",
    "layer.{i}.inner": "encoder.layer.{i}.intermediate.dense",
    "layer.{i}.output": "encoder.layer.{i}.output.dense",
    "layer.{i}.output_norm": "encoder.layer.{i}.output.LayerNorm",
}

_DISTILBERT_TENSORS = {
    "embeddings.word": "embeddings.word_embeddings.weight",
    "embeddings.position": "embeddings.position_embeddings.weight",
    "embeddings.norm": "embeddings.LayerNorm",
    "layer.{i}.query": "transformer.layer.{i}.attention.q_lin",
    "layer.{i}.key": "transformer.layer.{i}.attention.k_lin",
    "layer.{i}.value": "transformer.layer.{i}.attention.v_lin",
    "layer.{i}.attention_output": "transformer.layer.{i}.attention.out_lin",
    "layer.{i}.attention_norm": "transformer.layer.{i}.sa_layer_norm",
    "layer.{i}.inner": "transformer.layer.{i}.ffn.lin1",
    "layer.{i}.output": "transformer.layer.{i}.ffn.lin2",
    "layer.{i}.output_norm": "transformer.layer.{i}.output_layer_norm",
}


def post_norm_network(spec: EncoderSpec) -> Network:
    """Describe an encoder as in Devlin et al., "BERT" (2018)."""
    norm, head_size = net.LayerNorm(spec.layer_norm_eps), spec.width // spec.heads
    block = net.Block(
        net.Attention(spec.heads, head_size, scale=head_size**-0.5),
        net.FeedForward(spec.inner_width, spec.activation),
        norm,
    )
    return Network(
        width=spec.width,
        words=net.Words(spec.vocab_size, spec.token_types),
        positions=net.LearnedPositions(spec.positions, spec.position_offset),
        embedding_norm=norm,
        blocks=(block,) * spec.layers,
    )


@dataclass(frozen=True)
class Family:
    """One row of the table.

    Attributes:
        name: The family's name in a manifest.
        model_types: Values of `model_type` in config.json that belong to it.
        prefix: Prefix of every tensor name in some checkpoints (task heads, pretraining).
        network: Describes the forward pass of a model with given hyperparameters.
        tensors: Our name of a tensor or of a weight/bias pair -> the checkpoint's.
        config: Our name of a hyperparameter -> the key in config.json.
        defaults: Values for keys that config.json may leave out, as `transformers` has them.
        fixed: Values that replace those of config.json, for keys that `transformers` ignores.
        must_be: Keys of config.json that change the network -> the only supported values.
        ignored: Keys of config.json that are this family's own and change no vector. A key that
            stands neither in this row nor in `minnow.model.config_keys` is refused.
        unused: Patterns (fnmatch) of tensors that belong to heads or buffers, not the encoder.
        positions_after_padding: Positions start at pad_token_id + 1, as in fairseq's RoBERTa.
    """

    name: str
    model_types: tuple[str, ...]
    prefix: str
    network: Callable[[EncoderSpec], Network] = post_norm_network
    tensors: Mapping[str, str] = field(default_factory=lambda: _BERT_TENSORS)
    config: Mapping[str, str] = field(default_factory=lambda: _BERT_CONFIG)
    defaults: Mapping[str, object] = field(default_factory=dict)
    fixed: Mapping[str, object] = field(default_factory=dict)
    must_be: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
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
        prefix="bert.",
        defaults=_BERT_DEFAULTS,
        must_be=_ENCODER_ONLY,
        unused=("embeddings.position_ids", "embeddings.token_type_ids", "pooler.*", "cls.*"),
    ),
    Family(
        name="roberta",
        model_types=("roberta", "xlm-roberta", "camembert"),
        prefix="roberta.",
        defaults=_BERT_DEFAULTS | {"pad_token_id": 1},
        must_be=_ENCODER_ONLY,
        unused=("embeddings.position_ids", "embeddings.token_type_ids", "pooler.*", "lm_head.*"),
        positions_after_padding=True,
    ),
    Family(
        name="distilbert",
        model_types=("distilbert",),
        prefix="distilbert.",
        tensors=_DISTILBERT_TENSORS,
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
