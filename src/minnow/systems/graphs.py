"""Systems that are ONNX graphs on ONNX Runtime or OpenVINO."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.bundle import Bundle
from minnow.engines import MNN, EngineOptions
from minnow.manifest import MANIFEST
from minnow.model.config import read_encoder_spec
from minnow.model.embedding import read_embedding_spec
from minnow.model.router import refuse_routes
from minnow.model.source import find_author_graph, resolve
from minnow.model.spec import rebuilt_interface
from minnow.recipe import Graph
from minnow.systems import bundles
from minnow.systems.found import FoundSystem
from minnow.systems.sources import graph_files, model_files, own_graph, tokenizer_file

if TYPE_CHECKING:
    from minnow.engines import TextEmbedder
    from minnow.model.source import ModelSource
    from minnow.model.spec import EmbeddingSpec, RolePrompts


def _is_bundle(place: str) -> bool:
    return (Path(place) / MANIFEST).is_file()


def find(place: str, offline: bool, *, engine: str) -> FoundSystem:
    """Find the files of a source or of a bundle, and prepare the graph."""
    del engine
    if _is_bundle(place):
        return _find_graph_of_bundle(place)
    source = resolve(place, offline=offline, with_author_graph=not offline)
    refuse_routes(source)
    encoder = read_encoder_spec(source)
    embedding = read_embedding_spec(source, encoder)
    author = _author_graph(source, embedding)
    if author is None:
        own_graph(source)  # written now, so that loading does not include it
    return FoundSystem(
        files=(*model_files(source, weights=author is None), *graph_files(author)),
        prompts=embedding.role_prompts,
        tokenizer=tokenizer_file(source),
        variant=", minnow's graph" if author is None else ", the author's graph",
        encoder=encoder,
        max_tokens=embedding.max_tokens,
    )


def _author_graph(source: ModelSource, embedding: EmbeddingSpec) -> Path | None:
    """Locate the author's graph where its token states need no more than pooling."""
    return find_author_graph(source) if embedding.head.is_plain else None


def _find_graph_of_bundle(place: str) -> FoundSystem:
    from minnow.origin import find_origin

    stated = bundles.find(place, offline=True, engine=MNN)
    bundle = Bundle.open(place)
    if bundle.manifest.recipe.graph is Graph.CANONICAL:
        return replace(stated, variant=f"{stated.variant}, minnow's graph")
    source = find_origin(bundle, offline=True)
    files = (*model_files(source, weights=True), bundle.folder / MANIFEST)
    return replace(stated, files=files, variant=", minnow's graph")


def open_(place: str, threads: int, _: RolePrompts | None, *, engine: str) -> TextEmbedder:
    """Load the graph of a source or of a bundle."""
    from minnow.embedder import Embedder

    options = EngineOptions(engine, threads, agreement=0.0)  # the A/B itself compares
    if _is_bundle(place):
        return Embedder.open(place, options, on_truncate="ignore", check_files=False)
    source = resolve(place, offline=True)
    encoder = read_encoder_spec(source)
    embedding = read_embedding_spec(source, encoder)
    return Embedder.from_files(
        tokenizer_file(source).parent,
        encoder,
        embedding,
        options,
        model=_author_graph(source, embedding) or own_graph(source),
        interface=rebuilt_interface(embedding, None),
        on_truncate="ignore",
    )
