"""Origin of a bundle: its source model, and that model's graph for engines other than MNN."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from minnow.bundle import TOKENIZER
from minnow.errors import BundleError, SourceError
from minnow.graph.encoder import build_graph
from minnow.model.layers import model_weight_files
from minnow.model.original import read_original
from minnow.model.source import resolve
from minnow.model.tokenizer import load_tokenizer
from minnow.sealing import sha256

if TYPE_CHECKING:
    from minnow.bundle import Bundle
    from minnow.model.original import Original
    from minnow.model.source import ModelSource


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
        origin = resolve(
            source or made_from.name,
            revision=revision,
            offline=offline,
            with_author_graph=with_author_graph,
        )
    except SourceError as error:
        raise type(error)(
            f"{error} This needs the model that {bundle.folder} was made from; name it with "
            "`source=`."
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
    ours, theirs = (load_tokenizer(file).to_str() for file in files)
    return bool(ours == theirs)


def rebuild_graph(bundle: Bundle, source: str | ModelSource | None = None) -> bytes:
    """Write minnow's own graph of a bundle's network in float32, without a network call.

    Args:
        bundle: The bundle.
        source: Where the model is now; by default the source in the manifest.

    Returns:
        A serialised `onnx.ModelProto` that gives token states, even where the bundle's encoder
        gives vectors; but vectors where the head has layers. See
        `minnow.graph.encoder.build_graph` and `minnow.model.spec.EmbeddingSpec.interface`.

    Raises:
        SourceError: The model is not there.
        BundleError: It has other weights.
        MissingExtraError: The extra `convert` is not installed.
    """
    original = read_original(find_origin(bundle, source, offline=True), bundle.manifest.choices)
    return original_graph(original)


def original_graph(original: Original) -> bytes:
    """Write minnow's own graph of a model in float32, with the output that its head needs."""
    head = None if original.head.is_plain else original.head
    long = original.embedding.is_long
    model = build_graph(original.network, original.tensors, head=head, long=long)
    graph: bytes = model.SerializeToString()
    return graph
