"""Files of a source that several kinds of systems read, and minnow's graph of it as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from minnow.graph import encoder as graph
from minnow.manifest import TOKENIZER
from minnow.model.config import read_encoder_spec
from minnow.model.layers import model_weight_files
from minnow.model.layout import needed_files
from minnow.model.original import read_original, read_tokenizer
from minnow.model.router import read_routes
from minnow.origin import original_graph
from minnow.systems.exports import made_once

if TYPE_CHECKING:
    from minnow.model.source import ModelSource

GRAPH = "model.onnx"


def model_files(source: ModelSource, *, weights: bool) -> tuple[Path, ...]:
    """Return the files of a source that decide its vectors, with or without its weights."""
    names = {
        path.relative_to(source.folder).as_posix()
        for path in source.folder.rglob("*")
        if path.is_file()
    }
    routes = read_routes(source)
    parts = (source,) if routes is None else (routes.query, routes.document)
    heavy = {path for part in parts for path in model_weight_files(part)}
    chosen = [source.folder / n for n in needed_files(names, with_author_graph=False)]
    light = [p for p in chosen if p not in heavy and p.suffix in (".json", ".txt")]
    return (*light, *(sorted(heavy) if weights else ()))


def tokenizer_file(source: ModelSource) -> Path:
    """Return a file of a source's tokenizer, which need not be its tokenizer.json.

    Raises:
        SourceError: The source's files contradict each other.
    """

    def write(folder: Path) -> None:
        content = read_tokenizer(source, read_encoder_spec(source)).content
        (folder / TOKENIZER).write_bytes(content)

    return made_once("tokenizer", model_files(source, weights=False), ("tokenizers",), write) / (
        TOKENIZER
    )


def graph_files(graph: Path | None) -> tuple[Path, ...]:
    """Return a graph, and the file of its weights where they are separate."""
    if graph is None:
        return ()
    weights = (graph.with_name(graph.name + "_data"), graph.with_suffix(".bin"))
    return tuple(path for path in (graph, *weights) if path.is_file())


def graph_content(source: ModelSource) -> bytes:
    """Return minnow's graph of a source, serialised."""
    return original_graph(read_original(source))


def own_graph(source: ModelSource) -> Path:
    """Return the file of minnow's graph of a source, from the cache or written now."""
    package = Path(graph.__file__).parents[1]
    writer = sorted(file for room in ("graph", "model") for file in (package / room).glob("*.py"))
    files = (*model_files(source, weights=True), *writer)

    def write(folder: Path) -> None:
        (folder / GRAPH).write_bytes(graph_content(source))

    return made_once("graph", files, (), write) / GRAPH
