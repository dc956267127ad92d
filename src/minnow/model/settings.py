"""Readers of the settings that only some families have, from the content of a config.json.

A reader returns plain values that JSON can hold, for `EncoderSpec.settings`. It raises
`UnsupportedModelError`, without the file's name, where minnow does not compute what is asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minnow.errors import UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

FULL, WINDOW = "full_attention", "sliding_attention"
"""Kinds of layers, as `transformers` calls them."""


def read_modernbert(config: Mapping[str, Any]) -> dict[str, Any]:
    """Read a ModernBERT's kinds of layers, its window, rotations and biases.

    Files of older releases say `global_attn_every_n_layers`, `global_rope_theta` and
    `local_rope_theta`, others `layer_types` and `rope_parameters` for each kind of layer.
    """
    layers = config["num_hidden_layers"]
    step = _integer(config, "global_attn_every_n_layers", 3)
    kinds = config.get("layer_types") or [WINDOW if i % step else FULL for i in range(layers)]
    if len(kinds) != layers or not set(kinds) <= {FULL, WINDOW}:
        raise UnsupportedModelError(
            f"layer_types should be {layers} of {FULL} and {WINDOW}, not {kinds!r}"
        )
    nested = config.get("rope_parameters") or {}
    if not set(nested) <= {FULL, WINDOW}:
        raise UnsupportedModelError(
            f"rope_parameters should hold {FULL} and {WINDOW}, not {', '.join(nested)}"
        )
    scaling = config.get("rope_scaling") or {}
    thetas = {
        FULL: config.get("global_rope_theta", 160_000.0),
        WINDOW: config.get("local_rope_theta", 10_000.0),
    }
    return {
        "layer_types": list(kinds),
        "window": _integer(config, "sliding_window", _integer(config, "local_attention", 128) // 2),
        "rotary": {
            kind: _rotary({**(nested.get(kind) or {}), **scaling}, theta)
            for kind, theta in thetas.items()
        },
        **{key: bool(config.get(key)) for key in ("attention_bias", "mlp_bias", "norm_bias")},
    }


def _integer(config: Mapping[str, Any], key: str, default: int) -> int:
    value = config.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UnsupportedModelError(f"{key} should be a positive integer, not {value!r}")
    return value


_ROTARY_KEYS = {"rope_type", "type", "rope_theta", "factor", "partial_rotary_factor"}


def _rotary(parameters: Mapping[str, Any], theta: object) -> dict[str, float]:
    """Read rotations in the form of `transformers`: plain, or with angles divided by a factor."""
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    theta = parameters.get("rope_theta", theta)
    factor = parameters.get("factor", 1.0) if kind == "linear" else 1.0
    faults = [f"rope_type {kind!r}"] if kind not in ("default", "linear") else []
    faults += [f"{key} in rope_parameters" for key in parameters if key not in _ROTARY_KEYS]
    if parameters.get("partial_rotary_factor", 1.0) != 1.0:
        faults.append("rotations of a part of a head (partial_rotary_factor)")
    if faults:
        raise UnsupportedModelError(f"minnow does not compute {', '.join(faults)}")
    return {"theta": _positive("rope_theta", theta), "factor": _positive("factor", factor)}


def _positive(key: str, value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        raise UnsupportedModelError(f"{key} should be a positive number, not {value!r}")
    return float(value)
