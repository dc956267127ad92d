"""What can be put side by side: `SYSTEM` on the command line, found, and opened.

| written | what runs it |
|---|---|
| `FOLDER` | MNN, on a bundle that `minnow convert` wrote |
| `gguf:FILE` | llama.cpp, with its own tokenizer and pooling |
| `onnx:SOURCE` | ONNX Runtime |
| `openvino:SOURCE`, `openvino-bf16:SOURCE` | OpenVINO, computing in float32 or bfloat16 |
| `st:SOURCE` | sentence-transformers, on torch in float32 |

SOURCE is a Hub id, a folder or `package:NAME`; for `onnx` and `openvino` also a bundle, whose graph
is then rebuilt from the checkpoint that it was made from. They run the author's own ONNX graph
where the source has one, else minnow's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.bundle import MANIFEST, TOKENIZER, Bundle, sha256
from minnow.engines import TextEmbedder
from minnow.errors import InputError, MissingExtraError, SourceNotFoundError
from minnow.model.checkpoint import weight_files
from minnow.model.config import read_embedding_spec, read_encoder_spec, read_prompts
from minnow.model.graph import build_graph
from minnow.model.layout import needed_files
from minnow.model.original import read_original
from minnow.model.source import find_author_graph, resolve
from minnow.model.spec import RolePrompts, role_prompts
from minnow.model.tokenizer import load_whole_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tokenizers import Tokenizer

    from minnow.model.source import ModelSource


@dataclass(frozen=True)
class System:
    """A system that is there, but not loaded.

    Attributes:
        name: As the user wrote it.
        label: A short name.
        runtime: What runs it, with its version.
        size: Bytes of the files that it needs.
        fingerprint: Of all that decides its vectors: 64 hexadecimal digits.
        prompts: What it puts before texts; None where its files do not say.
        tokenizer: Its tokenizer.json, if it has one.
    """

    name: str
    label: str
    runtime: str
    size: int
    fingerprint: str
    prompts: RolePrompts | None
    tokenizer: Path | None


@dataclass(frozen=True)
class _Found:
    """The files of a system, and what they say."""

    files: tuple[Path, ...]
    prompts: RolePrompts | None
    tokenizer: Path | None
    runs: str = ""


@dataclass(frozen=True)
class Kind:
    """One row of the table of systems.

    Attributes:
        runtime: What runs it, with a place for its version.
        package: The distribution that does, for its version.
        extra: What to install where that is missing.
        find: What stands behind the colon, and whether to stay offline -> its files.
        open: What stands behind the colon, threads, prompts -> the system, loaded.
    """

    runtime: str
    package: str
    extra: str
    find: Callable[[str, bool], _Found]
    open: Callable[[str, int, RolePrompts | None], TextEmbedder]


def find_system(name: str, *, offline: bool = False, prompts: RolePrompts | None = None) -> System:
    """Find a system's files, on this machine or on the Hub, and hash them.

    Args:
        name: As the user wrote it; see the table above.
        offline: Make no network call at all.
        prompts: For a system whose files do not state any.

    Raises:
        InputError: It is written wrongly.
        SourceError: There is no such model.
        BundleError: It is not a bundle, or a file in it has changed.
        MissingExtraError: What runs it is not installed.
    """
    kind, place = _parse(name)
    row = KINDS[kind]
    try:
        runtime = row.runtime.format(version(row.package))
    except PackageNotFoundError as error:
        raise MissingExtraError(f"The system {name}", row.extra) from error
    found = row.find(place, offline)
    stated = found.prompts or prompts
    size = sum(path.stat().st_size for path in found.files)
    parts = [kind, runtime, found.runs, version("minnow-embed"), str(stated)]
    parts += [f"{path.name} {sha256(path)}" for path in found.files]
    return System(
        name=name,
        label=_label(kind, place),
        runtime=runtime + found.runs,
        size=size,
        fingerprint=hashlib.sha256("\n".join(parts).encode()).hexdigest(),
        prompts=stated,
        tokenizer=found.tokenizer,
    )


def open_system(name: str, *, threads: int, prompts: RolePrompts | None = None) -> TextEmbedder:
    """Load a system; nothing is downloaded.

    Args:
        name: As the user wrote it.
        threads: CPU threads.
        prompts: For a system whose files do not state any.

    Raises:
        MinnowError: It cannot be loaded.
    """
    kind, place = _parse(name)
    return KINDS[kind].open(place, threads, prompts)


def first_tokenizer(names: Sequence[str], *, offline: bool = False) -> Tokenizer:
    """The tokenizer of the first system that has a tokenizer.json, without limit and padding.

    Raises:
        InputError: None has; a GGUF carries its tokenizer in a form of its own.
        MinnowError: As `find_system`.
    """
    for name in names:
        path = find_system(name, offline=offline).tokenizer
        if path is not None:
            return load_whole_tokenizer(path)
    raise InputError(
        "Documents are cut into chunks with a model's tokenizer.json, which none of the systems "
        "has. Name a bundle or its source among them."
    )


def _label(kind: str, place: str) -> str:
    """`gguf:model-q8_0.gguf`, `st:all-MiniLM-L6-v2`, `bge-small.minnow`."""
    last = Path(place).expanduser().resolve().name.removeprefix("package:")
    return f"{kind}:{last}" if kind else last


def _parse(name: str) -> tuple[str, str]:
    """Kind and place; the kind of a bundle is an empty string."""
    kind, colon, place = name.partition(":")
    if colon and kind in KINDS:
        if not place.strip():
            raise InputError(f"{name} names nothing behind the colon. {_FORMS}")
        return kind, place
    if colon and not Path(name).exists():
        raise InputError(f"There is no system {kind!r}: {_FORMS}")
    if Path(name).is_file():
        hint = f" Did you mean gguf:{name}?" if name.endswith(".gguf") else ""
        raise InputError(f"{name} is a file, not a bundle.{hint} {_FORMS}")
    return "", name


# --- bundles -----------------------------------------------------------------------------


def _find_bundle(place: str, offline: bool) -> _Found:
    del offline
    bundle = Bundle.open(place)
    bundle.check_files()
    return _Found(
        files=tuple(bundle.folder / name for name in (*bundle.manifest.files, MANIFEST)),
        prompts=bundle.manifest.embedding.role_prompts,
        tokenizer=bundle.folder / TOKENIZER,
        runs=f", {bundle.manifest.recipe.precision.value}",
    )


def _open_bundle(place: str, threads: int, _: RolePrompts | None) -> TextEmbedder:
    from minnow.embedder import Embedder

    return Embedder.open(place, threads=threads, on_truncate="ignore", check_files=False)


# --- GGUF --------------------------------------------------------------------------------


def _find_gguf(place: str, offline: bool) -> _Found:
    from minnow.engines.llama_cpp import stated_prompts

    del offline
    file = Path(place).expanduser()
    if not file.is_file():
        raise SourceNotFoundError(f"There is no file {place}. A GGUF is a single file.")
    stated = stated_prompts(file)
    return _Found((file,), None if stated is None else RolePrompts(*stated), None)


def _open_gguf(place: str, threads: int, prompts: RolePrompts | None) -> TextEmbedder:
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


def _find_graph(place: str, offline: bool) -> _Found:
    if _is_bundle(place):
        return _find_graph_of_bundle(place)
    source = resolve(place, offline=offline, with_author_graph=not offline)
    embedding = read_embedding_spec(source, read_encoder_spec(source))
    graph = find_author_graph(source)
    return _Found(
        files=(*_model_files(source, weights=graph is None), *_graph_files(graph)),
        prompts=embedding.role_prompts,
        tokenizer=source.file(TOKENIZER),
        runs=", minnow's graph" if graph is None else ", the author's graph",
    )


def _find_graph_of_bundle(place: str) -> _Found:
    from minnow.origin import find_origin

    bundle = Bundle.open(place)
    bundle.check_files()
    source = find_origin(bundle, offline=True)
    stated = _find_bundle(place, offline=True)
    files = (*_model_files(source, weights=True), bundle.folder / MANIFEST)
    return _Found(files, stated.prompts, stated.tokenizer, ", minnow's graph")


def _open_graph(engine: str, place: str, threads: int, _: RolePrompts | None) -> TextEmbedder:
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
    graph: Path | bytes | None = find_author_graph(source)
    if graph is None:
        graph = build_graph(encoder, read_original(source).tensors).SerializeToString()
    return Embedder.from_files(
        source.folder,
        encoder,
        read_embedding_spec(source, encoder),
        engine=engine,
        model=graph,
        threads=threads,
        on_truncate="ignore",
    )


def _graph_files(graph: Path | None) -> tuple[Path, ...]:
    """The author's graph, and the file of its weights where they are apart."""
    if graph is None:
        return ()
    return tuple(p for p in (graph, graph.with_name(graph.name + "_data")) if p.is_file())


# --- sentence-transformers ---------------------------------------------------------------


def _find_sentence_transformers(place: str, offline: bool) -> _Found:
    source = resolve(place, offline=offline)
    return _Found(
        files=_model_files(source, weights=True),
        prompts=_source_prompts(source),
        tokenizer=source.optional_file(TOKENIZER),
    )


def _open_sentence_transformers(place: str, threads: int, _: RolePrompts | None) -> TextEmbedder:
    from minnow.engines.sentence_transformers import SentenceTransformersEmbedder

    source = resolve(place, offline=True)
    prompts = _source_prompts(source)
    return SentenceTransformersEmbedder(
        source.folder,
        threads=threads,
        query_prompt=prompts.query,
        document_prompt=prompts.document,
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


# --- the table ---------------------------------------------------------------------------


def _graph_kind(runtime: str, engine: str, package: str) -> Kind:
    return Kind(runtime, package, package, _find_graph, partial(_open_graph, engine))


KINDS: Mapping[str, Kind] = {
    "": Kind("MNN {}", "mnn", "", _find_bundle, _open_bundle),
    "gguf": Kind(
        "llama.cpp (llama-cpp-python {})", "llama-cpp-python", "llama-cpp", _find_gguf, _open_gguf
    ),
    "onnx": _graph_kind("ONNX Runtime {}", "onnxruntime", "onnxruntime"),
    "openvino": _graph_kind("OpenVINO {}", "openvino", "openvino"),
    "openvino-bf16": _graph_kind("OpenVINO {} in bfloat16", "openvino-bf16", "openvino"),
    "st": Kind(
        "sentence-transformers {}",
        "sentence-transformers",
        "sentence-transformers",
        _find_sentence_transformers,
        _open_sentence_transformers,
    ),
}

_FORMS = (
    "A system is the folder of a bundle, gguf:FILE, onnx:SOURCE, openvino:SOURCE, "
    "openvino-bf16:SOURCE or st:SOURCE."
)
