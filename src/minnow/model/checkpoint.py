"""Reader of a checkpoint's tensors, under minnow's names, from safetensors only.

Every tensor that the network needs must be there in its shape and finite, and no other may be left
over: a tensor that nothing reads belongs to a network that the table does not describe.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.errors import CheckpointError, MissingExtraError
from minnow.model.factors import factor_of
from minnow.model.families import family_named, network_of
from minnow.model.layout import WEIGHTS, WEIGHTS_INDEX, read_shards
from minnow.model.naming import Part
from minnow.model.parameters import linear_layers, tensor_names, tensor_shapes
from minnow.model.tensors import LazyTensors

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from minnow.model.family import Family
    from minnow.model.network import Network
    from minnow.model.source import ModelSource
    from minnow.model.spec import EncoderSpec

_FLOATS = ("F64", "F32", "F16", "BF16")


def weight_files(source: ModelSource) -> list[Path]:
    """Locate the safetensors files of a source: one, or the shards that its index lists.

    Raises:
        SourceNotFoundError: There is no safetensors file, or a shard is missing.
        SourceError: The index cannot be read.
    """
    index = source.optional_file(WEIGHTS_INDEX)
    if index is None or source.optional_file(WEIGHTS):
        return [source.file(WEIGHTS)]
    return [source.file(shard) for shard in read_shards(index)]


def read_tensors(
    source: ModelSource, spec: EncoderSpec, others: Collection[str] = ()
) -> LazyTensors:
    """Check every tensor of a network; each is read from its file again when it is asked for.

    Args:
        source: The model's files.
        spec: The network's hyperparameters.
        others: Names of tensors in the checkpoint that are not the network's, and known.

    Returns:
        Our name (see `minnow.model.parameters.tensor_shapes`) -> float32 array.

    Raises:
        CheckpointError: Tensors are missing, left over, misshapen, not floating point, or hold
            NaN or infinity; the message names all faults.
        SourceNotFoundError: There is no safetensors file.
        MissingExtraError: The extra `convert` is not installed.
    """
    with ExitStack() as stack:
        stored = _stored(stack, source)
        theirs = {name: found for name, found in stored.items() if name not in others}
        return _collect(source.name, family_named(spec.family), network_of(spec), theirs)


def read_named(
    source: ModelSource,
    names: Mapping[str, str],
    shapes: Mapping[str, tuple[int, ...]],
) -> dict[str, NDArray[np.float32]]:
    """Read and check tensors by their own names, such as those of a classifier.

    Args:
        source: The model's files.
        names: Our name of each tensor -> the file's.
        shapes: Our name of each tensor -> its shape.

    Returns:
        Our name -> float32 array.

    Raises:
        CheckpointError: Tensors are missing, misshapen, not floating point, or hold NaN or
            infinity; the message names all faults.
        SourceNotFoundError: There is no safetensors file.
        MissingExtraError: The extra `convert` is not installed.
    """
    tensors, faults = {}, []
    with ExitStack() as stack:
        stored = _stored(stack, source)
        for our, name in names.items():
            found: NDArray[np.float32] | str = f"{name} is missing"
            if name in stored:
                found = _read_one(stored[name], Part(name), shapes[our], 1.0)
            if isinstance(found, str):
                faults.append(found)
            else:
                tensors[our] = found
    if faults:
        raise CheckpointError(
            f"The checkpoint of {source.name} does not fit its config.json: {'; '.join(faults)}."
        )
    return tensors


_OLD_NAMES = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
"""Ends of names in checkpoints from TensorFlow's BERT -> the ends that transformers makes of them
(its conversion_mapping.py, "LayerNorm.gamma")."""


@dataclass(frozen=True)
class _Stored:
    """A tensor in a file."""

    file: Path
    handle: Any
    name: str


def _stored(stack: ExitStack, source: ModelSource) -> dict[str, _Stored]:
    """Return today's name of each tensor of a source -> where it is, its file open."""
    stored = dict[str, _Stored]()
    for file in weight_files(source):
        handle = stack.enter_context(open_weights(file, source.name))
        stored |= {name: _Stored(file, handle, name) for name in handle.keys()}  # noqa: SIM118
    for old, new in _OLD_NAMES.items():
        for name in [name for name in stored if name == old or name.endswith(f".{old}")]:
            today = name.removesuffix(old) + new
            if today not in stored:  # where both are there, the old one is left over
                stored[today] = stored.pop(name)
    return stored


def open_weights(file: Path, name: str) -> Any:
    """Open a safetensors file, for use with `with`.

    Args:
        file: The file.
        name: The model's name, for messages.

    Raises:
        CheckpointError: It is not a whole safetensors file.
        MissingExtraError: The extra `convert` is not installed.
    """
    try:
        import ml_dtypes  # noqa: F401  # importing it teaches NumPy bfloat16
        from safetensors import SafetensorError, safe_open
    except ImportError as error:
        raise MissingExtraError("Reading a checkpoint", "convert") from error
    try:
        return safe_open(file, framework="numpy")
    except (SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{name}: {file.name} is not a whole safetensors file ({error}). Download it again."
        ) from error


def _collect(
    name: str, family: Family, network: Network, stored: Mapping[str, _Stored]
) -> LazyTensors:
    prefix, theirs = _best_naming(family, network, stored)
    needed = {part.name for part in theirs.values()}
    faults = [
        f"{key} is missing"
        for key in dict.fromkeys(p.name for p in theirs.values())
        if key not in stored
    ]
    faults += [
        f"{key} is left over (minnow does not know what it does)"
        for key in sorted(set(stored) - needed)
        if not any(fnmatchcase(key.removeprefix(prefix), p) for p in family.unused)
    ]
    tensors = LazyTensors()
    matrices = {f"{layer}.weight" for layer in linear_layers(network)}
    for our, shape in tensor_shapes(network).items():
        part = theirs[our]
        if part.name in stored:
            place, factor = stored[part.name], factor_of(network, our)
            found = _read_one(place, part, shape, factor)
            if isinstance(found, str):
                faults.append(found)
            elif our in matrices and not found.any():
                faults.append(f"{part.name} holds only zeros, as the end of a download cut short")
            else:
                tensors.put(
                    our, partial(_read_again, replace(place, handle=None), part, shape, factor)
                )
    if faults:
        faults = list(dict.fromkeys(faults))
        shown = "; ".join(faults[:8]) + (f"; and {len(faults) - 8} more" if faults[8:] else "")
        raise CheckpointError(f"The checkpoint of {name} does not fit its config.json: {shown}.")
    return tensors


def _best_naming(
    family: Family, network: Network, stored: Mapping[str, Any]
) -> tuple[str, dict[str, Part]]:
    """Find the naming of a family that misses the fewest tensors; the first of equals.

    Returns:
        The prefix of the names, and our name -> theirs, with the prefix.
    """
    fits = []
    for naming in family.namings:
        try:
            names = tensor_names(naming.tensors, network)
        except KeyError:  # it names other networks of the family
            continue
        prefixes = (naming.prefix, *naming.also)
        found = [p for p in prefixes if any(key.startswith(p) for key in stored)]
        prefix = found[0] if found else ""
        theirs = {our: replace(part, name=prefix + part.name) for our, part in names.items()}
        missing = sum(part.name not in stored for part in theirs.values())
        fits.append((missing, prefix, theirs))
    _, prefix, theirs = min(fits, key=lambda fit: fit[0])
    return prefix, theirs


def _read_again(
    place: _Stored, part: Part, shape: tuple[int, ...], factor: float
) -> NDArray[np.float32]:
    """Read a tensor that was checked before.

    Raises:
        CheckpointError: The file has changed since.
    """
    with open_weights(place.file, str(place.file.parent)) as handle:
        found = _read_one(replace(place, handle=handle), part, shape, factor)
    if isinstance(found, str):
        raise CheckpointError(f"{place.file} has changed while it was read: {found}.")
    return found


def _read_one(
    place: _Stored, part: Part, shape: tuple[int, ...], factor: float
) -> NDArray[np.float32] | str:
    """Read a tensor, or say what is wrong with it."""
    handle, key = place.handle, place.name
    view = handle.get_slice(key)
    whole = (part.of * shape[0], *shape[1:])
    if tuple(view.get_shape()) != whole:
        return f"{key} has shape {tuple(view.get_shape())}, not {whole}"
    if view.get_dtype() not in _FLOATS:
        return f"{key} is stored as {view.get_dtype()}, not as floating point"
    rows = slice(part.index * shape[0], (part.index + 1) * shape[0])
    with np.errstate(over="ignore"):
        tensor = np.require(view[rows], np.float32, ["C", "W"])
        if part.replaced:
            tensor[list(part.replaced)] = tensor[part.by]
        if part.plus:
            tensor = tensor + np.float32(part.plus)
        if factor != 1:
            tensor = tensor * np.float32(factor)
    return tensor if np.isfinite(tensor).all() else f"{key} holds NaN or infinity"
