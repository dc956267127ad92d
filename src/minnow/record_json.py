"""The JSON form of manifests and of other records, under the names that are written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from minnow.errors import InputError
from minnow.files import read_regular
from minnow.model.head import LAYER_NORM_EPS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from minnow.errors import MinnowError
    from minnow.recipe import Recipe


class _HasFormat(Protocol):
    """A record that states the version of its form."""

    @property
    def format(self) -> int: ...


T = TypeVar("T")
Versioned = TypeVar("Versioned", bound=_HasFormat)

_WRITTEN_NAMES = {"max_ndcg_drop": "largest_fall"}
"""Names in Python -> names in the JSON of a recipe and of what a search found."""


def to_json(record: object) -> dict[str, Any]:
    """Return a manifest or the record of an export as its JSON form, under the written names.

    What only some families, heads and kinds of bundles have is left out where there is none.
    """
    return _written(msgspec.to_builtins(record))


def _written(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a record's values what most have not, and rename the others, in place."""
    _drop_defaults(values, ("reranking", None))
    for owner in (values, *values.get("fixed_shapes", ())):
        defaults = ("ranking", None), ("measure", "cosine"), ("magnitude", None), ("modes", ())
        _drop_defaults(owner.get("parity"), *defaults)
        for run in (owner.get("parity") or {}).get("runs", ()):
            _drop_defaults(run, ("worst_score", None))
    _drop_defaults(values.get("recipe"), ("max_difference", None))
    encoder = values.get("encoder")
    if isinstance(encoder, dict) and not encoder["settings"]:
        del encoder["settings"]
    _drop_defaults(encoder, ("stream", 1.0), ("powers", {}))
    embedding = values.get("embedding")
    if isinstance(embedding, dict):
        for key in ("joined_poolings", "layers", "unpooled_ids"):
            if not embedding.get(key):  # a record of an older format has no such key
                embedding.pop(key, None)
        _drop_defaults(embedding, ("include_prompt", True), ("truncate_dim", None))
        for layer in embedding.get("layers", ()):
            _drop_defaults(layer, ("eps", LAYER_NORM_EPS))
    _drop_defaults(values.get("source"), ("route", None), ("tokenizer", None))
    if values.get("queries") is None:
        values.pop("queries", None)
        values.pop("default_role", None)
    else:
        values["queries"] = _written(values["queries"])
    return _rename(values, _WRITTEN_NAMES)


def _drop_defaults(record: Any, *defaults: tuple[str, object]) -> None:
    """Leave out the keys that records of older formats do not have, at their defaults."""
    for key, default in defaults:
        if isinstance(record, dict) and record.get(key, ...) == default:
            del record[key]


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as its JSON form, under the written names."""
    values: dict[str, Any] = to_json({"recipe": recipe})["recipe"]
    return values


def from_json(content: bytes, kind: type[T]) -> T:
    """Read the JSON form of a manifest or of an export's record.

    Raises:
        MsgspecError, UnicodeDecodeError, RecursionError: It is something else.
    """
    values = msgspec.json.decode(content, type=dict[str, Any])
    names = {written: name for name, written in _WRITTEN_NAMES.items()}
    if isinstance(values.get("queries"), dict):
        _rename(values["queries"], names)
    try:
        return msgspec.convert(_rename(values, names), kind)
    except msgspec.ValidationError as error:
        message = str(error)
        for name, written in _WRITTEN_NAMES.items():
            message = message.replace(name, written)
        raise msgspec.ValidationError(message) from error


def read_json(
    path: Path,
    kind: type[Versioned],
    most: int,
    *,
    version: int,
    fault: str = "cannot be understood",
    error: type[MinnowError] = InputError,
) -> Versioned:
    """Read a JSON file that states the version of its form.

    Args:
        path: The file.
        kind: The class of its content.
        most: Bytes that it may have.
        version: The version that this minnow reads.
        fault: What to say of a file that holds something else.
        error: The class of the error to raise.

    Raises:
        MinnowError: The file cannot be read, holds something else, or has another version.
    """
    try:
        found = msgspec.json.decode(read_regular(path, most), type=kind)
    except OSError as refused:
        raise error(f"{path} cannot be read ({refused.strerror}).") from refused
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as refused:
        raise error(f"{path} {fault}: {refused}.") from refused
    if found.format != version:
        raise error(f"{path} has format {found.format}; this minnow reads {version}.")
    return found


def _rename(record: dict[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Rename the keys of `recipe` and of `parity.retrieval`, in place."""
    parity = record.get("parity")
    for owner, key in ((record, "recipe"), (parity, "retrieval")):
        if isinstance(owner, dict) and isinstance(owner.get(key), dict):
            owner[key] = {names.get(name, name): value for name, value in owner[key].items()}
    return record
