"""Systems that are models on sentence-transformers: on torch, or on one of its back ends."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from minnow.engines.sentence_transformers import SentenceTransformersEmbedder
from minnow.manifest import TOKENIZER
from minnow.model.embedding import read_prompts
from minnow.model.source import resolve
from minnow.model.spec import RolePrompts, role_prompts
from minnow.systems.exports import export_with_sentence_transformers, made_once
from minnow.systems.found import FoundSystem
from minnow.systems.sources import graph_files, model_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from minnow.engines import TextEmbedder
    from minnow.engines.sentence_transformers import Backend
    from minnow.model.source import ModelSource


@dataclass(frozen=True)
class _BackendFiles:
    """Requirements of a back end besides a model's other files.

    Attributes:
        packages: The distributions that run it.
        graphs: Paths at which it looks for its form of the network.
    """

    packages: tuple[str, ...]
    graphs: tuple[str, ...]


_FILES: Mapping[Backend, _BackendFiles] = {
    "onnx": _BackendFiles(
        ("sentence-transformers", "onnxruntime", "optimum-onnx"),
        ("model.onnx", "onnx/model.onnx"),
    ),
    "openvino": _BackendFiles(
        ("sentence-transformers", "openvino", "optimum-intel"),
        ("openvino_model.xml", "openvino/openvino_model.xml"),
    ),
}


def find(place: str, offline: bool, *, backend: Backend) -> FoundSystem:
    """Find the files of a source, and prepare the back end's form of it."""
    source = resolve(place, offline=offline, with_author_graph=backend == "onnx" and not offline)
    files, variant = model_files(source, weights=True), ""
    if backend != "torch":
        files, variant = _backend_files(source, backend)
    return FoundSystem(
        files=files,
        prompts=_prompts(source),
        tokenizer=source.optional_file(TOKENIZER),
        variant=variant,
    )


def open_(place: str, threads: int, _: RolePrompts | None, *, backend: Backend) -> TextEmbedder:
    """Load a source."""
    source = resolve(place, offline=True)
    prompts = _prompts(source)
    return SentenceTransformersEmbedder(
        source.folder if backend == "torch" else _backend_folder(source, backend),
        threads=threads,
        query_prompt=prompts.query,
        document_prompt=prompts.document,
        backend=backend,
    )


def _backend_files(source: ModelSource, backend: Backend) -> tuple[tuple[Path, ...], str]:
    """Return the files that a back end reads, and whose graph it runs."""
    folder = _backend_folder(source, backend)
    if folder == source.folder:
        graph = _backend_graph(source, backend)
        return (*model_files(source, weights=False), *graph_files(graph)), ", the author's graph"
    return tuple(sorted(path for path in folder.rglob("*") if path.is_file())), ", exported"


def _backend_graph(source: ModelSource, backend: Backend) -> Path | None:
    found = map(source.optional_file, _FILES[backend].graphs)
    return next((path for path in found if path is not None), None)


def _backend_folder(source: ModelSource, backend: Backend) -> Path:
    """Return the model as a back end reads it: the source, or an export of it."""
    if _backend_graph(source, backend) is not None:
        return source.folder
    return made_once(
        f"st-{backend}",
        model_files(source, weights=True),
        _FILES[backend].packages,
        partial(export_with_sentence_transformers, source.folder, backend),
    )


def _prompts(source: ModelSource) -> RolePrompts:
    return role_prompts(read_prompts(source))
