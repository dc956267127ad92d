"""Readers of values in a config.json that several families have: heads, layers, rotations.

They raise `UnsupportedModelError`, without the file's name, where minnow does not compute what is
asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minnow.errors import UnsupportedModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FULL, WINDOW, CONV = "full_attention", "sliding_attention", "conv"
"""Kinds of layers, as `transformers` calls them."""


def check_code(config: Mapping[str, Any], known: set[str]) -> None:
    """Refuse a repository's own code, which is not run, unless it is one that a row describes."""
    classes = config.get("auto_map") or {}
    code = str(classes.get("AutoModel", "") if isinstance(classes, dict) else classes)
    if code and code.rsplit("--", 1)[-1] not in known:
        raise UnsupportedModelError(
            f"auto_map names code of its own, {code}; minnow describes {', '.join(sorted(known))}"
        )


def read_layer_types(config: Mapping[str, Any], has_window: Callable[[int], bool]) -> list[str]:
    """Read the kind of each layer; where the file does not say it, a layer's number does."""
    layers = config["num_hidden_layers"]
    kinds = config.get("layer_types") or [WINDOW if has_window(i) else FULL for i in range(layers)]
    if len(kinds) != layers or not set(kinds) <= {FULL, WINDOW}:
        raise UnsupportedModelError(
            f"layer_types should be {layers} of {FULL} and {WINDOW}, not {kinds!r}"
        )
    return list(kinds)


def read_nested_rotations(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Read the rotations of each kind of layer, where the file has them."""
    nested = config.get("rope_parameters") or {}
    if not set(nested) <= {FULL, WINDOW}:
        raise UnsupportedModelError(
            f"rope_parameters should hold {FULL} and {WINDOW}, not {', '.join(nested)}"
        )
    found: Mapping[str, Any] = nested
    return found


def read_group(config: Mapping[str, Any]) -> int:
    """Read how many heads of queries share one of keys."""
    heads = config["num_attention_heads"]
    keys = config.get("num_key_value_heads")
    keys = heads if keys is None else read_integer(config, "num_key_value_heads", heads)
    if heads % keys:
        raise UnsupportedModelError(f"num_key_value_heads, {keys}, does not divide {heads}")
    return int(heads // keys)


def read_head_size(config: Mapping[str, Any]) -> int:
    """Read how many numbers a head has, an even count, which rotations turn in pairs."""
    width, heads = config["hidden_size"], config["num_attention_heads"]
    size = config.get("head_dim")
    size = width // heads if size is None else read_integer(config, "head_dim", 1)
    if size % 2:
        raise UnsupportedModelError(f"a head of {size} numbers has no pairs to rotate")
    return size


def read_flat_rotary(config: Mapping[str, Any], theta: float) -> dict[str, float]:
    """Read rotations that all layers share; `rope_scaling` is the older name, and comes first."""
    given = config.get("rope_scaling") or config.get("rope_parameters") or {}
    partial = config.get("partial_rotary_factor")
    if partial is not None:
        given = {"partial_rotary_factor": partial, **given}
    return read_rotary(given, config.get("rope_theta", theta))


def read_integer(config: Mapping[str, Any], key: str, default: int) -> int:
    """Read a positive integer; `default` where there is none."""
    value = config.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise UnsupportedModelError(f"{key} should be a positive integer, not {value!r}")
    return value


_ROTARY_KEYS = {"rope_type", "type", "rope_theta", "factor", "partial_rotary_factor"}


def read_rotary(parameters: Mapping[str, Any], theta: object) -> dict[str, float]:
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
    return {
        "theta": check_positive("rope_theta", theta),
        "factor": check_positive("factor", factor),
    }


def check_positive(key: str, value: object) -> float:
    """Return a positive number as a float."""
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not value > 0:
        raise UnsupportedModelError(f"{key} should be a positive number, not {value!r}")
    return float(value)
