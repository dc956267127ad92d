"""Origin of a bundle: its source model, and that model's graph for engines other than MNN."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from minnow.errors import BundleError, SourceError
from minnow.graph.encoder import build_graph
from minnow.graph.form import GraphForm
from minnow.graph.stored import stored_tensors
from minnow.manifest import TOKENIZER
from minnow.model.families import network_of
from minnow.model.layers import model_weight_files
from minnow.model.original import read_original
from minnow.model.router import of_route
from minnow.model.source import resolve
from minnow.model.tokenizer import load_tokenizer
from minnow.recipe import Graph
from minnow.sealing import sha256

if TYPE_CHECKING:
    from minnow.bundle import Bundle
    from minnow.model.network import Network
    from minnow.model.original import Original, Tensors
    from minnow.model.source import ModelSource
    from minnow.model.spec import EmbeddingSpec, Interface


def find_origin(
    bundle: Bundle,
    source: str | ModelSource | None = None,
    *,
    offline: bool = False,
    with_author_graph: bool = False,
) -> ModelSource:
    """Find the model that a bundle was made from, and check that it has the same weights.

    Args:
        bundle: The bundle.
        source: Where the model is now; by default the source in the manifest.
        offline: Make no network call.
        with_author_graph: Fetch the author's ONNX graph of a Hub model too, if it has one.

    Raises:
        SourceError: The model is not there.
        BundleError: It has other weights.
    """
    made_from = bundle.manifest.source
    revision = made_from.revision if source is None and made_from.kind == "hub" else None
    try:
        whole = resolve(
            source or made_from.name,
            revision=revision,
            offline=offline,
            with_author_graph=with_author_graph,
        )
        origin = of_route(whole, made_from.route)
    except SourceError as error:
        raise type(error)(
            f"This needs the model that {bundle.folder} was made from; name it with `source=`. "
            f"{error}"
        ) from error
    found = sha256(*model_weight_files(origin))
    if found != made_from.weights_sha256:
        raise BundleError(
            f"{origin.name} does not hold the weights that {bundle.folder} was made from "
            f"(sha256 {found[:16]}, sealed was {made_from.weights_sha256[:16]})."
        )
    return origin


def has_tokenizer_of(bundle: Bundle, original: Original) -> bool:
    """Return whether a bundle carries the tokenizer of its source.

    A rebuilt one is compared by its content: versions of the `tokenizers` library write it in
    different ways.
    """
    digest = bundle.manifest.files[TOKENIZER].sha256
    if hashlib.sha256(original.tokenizer.content).hexdigest() == digest:
        return True
    if original.tokenizer.rebuilt is None or bundle.manifest.source.tokenizer is None:
        return False
    files = (bundle.folder / TOKENIZER, original.tokenizer.content)
    ours, theirs = (json.loads(load_tokenizer(file).to_str()) for file in files)
    if original.reranking is None:  # older versions rebuilt no templates of pairs
        for content in (ours, theirs):
            (content["post_processor"] or {}).pop("pair", None)
    return bool(ours == theirs)


def rebuild_graph(bundle: Bundle, source: str | ModelSource | None = None) -> bytes:
    """Write minnow's own graph of a bundle's network, with the numbers that its encoder stores.

    The graph computes in float32 with the very numbers that the encoder rounded, so that another
    engine gives the bundle's vectors. The model is read, without a network call, only where the
    encoder was made of the author's graph, whose names are not minnow's.

    Args:
        bundle: The bundle.
        source: Where the model is now, by default the source in the manifest; a model that is
            named is compared with the bundle even where it is not needed.

    Returns:
        A serialised `onnx.ModelProto` that gives token states, even where the bundle's encoder
        gives vectors; but vectors where the head has layers. See
        `minnow.graph.encoder.build_graph` and `minnow.model.spec.rebuilt_interface`.

    Raises:
        SourceError: The model is not there.
        BundleError: It has other weights, or the encoder's numbers cannot be read.
        MissingExtraError: The extra `convert` is not installed.
    """
    manifest = bundle.manifest
    by_author = manifest.recipe.graph is not Graph.CANONICAL
    if by_author or source is not None:
        origin = find_origin(bundle, source, offline=True)
        if by_author:
            return original_graph(read_original(origin, manifest.choices))
    network, embedding = network_of(manifest.encoder), manifest.embedding
    tensors = stored_tensors(bundle.encoder, network, embedding.head)
    return _graph(network, tensors, embedding, manifest.rebuilt_interface)


def original_graph(original: Original) -> bytes:
    """Write minnow's own graph of a model in float32, with the output that its head needs."""
    return _graph(
        original.network, original.tensors, original.embedding, original.rebuilt_interface
    )


def _graph(
    network: Network, tensors: Tensors, embedding: EmbeddingSpec, output: Interface
) -> bytes:
    head = embedding.head if output.per_text else None
    form = GraphForm(long=embedding.is_long)
    model = build_graph(network, tensors, head=head, form=form, output=output)
    graph: bytes = model.SerializeToString()
    return graph
