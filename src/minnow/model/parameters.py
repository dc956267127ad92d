"""The parameters of a network: our name and the shape of each tensor, and the names in files."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

from minnow.model.families import family_named, network_of
from minnow.model.head import layer_shapes
from minnow.model.naming import Part, convolved
from minnow.model.network import LayerNorm, RelativeBuckets
from minnow.model.spec import STATIC

if TYPE_CHECKING:
    from collections.abc import Mapping

    from minnow.model.head import Head
    from minnow.model.network import Block, Network
    from minnow.model.spec import EncoderSpec

PROJECTION = "embeddings.projection"
"""Our name of the matrix that makes states of the rows of narrower tables."""

OUTPUT_PROJECTION = "projection"
"""Our name of the matrix behind the final norm."""


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
