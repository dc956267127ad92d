"""Reader of a network's hyperparameters, from a model's config.json."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from minnow.errors import SourceError, UnsupportedModelError
from minnow.files import read_regular
from minnow.model.config_keys import NETWORK_KEYS, NETWORK_MUST_BE, unknown_keys
from minnow.model.families import FAMILIES, NOT_COMPUTED, family_of
from minnow.model.spec import Activation, EncoderSpec

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from minnow.model.family import Family, Towers
    from minnow.model.source import ModelSource

_ACTIVATIONS = {
    "gelu": Activation.GELU,
    "gelu_python": Activation.GELU,
    "gelu_new": Activation.GELU_TANH,
    "gelu_pytorch_tanh": Activation.GELU_TANH,
    "gelu_fast": Activation.GELU_TANH,
    "relu": Activation.RELU,
    "silu": Activation.SILU,
    "swish": Activation.SILU,
}


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        SourceError: It is not UTF-8 JSON; the message names the file and the place.
    """
    try:
        return json.loads(read_regular(path).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{path} is not valid JSON: {error}.") from error
    except OSError as error:
        raise SourceError(f"Cannot read {path}: {error.strerror}.") from error


def read_object(path: Path | None) -> dict[str, Any]:
    """Parse a file that holds a JSON object; without a file the object is empty.

    Raises:
        SourceError: It holds something else, or cannot be read.
    """
    if path is None:
        return {}
    content = read_json(path)
    if not isinstance(content, dict):
        raise SourceError(f"{path} should hold a JSON object, not {type(content).__name__}.")
    return content


def read_encoder_spec(source: ModelSource) -> EncoderSpec:
    """Read the network's hyperparameters from config.json.

    Raises:
        SourceNotFoundError: There is no config.json.
        UnsupportedModelError: The table has no such family, or does not describe this variant;
            the message names all faults of the file.
    """
    path = source.file("config.json")
    config = read_object(path)
    model_type = config.get("model_type")
    family = family_of(str(model_type), config)
    if family is None:
        known = ", ".join(dict.fromkeys(name for row in FAMILIES for name in row.model_types))
        stated = "states no model_type" if model_type is None else f"has model_type {model_type!r}"
        if str(model_type) in NOT_COMPUTED:
            stated += f" ({NOT_COMPUTED[str(model_type)]})"
        raise UnsupportedModelError(f"{path} {stated}; minnow converts {known}.")
    beside: Mapping[str, Any] = {}
    if family.towers and family.towers.text in config:
        config, beside = _read_text_network(path, config, family, family.towers)
    values = {**family.assumed, **family.defaults, **config, **family.fixed}
    if values.get("pad_token_id", 0) is None and not family.positions_after_padding:
        values["pad_token_id"] = 0  # padding is masked, so any id fills it
    must_be = {**NETWORK_MUST_BE, **family.must_be}
    read = family.settings_keys
    faults = _other_values({k: v for k, v in must_be.items() if k not in read}, values)
    faults += [f"{key} is missing" for key in family.config.values() if key not in values]
    if not faults:
        faults = _value_faults(family, values)
    settings: Mapping[str, Any] = {}
    if not faults:
        try:
            settings = {**family.settings(values), **beside}
        except UnsupportedModelError as error:
            faults = [str(error)]
    row = (family.config.values(), family.defaults, family.fixed, family.must_be, family.ignored)
    faults += _unknown(config, *row, read)
    if faults:
        raise UnsupportedModelError(f"{path}: {'; '.join(faults)}.")
    return _build_spec(family, values, settings)


def _read_text_network(
    path: Path, config: Mapping[str, Any], family: Family, towers: Towers
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the keys of the network that reads texts, and the settings that stand beside them."""
    text = config[towers.text]
    ids = {key: config.get(key, default) for key, default in towers.placeholders.items()}
    faults = _other_values(NETWORK_MUST_BE, config)
    faults += _unknown(config, (towers.text,), towers.placeholders, towers.ignored)
    faults += [
        f"{key} should be an integer of at least 0, not {id_!r}"
        for key, id_ in ids.items()
        if not isinstance(id_, int) or isinstance(id_, bool) or id_ < 0
    ]
    if not isinstance(text, dict) or text.get("model_type") not in (None, *family.model_types):
        faults.append(f"{towers.text} is not of a network with model_type {family.model_types[0]}")
    if faults:
        raise UnsupportedModelError(f"{path}: {'; '.join(faults)}.")
    return text, {"placeholders": sorted(set(ids.values()))}


def _other_values(
    must_be: Mapping[str, tuple[object, ...]], values: Mapping[str, Any]
) -> list[str]:
    """Name the keys that change the network, and have another value than minnow computes."""
    return [
        f"{key} is {values[key]!r}, but minnow supports {' or '.join(map(repr, allowed))}"
        for key, allowed in must_be.items()
        if key in values and values[key] not in allowed
    ]


def _unknown(config: Mapping[str, Any], *known: Iterable[str]) -> list[str]:
    """Name the keys whose effect on the network is unknown."""
    keys = unknown_keys(config, NETWORK_KEYS, NETWORK_MUST_BE, *known)
    if not keys:
        return []
    it = "it" if len(keys) == 1 else "each"
    return [
        f"minnow does not know what {', '.join(keys)} would change (delete {it} from a copy of the "
        "file if you know that the vectors do not depend on it)"
    ]


_LEAST = {
    **dict.fromkeys(("vocab_size", "width", "layers", "heads", "inner_width", "positions"), 1),
    **dict.fromkeys(("token_types", "pad_token_id"), 0),
}


def _value_faults(family: Family, values: Mapping[str, Any]) -> list[str]:
    keys, faults = family.config, []
    for name, least in _LEAST.items():
        value = values[keys[name]]
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            wanted = "a positive integer" if least else "an integer of at least 0"
            faults.append(f"{keys[name]} should be {wanted}, not {value!r}")
    epsilon, activation = values[keys["layer_norm_eps"]], values[keys["activation"]]
    if not isinstance(epsilon, (int, float)) or not 0 < epsilon < 1:
        key = keys["layer_norm_eps"]
        faults.append(f"{key} should be a small positive number, not {epsilon!r}")
    splits = "d_kv" not in family.settings_keys  # T5's heads have a size of their own
    if not faults and splits and values[keys["width"]] % values[keys["heads"]]:
        faults.append(f"{keys['width']} is not a multiple of {keys['heads']}")
    activations = family.activations or _ACTIVATIONS
    if str(activation) not in activations:
        known = ", ".join(activations)
        faults.append(f"{keys['activation']} is {activation!r}, but minnow supports {known}")
    return faults


def _build_spec(
    family: Family, values: Mapping[str, Any], settings: Mapping[str, Any]
) -> EncoderSpec:
    keys = family.config
    return EncoderSpec(
        family=family.name,
        **{name: values[keys[name]] for name in _LEAST},
        position_offset=values[keys["pad_token_id"]] + 1 if family.positions_after_padding else 0,
        activation=(family.activations or _ACTIVATIONS)[values[keys["activation"]]],
        layer_norm_eps=float(values[keys["layer_norm_eps"]]),
        settings=settings,
    )
