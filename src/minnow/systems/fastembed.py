"""Systems that are models on fastembed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.engines.fastembed import GRAPH, FastembedEmbedder, write_model
from minnow.model.config import read_encoder_spec
from minnow.model.embedding import read_embedding_spec
from minnow.model.router import refuse_routes
from minnow.model.source import find_author_graph, resolve
from minnow.systems.exports import made_once
from minnow.systems.found import FoundSystem
from minnow.systems.sources import graph_content, graph_files, model_files, tokenizer_file

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.engines import TextEmbedder
    from minnow.model.source import ModelSource
    from minnow.model.spec import RolePrompts


def find(place: str, offline: bool) -> FoundSystem:
    """Find the files of a source, and prepare fastembed's form of it."""
    source = resolve(place, offline=offline, with_author_graph=not offline)
    refuse_routes(source)
    encoder = read_encoder_spec(source)
    embedding = read_embedding_spec(source, encoder)
    made = _fastembed_folder(source)
    own = find_author_graph(source) is None
    return FoundSystem(
        files=(*model_files(source, weights=False), *graph_files(made / GRAPH)),
        prompts=embedding.role_prompts,
        tokenizer=tokenizer_file(source),
        variant=", minnow's graph" if own else ", the author's graph",
        encoder=encoder,
        max_tokens=embedding.max_tokens,
    )


def open_(place: str, threads: int, _: RolePrompts | None) -> TextEmbedder:
    """Load a source."""
    source = resolve(place, offline=True)
    encoder = read_encoder_spec(source)
    return FastembedEmbedder(
        _fastembed_folder(source),
        read_embedding_spec(source, encoder),
        encoder=encoder,
        threads=threads,
    )


def _fastembed_folder(source: ModelSource) -> Path:
    """Return the folder of the model in fastembed's form."""
    author = find_author_graph(source)
    files = (*model_files(source, weights=author is None), *graph_files(author))

    def write(folder: Path) -> None:
        encoder = read_encoder_spec(source)
        write_model(
            folder,
            tokenizer=tokenizer_file(source),
            encoder=encoder,
            embedding=read_embedding_spec(source, encoder),
            graph=author or graph_content(source),
        )

    return made_once("fastembed", files, ("fastembed",), write)
