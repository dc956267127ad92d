"""How each kind of system is found, and how it is opened; the table of kinds is in `systems`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.bundle import MANIFEST, TOKENIZER, Bundle
from minnow.engines import TextEmbedder
from minnow.engines.fastembed import GRAPH, FastembedEmbedder, write_model
from minnow.errors import SourceNotFoundError
from minnow.model import graph
from minnow.model.checkpoint import weight_files
from minnow.model.config import read_embedding_spec, read_encoder_spec, read_prompts
from minnow.model.layout import needed_files
from minnow.model.original import read_original
from minnow.model.source import find_author_graph, resolve
from minnow.model.spec import EncoderSpec, RolePrompts, role_prompts
from minnow.systems.exports import export_with_sentence_transformers, made_once

if TYPE_CHECKING:
    from minnow.engines.sentence_transformers import Backend
    from minnow.model.source import ModelSource


@dataclass(frozen=True)
class Found:
    """The files of a system, and what they say; see `System`."""

    files: tuple[Path, ...]
    prompts: RolePrompts | None
    tokenizer: Path | None
    runs: str = ""
    encoder: EncoderSpec | None = None
    max_tokens: int | None = None


@dataclass(frozen=True)
class Kind:
    """One row of the table of systems.

    Attributes:
        runtime: What runs it, with places for versions.
        packages: The distributions that do, in the order of those places.
        extra: What to install where that is missing.
        find: What stands behind the colon, and whether to stay offline -> its files.
        open: What stands behind the colon, threads, prompts -> the system, loaded.
    """

    runtime: str
    packages: tuple[str, ...]
    extra: str
    find: Callable[[str, bool], Found]
    open: Callable[[str, int, RolePrompts | None], TextEmbedder]


# --- bundles -----------------------------------------------------------------------------


def find_bundle(place: str, offline: bool) -> Found:
    """A bundle."""
    del offline
    bundle = Bundle.open(place)
    bundle.check_files()
    return Found(
        files=tuple(bundle.folder / name for name in (*bundle.manifest.files, MANIFEST)),
        prompts=bundle.manifest.embedding.role_prompts,
        tokenizer=bundle.folder / TOKENIZER,
        runs=f", {bundle.manifest.recipe.precision.value}",
        encoder=bundle.manifest.encoder,
        max_tokens=bundle.manifest.embedding.max_tokens,
    )


def open_bundle(place: str, threads: int, _: RolePrompts | None) -> TextEmbedder:
    """A bundle."""
    from minnow.embedder import Embedder

    return Embedder.open(place, threads=threads, on_truncate="ignore", check_files=False)


# --- GGUF --------------------------------------------------------------------------------


def find_gguf(place: str, offline: bool) -> Found:
    """A GGUF file."""
    from minnow.engines.llama_cpp import stated_prompts

    del offline
    file = Path(place).expanduser()
    if not file.is_file():
        raise SourceNotFoundError(f"There is no file {place}. A GGUF is a single file.")
    stated = stated_prompts(file)
    return Found((file,), None if stated is None else RolePrompts(*stated), None)


def open_gguf(place: str, threads: int, prompts: RolePrompts | None) -> TextEmbedder:
    """A GGUF file."""
    from minnow.engines.llama_cpp import LlamaCppEmbedder

    return LlamaCppEmbedder(
        Path(place).expanduser(),
        threads=threads,
        query_prompt=None if prompts is None else prompts.query,
        document_prompt=None if prompts is None else prompts.document,
    )


# --- ONNX Runtime and OpenVINO -----------------------------------------------------------


def _is_bundle(place: str) -> bool:
    return (Path(place) / MANIFEST).is_file()


def find_graph(place: str, offline: bool) -> Found:
    """Of a source, or of a bundle."""
    if _is_bundle(place):
        return _find_graph_of_bundle(place)
    source = resolve(place, offline=offline, with_author_graph=not offline)
    encoder = read_encoder_spec(source)
    embedding = read_embedding_spec(source, encoder)
    author = find_author_graph(source)
    if author is None:
        _own_graph(source)  # written now, so that it is no part of loading
    return Found(
        files=(*_model_files(source, weights=author is None), *_graph_files(author)),
        prompts=embedding.role_prompts,
        tokenizer=source.file(TOKENIZER),
        runs=", minnow's graph" if author is None else ", the author's graph",
        encoder=encoder,
        max_tokens=embedding.max_tokens,
    )


def _find_graph_of_bundle(place: str) -> Found:
    from minnow.origin import find_origin

    bundle = Bundle.open(place)
    bundle.check_files()
    source = find_origin(bundle, offline=True)
    stated = find_bundle(place, offline=True)
    files = (*_model_files(source, weights=True), bundle.folder / MANIFEST)
    return replace(stated, files=files, runs=", minnow's graph")


def open_graph(engine: str, place: str, threads: int, _: RolePrompts | None) -> TextEmbedder:
    """Of a source, or of a bundle."""
    from minnow.embedder import Embedder

    if _is_bundle(place):
        return Embedder.open(
            place,
            engine=engine,
            agreement=0.0,  # the A/B itself compares
            threads=threads,
            on_truncate="ignore",
            check_files=False,
        )
    source = resolve(place, offline=True)
    encoder = read_encoder_spec(source)
    return Embedder.from_files(
        source.folder,
        encoder,
        read_embedding_spec(source, encoder),
        engine=engine,
        model=find_author_graph(source) or _own_graph(source),
        threads=threads,
        on_truncate="ignore",
    )


def _own_graph(source: ModelSource) -> Path:
    """Minnow's graph of a source, in a file."""
    files = (*_model_files(source, weights=True), Path(graph.__file__))

    def write(folder: Path) -> None:
        model = graph.build_graph(read_encoder_spec(source), read_original(source).tensors)
        (folder / GRAPH).write_bytes(model.SerializeToString())

    return made_once("graph", files, (), write) / GRAPH


def _graph_files(graph: Path | None) -> tuple[Path, ...]:
    """A graph, and the file of its weights where they are apart."""
    if graph is None:
        return ()
    weights = (graph.with_name(graph.name + "_data"), graph.with_suffix(".bin"))
    return tuple(path for path in (graph, *weights) if path.is_file())


# --- fastembed ---------------------------------------------------------------------------


def find_fastembed(place: str, offline: bool) -> Found:
    """Of a source."""
    source = resolve(place, offline=offline, with_author_graph=not offline)
    encoder = read_encoder_spec(source)
    embedding = read_embedding_spec(source, encoder)
    made = _fastembed_folder(source)
    own = find_author_graph(source) is None
    return Found(
        files=(*_model_files(source, weights=False), *_graph_files(made / GRAPH)),
        prompts=embedding.role_prompts,
        tokenizer=source.file(TOKENIZER),
        runs=", minnow's graph" if own else ", the author's graph",
        encoder=encoder,
        max_tokens=embedding.max_tokens,
    )


def open_fastembed(place: str, threads: int, _: RolePrompts | None) -> TextEmbedder:
    """Of a source."""
    source = resolve(place, offline=True)
    encoder = read_encoder_spec(source)
    return FastembedEmbedder(
        _fastembed_folder(source),
        read_embedding_spec(source, encoder),
        width=encoder.width,
        threads=threads,
    )


def _fastembed_folder(source: ModelSource) -> Path:
    """The model in fastembed's form."""
    author = find_author_graph(source)
    files = (*_model_files(source, weights=author is None), *_graph_files(author))

    def write(folder: Path) -> None:
        encoder = read_encoder_spec(source)
        write_model(
            folder,
            tokenizer=source.file(TOKENIZER),
            encoder=encoder,
            embedding=read_embedding_spec(source, encoder),
            graph=author or _own_graph(source).read_bytes(),
        )

    return made_once("fastembed", files, ("fastembed",), write)


# --- sentence-transformers ---------------------------------------------------------------


def find_sentence_transformers(place: str, offline: bool) -> Found:
    """Of a source."""
    source = resolve(place, offline=offline)
    return Found(
        files=_model_files(source, weights=True),
        prompts=_source_prompts(source),
        tokenizer=source.optional_file(TOKENIZER),
    )


def open_sentence_transformers(place: str, threads: int, _: RolePrompts | None) -> TextEmbedder:
    """Of a source."""
    from minnow.engines.sentence_transformers import SentenceTransformersEmbedder

    source = resolve(place, offline=True)
    prompts = _source_prompts(source)
    return SentenceTransformersEmbedder(
        source.folder,
        threads=threads,
        query_prompt=prompts.query,
        document_prompt=prompts.document,
    )


@dataclass(frozen=True)
class BackendFiles:
    """What a back end of sentence-transformers needs besides a model's other files.

    Attributes:
        packages: The distributions that run it.
        graphs: Where it looks for its form of the network.
    """

    packages: tuple[str, ...]
    graphs: tuple[str, ...]


BACKENDS: Mapping[Backend, BackendFiles] = {
    "onnx": BackendFiles(
        ("sentence-transformers", "onnxruntime", "optimum-onnx"),
        ("model.onnx", "onnx/model.onnx"),
    ),
    "openvino": BackendFiles(
        ("sentence-transformers", "openvino", "optimum-intel"),
        ("openvino_model.xml", "openvino/openvino_model.xml"),
    ),
}


def find_backend(backend: Backend, place: str, offline: bool) -> Found:
    """Of a source, on another back end than torch."""
    source = resolve(place, offline=offline, with_author_graph=backend == "onnx" and not offline)
    folder = _backend_folder(source, backend)
    if folder == source.folder:
        graph = _backend_graph(source, backend)
        files = (*_model_files(source, weights=False), *_graph_files(graph))
    else:
        files = tuple(sorted(path for path in folder.rglob("*") if path.is_file()))
    return Found(
        files=files,
        prompts=_source_prompts(source),
        tokenizer=source.optional_file(TOKENIZER),
        runs=", the author's graph" if folder == source.folder else ", exported",
    )


def open_backend(backend: Backend, place: str, threads: int, _: RolePrompts | None) -> TextEmbedder:
    """Of a source, on another back end than torch."""
    from minnow.engines.sentence_transformers import SentenceTransformersEmbedder

    source = resolve(place, offline=True)
    prompts = _source_prompts(source)
    return SentenceTransformersEmbedder(
        _backend_folder(source, backend),
        threads=threads,
        query_prompt=prompts.query,
        document_prompt=prompts.document,
        backend=backend,
    )


def _backend_graph(source: ModelSource, backend: Backend) -> Path | None:
    found = map(source.optional_file, BACKENDS[backend].graphs)
    return next((path for path in found if path is not None), None)


def _backend_folder(source: ModelSource, backend: Backend) -> Path:
    """The model as a back end reads it: the source, or what sentence-transformers exports."""
    if _backend_graph(source, backend) is not None:
        return source.folder
    return made_once(
        f"st-{backend}",
        _model_files(source, weights=True),
        BACKENDS[backend].packages,
        partial(export_with_sentence_transformers, source.folder, backend),
    )


def _source_prompts(source: ModelSource) -> RolePrompts:
    return role_prompts(read_prompts(source))


def _model_files(source: ModelSource, *, weights: bool) -> tuple[Path, ...]:
    """The files of a source that decide its vectors, with or without its weights."""
    names = {
        path.relative_to(source.folder).as_posix()
        for path in source.folder.rglob("*")
        if path.is_file()
    }
    heavy = set(weight_files(source))
    chosen = [source.folder / n for n in needed_files(names, with_author_graph=False)]
    light = [p for p in chosen if p not in heavy and p.suffix in (".json", ".txt")]
    return (*light, *(sorted(heavy) if weights else ()))
