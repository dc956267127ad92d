"""A row of the table of model families, and what many rows share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from minnow.model import networks
from minnow.model.naming import Naming
from minnow.model.network import Network
from minnow.model.spec import Activation, EncoderSpec

BERT_CONFIG = {
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


@dataclass(frozen=True)
class Towers:
    """How a model that reads images or sounds too holds the network that reads its texts.

    Attributes:
        text: The key of config.json under which that network's own keys stand.
        placeholders: Keys beside `text` with the ids of tokens that stand for images or sounds ->
            what `transformers` takes where they are missing. In a text, such a token reads the row
            of padding.
        ignored: Other keys beside `text`, which change no vector of a text.
        processor: The class of its processor, which puts the tokenizer's special tokens around
            what a chat template makes of a text.
    """

    text: str
    placeholders: Mapping[str, int]
    ignored: tuple[str, ...]
    processor: str


@dataclass(frozen=True)
class Family:
    """One row of the table: a family, or another spelling of its config.json.

    Attributes:
        name: The family's name in a manifest.
        model_types: Values of `model_type` in config.json that belong to it.
        marks: Keys that a config.json of this spelling has, and one of another row has not.
        activations: The names of activations; None for those of `transformers`.
        namings: The ways to name its tensors; a checkpoint has the one that fits best.
        network: Describes the forward pass of a model with given hyperparameters.
        config: Our name of a hyperparameter -> the key in config.json.
        defaults: Values for keys that config.json may leave out, as `transformers` has them.
        assumed: Values for keys that config.json may leave out, and `transformers` does not read.
        fixed: Values that replace those of config.json, for keys that `transformers` ignores.
        must_be: Keys of config.json that change the network -> the only supported values.
        settings: Reads what only this family has; see `EncoderSpec.settings`.
        settings_keys: The keys of config.json that `settings` reads.
        ignored: Keys of config.json that are this family's own and change no vector. A key that
            stands neither in this row nor in `minnow.model.config_keys` is refused.
        unused: Patterns (fnmatch) of tensors that belong to heads or buffers, not the encoder.
        positions_after_padding: Positions start at pad_token_id + 1, as in fairseq's RoBERTa.
        towers: How its models hold their text network, where they may have towers beside it.
    """

    name: str
    model_types: tuple[str, ...]
    namings: tuple[Naming, ...]
    network: Callable[[EncoderSpec], Network] = networks.post_norm_network
    config: Mapping[str, str] = field(default_factory=lambda: BERT_CONFIG)
    marks: tuple[str, ...] = ()
    activations: Mapping[str, Activation] | None = None
    defaults: Mapping[str, object] = field(default_factory=dict)
    assumed: Mapping[str, object] = field(default_factory=dict)
    fixed: Mapping[str, object] = field(default_factory=dict)
    must_be: Mapping[str, tuple[object, ...]] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    settings: Callable[[Mapping[str, Any]], Mapping[str, Any]] = lambda _: {}
    settings_keys: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    positions_after_padding: bool = False
    towers: Towers | None = None


ENCODER_ONLY: dict[str, tuple[object, ...]] = {
    "position_embedding_type": ("absolute",),
    "is_decoder": (False, None),
    "add_cross_attention": (False, None),
}
BERT_DEFAULTS = {
    "type_vocab_size": 2,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}
