"""Reader of a checkpoint's tensors, under minnow's names, from safetensors only.

Every tensor that the network needs must be there in its shape and finite, and no other may be left
over: a tensor that nothing reads belongs to a network that the table does not describe.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.errors import CheckpointError, MissingExtraError
from minnow.model.factors import factor_of
from minnow.model.families import family_named, network_of
from minnow.model.head import layer_shapes
from minnow.model.layout import WEIGHTS, WEIGHTS_INDEX, read_shards
from minnow.model.naming import Part, convolved
from minnow.model.network import LayerNorm, RelativeBuckets
from minnow.model.spec import STATIC
from minnow.model.tensors import LazyTensors

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from numpy.typing import NDArray

    from minnow.model.family import Family
    from minnow.model.head import Head
    from minnow.model.network import Block, Network
    from minnow.model.source import ModelSource
    from minnow.model.spec import EncoderSpec

PROJECTION = "embeddings.projection"
"""Our name of the matrix that makes states of the rows of narrower tables."""

OUTPUT_PROJECTION = "projection"
"""That of the matrix behind the final norm."""

_FLOATS = ("F64", "F32", "F16", "BF16")


def tensor_shapes(network: Network) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of a network by our name; matrices are (out, in)."""
    width, columns = network.width, network.table_width
    shapes: dict[str, tuple[int, ...]] = {
        "embeddings.word": (network.words.rows, columns),
    }
    if network.positions:
        shapes["embeddings.position"] = (network.positions.rows, columns)
    if network.words.token_types:
        shapes["embeddings.token_type"] = (network.words.token_types, columns)
    if network.words.width:
        shapes |= {f"{PROJECTION}.weight": (width, columns), f"{PROJECTION}.bias": (width,)}
    if isinstance(network.relative, RelativeBuckets):
        shapes["relative_bias"] = (network.relative.buckets, network.relative.heads)
    norms = {"embeddings.norm": network.embedding_norm}
    distances = network.distances
    if distances:
        shapes["distances.table"] = (2 * distances.span, width)
        norms["distances.norm"] = distances.norm
    for i, block in enumerate(network.blocks):
        for name, (shape, has_bias) in _matrices(block, width).items():
            shapes[f"layer.{i}.{name}.weight"] = shape
            if has_bias:
                shapes[f"layer.{i}.{name}.bias"] = shape[:1]
        for part in distances.matrices() if distances and not distances.shared else ():
            if part:
                rows = block.attention.key_width
                shapes[f"layer.{i}.{part}.weight"] = (rows, width)
                shapes[f"layer.{i}.{part}.bias"] = (rows,)
        for name in ("attention_norm", "attention_end_norm", "output_norm", "output_end_norm"):
            norms[f"layer.{i}.{name}"] = getattr(block, name)
        if block.attention.norm:
            head = (block.attention.head_size,)
            shapes |= {f"layer.{i}.{part}_norm.weight": head for part in ("query", "key")}
        if block.attention.convolution:
            taps = block.attention.convolution.taps
            shapes[f"layer.{i}.convolution.weight"] = (block.attention.width, 1, taps)
        if block.words:
            shapes[f"layer.{i}.words_norm.weight"] = (block.words.width,)
            norms[f"layer.{i}.words_end_norm"] = block.words.end_norm
        if block.scaled:
            shapes[f"layer.{i}.scale"] = (1,)
    norms["final_norm"] = network.final_norm
    if network.projection:
        shapes[f"{OUTPUT_PROJECTION}.weight"] = (network.projection, width)
    for name, norm in norms.items():
        size = columns if name == "embeddings.norm" else width
        if norm is not None:
            shapes[f"{name}.weight"] = (size,)
        if isinstance(norm, LayerNorm) and norm.bias:
            shapes[f"{name}.bias"] = (size,)
    return shapes


def distance_tensors(network: Network) -> set[str]:
    """Return our names of the tensors from which keys and queries of distances are made."""
    distances = network.distances
    if distances is None:
        return set()
    parts = () if distances.shared else tuple(filter(None, distances.matrices()))
    stems = [f"layer.{i}.{part}." for i in range(len(network.blocks)) for part in parts]
    return {name for name in tensor_shapes(network) if name.startswith(("distances.", *stems))}


def _matrices(block: Block, width: int) -> dict[str, tuple[tuple[int, int], bool]]:
    """Return the shape of each matrix of a block, and whether it has a bias."""
    attention, part = block.attention, block.feed_forward
    gate = {"gate": ((part.width, width), part.bias)} if part.gated else {}
    words: dict[str, tuple[tuple[int, int], bool]] = {}
    if block.words:
        size = block.words.width
        words = dict.fromkeys(("words_gate", "words_inner"), ((size, width), False))
        words["words_output"] = ((width, size), False)
    return {
        "query": ((attention.width, width), attention.bias),
        "key": ((attention.key_width, width), attention.bias),
        "value": ((attention.key_width, width), attention.bias),
        "attention_output": ((width, attention.width), attention.output_bias),
        **gate,
        "inner": ((part.width, width), part.bias),
        "output": ((width, part.width), part.output_bias),
        **words,
    }


def linear_layers(network: Network) -> list[str]:
    """Return our name of every linear layer, in the order in which they run: "layer.0.query"."""
    layers = [
        f"layer.{i}.{name}"
        for i, block in enumerate(network.blocks)
        for name in _matrices(block, network.width)
    ]
    first = [PROJECTION] if network.words.width else []
    return [*first, *layers, *([OUTPUT_PROJECTION] if network.projection else [])]


def tensor_names(names: Mapping[str, str | Part], network: Network) -> dict[str, Part]:
    """Return our name of every tensor of a network -> what a file has for it.

    Args:
        names: Our name of a tensor, or of a weight/bias pair, -> the file's; `{i}` is a layer.
        network: The network.

    Raises:
        KeyError: There is no name for one of them.
    """
    theirs = {}
    for our in tensor_shapes(network):
        layer = our.split(".")[1] if our.startswith("layer.") else ""
        row = our.replace(f"layer.{layer}.", "layer.{i}.", 1)
        module, _, kind = row.rpartition(".")
        if layer and network.blocks[int(layer)].attention.convolution:
            own = convolved(module)
            module = own if own in names else module
        found = names.get(row) or names[module]
        part = found if isinstance(found, Part) else Part(found)
        name = part.name if row in names else f"{part.name}.{kind}"
        if part.by_layer:
            part = replace(part, index=int(layer), of=len(network.blocks))
        if our == "embeddings.word":
            part = replace(part, replaced=network.words.placeholders, by=network.words.padding)
        theirs[our] = replace(part, name=name.format(i=layer))
    return theirs


def count_parameters(spec: EncoderSpec, head: Head) -> int:
    """Count the numbers of a network and of its head's layers; shared ones count once."""
    network = network_of(spec)
    shapes = tensor_shapes(network)
    stored: dict[str, object] = {name: name for name in shapes}
    if spec.family != STATIC:
        stored |= tensor_names(family_named(spec.family).namings[0].tensors, network)
    own = {stored[name]: prod(shape) for name, shape in shapes.items()}
    return sum(own.values()) + sum(map(prod, layer_shapes(head, network.output_width).values()))


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
        Our name (see `tensor_shapes`) -> float32 array.

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
