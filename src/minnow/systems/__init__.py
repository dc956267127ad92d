"""Systems that can be compared: `SYSTEM` on the command line, found, and opened.

| written | runtime |
|---|---|
| `FOLDER` | a bundle that `minnow convert` wrote, on MNN; in bulk on the engine of "auto" |
| `mnn:FOLDER` | the same on MNN alone |
| `gguf:FILE` | llama.cpp, with its own tokenizer and pooling |
| `onnx:SOURCE` | ONNX Runtime |
| `openvino:SOURCE`, `openvino-bf16:SOURCE` | OpenVINO, computing in float32 or bfloat16 |
| `fastembed:SOURCE` | fastembed, on ONNX Runtime |
| `st:SOURCE` | sentence-transformers, on torch in float32 |
| `st-onnx:SOURCE`, `st-openvino:SOURCE` | the same on ONNX Runtime or OpenVINO |

Behind any of them, `+RERANKER` names what orders its first documents again; see
`minnow.systems.rerankers`.

SOURCE is a Hub id, a folder or `package:NAME`; for `onnx` and `openvino` also a bundle, whose graph
is rebuilt from the checkpoint that it was made from. They and fastembed run the author's own ONNX
graph where the source has one, else minnow's. The back ends of sentence-transformers run the
author's graph too, else one that they export.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.engines import AUTO, MNN
from minnow.errors import InputError, MissingExtraError
from minnow.model.spec import EncoderSpec, RolePrompts
from minnow.sealing import sha256
from minnow.systems.rerankers import find_reranker, split_reranker

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tokenizers import Tokenizer

    from minnow.engines import TextEmbedder
    from minnow.systems.found import FoundSystem
    from minnow.workers import Worker


@dataclass(frozen=True)
class System:
    """A system that was found, but is not loaded.

    Attributes:
        name: As the user wrote it.
        label: A short name.
        runtime: The runtime with its version.
        size: Total size of its files in bytes.
        fingerprint: Hash of all that decides its vectors: 64 hexadecimal digits.
        prompts: Its prompts; None where its files do not state any.
        tokenizer: Its tokenizer.json, if it has one.
        encoder: Its network, where its files say.
        max_tokens: Its limit in tokens, special tokens included, where its files say.
        reranker: What orders its first documents again; its own `name`, files and fingerprint.
    """

    name: str
    label: str
    runtime: str
    size: int
    fingerprint: str
    prompts: RolePrompts | None
    tokenizer: Path | None
    encoder: EncoderSpec | None = None
    max_tokens: int | None = None
    reranker: System | None = None

    def in_bulk_on(self, engine: str | None) -> System:
        """Return the system with a `runtime` that names the engine that it took in bulk."""
        return self if not engine else replace(self, runtime=f"{self.runtime}, in bulk {engine}")


def find_system(name: str, *, offline: bool = False, prompts: RolePrompts | None = None) -> System:
    """Find a system's files, on this machine or on the Hub, and hash them.

    Args:
        name: As the user wrote it; see the table above.
        offline: Make no network call at all.
        prompts: For a system whose files do not state any.

    Raises:
        InputError: The name has no valid form.
        SourceError: There is no such model.
        BundleError: It is not a bundle, or a file in it has changed.
        MissingExtraError: Its runtime is not installed.
    """
    name, reranker = split_reranker(name)
    if reranker is not None:
        first = find_system(name, offline=offline, prompts=prompts)
        second = _find_reranker(reranker, offline)
        return replace(first, label=f"{first.label}+{second.label}", reranker=second)
    kind, place = _parse(name)
    row = KINDS[kind]
    try:
        runtime = row.runtime.format(*map(version, row.packages))
    except PackageNotFoundError as error:
        raise MissingExtraError(f"The system {name}", row.extra) from error
    found = row.find(place, offline)
    return _system(name, runtime, found, prompts, kind, _label(kind, place))


def _find_reranker(name: str, offline: bool) -> System:
    runtime, found = find_reranker(name, offline)
    kind, _, place = name.rpartition(":")
    return _system(name, runtime, found, None, "reranker", _label(kind, place))


def _system(
    name: str,
    runtime: str,
    found: FoundSystem,
    prompts: RolePrompts | None,
    kind: str,
    label: str,
) -> System:
    stated = found.prompts or prompts
    parts = [kind, runtime, found.variant, version("minnow-embed"), str(stated), *found.others]
    parts += [f"{path.name} {sha256(path)}" for path in found.files]
    return System(
        name=name,
        label=label,
        runtime=runtime + found.variant,
        size=sum(path.stat().st_size for path in found.files),
        fingerprint=hashlib.sha256("\n".join(parts).encode()).hexdigest(),
        prompts=stated,
        tokenizer=found.tokenizer,
        encoder=found.encoder,
        max_tokens=found.max_tokens,
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


def start_worker(system: System, module: str, timeout: float) -> Worker:
    """Start a process for a system alone, so that its memory and its crashes are its own.

    Args:
        system: What the process opens.
        module: Its `main` runs in the process, in the current folder.
        timeout: Seconds after which a reply counts as missing, and the process is killed.
    """
    from minnow.processes import python_command
    from minnow.workers import Worker

    return Worker(
        f"The process of {system.name}",
        python_command(f"import {module} as worker; sys.exit(worker.main())"),
        timeout=timeout,
        folder=Path(),
        hint=f"{system.runtime} may not be built for this machine",
    )


def first_tokenizer(names: Sequence[str], *, offline: bool = False) -> Tokenizer:
    """Load the tokenizer of the first system that has a tokenizer.json; see `tokenizer_of`.

    Raises:
        MinnowError: As `find_system` and `tokenizer_of`.
    """
    return tokenizer_of(find_system(name, offline=offline) for name in names)


def tokenizer_of(systems: Iterable[System]) -> Tokenizer:
    """Load the tokenizer of the first system that has one, without limit and padding.

    Args:
        systems: Systems; the search ends at the first that has one.

    Raises:
        InputError: No system has a tokenizer.json.
    """
    from minnow.model.tokenizer import load_whole_tokenizer

    for system in systems:
        if system.tokenizer is not None:
            return load_whole_tokenizer(system.tokenizer)
    raise InputError(
        "Documents are cut into chunks with a model's tokenizer.json, which none of the systems "
        "has. Name a bundle or its source among them."
    )


def with_unique_labels(systems: Sequence[System]) -> list[System]:
    """Make labels unique: short names, else whole names, else with a number behind."""
    names: dict[str, set[str]] = {}
    for system in systems:
        names.setdefault(system.label, set()).add(system.name)
    seen: Counter[str] = Counter()
    unique = []
    for system in systems:
        label = system.label if len(names[system.label]) == 1 else system.name
        seen[label] += 1
        number = f" ({seen[label]})" if seen[label] > 1 else ""
        unique.append(replace(system, label=label + number))
    return unique


def _label(kind: str, place: str) -> str:
    """Return a label such as `gguf:model-q8_0.gguf` or `bge-small.minnow`."""
    last = Path(place).expanduser().resolve().name.removeprefix("package:")
    return f"{kind}:{last}" if kind not in _OF_BUNDLES else last


def _parse(name: str) -> tuple[str, str]:
    """Split a name into kind and place; the kind of a bundle is an empty string."""
    kind, colon, place = name.partition(":")
    if colon and kind in KINDS:
        if not place.strip():
            raise InputError(f"{name} names no file or source behind the colon. {_FORMS}")
        return kind, place
    if colon and not Path(name).exists():
        raise InputError(f"There is no system {kind!r}: {_FORMS}")
    if Path(name).is_file():
        hint = f" Did you mean gguf:{name}?" if name.endswith(".gguf") else ""
        raise InputError(f"{name} is a file, not a bundle.{hint} {_FORMS}")
    return "", name


# --- the table ---------------------------------------------------------------------------


@dataclass(frozen=True)
class SystemKind:
    """One row of the table of systems.

    Attributes:
        module: Its `find` takes the part behind the colon, and whether to stay offline; its
            `open_` takes that part, threads and prompts. It is imported when one is called.
        runtime: The name of the runtime, with placeholders for versions.
        packages: The distributions of the runtime, in the order of the placeholders.
        extra: The extra to install where a distribution is missing.
        options: Further arguments of both functions.
    """

    module: str
    runtime: str
    packages: tuple[str, ...]
    extra: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    def find(self, place: str, offline: bool) -> FoundSystem:
        """Find the files of a system of this kind."""
        found: FoundSystem = import_module(self.module).find(place, offline, **self.options)
        return found

    def open(self, place: str, threads: int, prompts: RolePrompts | None) -> TextEmbedder:
        """Load a system of this kind."""
        module = import_module(self.module)
        embedder: TextEmbedder = module.open_(place, threads, prompts, **self.options)
        return embedder


def _on_graph(engine: str, runtime: str, package: str) -> SystemKind:
    options = {"engine": engine}
    return SystemKind("minnow.systems.graphs", runtime, (package,), package, options)


def _sentence_transformers(backend: str, runtime: str, *packages: str, extra: str) -> SystemKind:
    module, own = "minnow.systems.sentence_transformers", "sentence-transformers"
    return SystemKind(module, f"{own} {runtime}", (own, *packages), extra, {"backend": backend})


def _bundle(engine: str) -> SystemKind:
    return SystemKind("minnow.systems.bundles", "MNN {}", ("mnn",), options={"engine": engine})


KINDS: Mapping[str, SystemKind] = {
    "": _bundle(AUTO),
    "mnn": _bundle(MNN),
    "gguf": SystemKind(
        "minnow.systems.gguf",
        "llama.cpp (llama-cpp-python {})",
        ("llama-cpp-python",),
        "llama-cpp",
    ),
    "onnx": _on_graph("onnxruntime", "ONNX Runtime {}", "onnxruntime"),
    "openvino": _on_graph("openvino", "OpenVINO {}", "openvino"),
    "openvino-bf16": _on_graph("openvino-bf16", "OpenVINO {} in bfloat16", "openvino"),
    "fastembed": SystemKind(
        "minnow.systems.fastembed",
        "fastembed {} on ONNX Runtime {}",
        ("fastembed", "onnxruntime"),
        "fastembed",
    ),
    "st": _sentence_transformers("torch", "{}", extra="sentence-transformers"),
    "st-onnx": _sentence_transformers(
        "onnx",
        "{} on ONNX Runtime {} (optimum-onnx {})",
        "onnxruntime",
        "optimum-onnx",
        extra="st-backends",
    ),
    "st-openvino": _sentence_transformers(
        "openvino",
        "{} on OpenVINO {} (optimum-intel {}), precision by its default",
        "openvino",
        "optimum-intel",
        extra="st-backends",
    ),
}

_OF_BUNDLES = ("", "mnn")
_OF_SOURCES = [kind for kind in KINDS if kind not in (*_OF_BUNDLES, "gguf")]
FORMS = (
    f"mnn:FOLDER, gguf:FILE, or one of {', '.join(_OF_SOURCES[:-1])} and {_OF_SOURCES[-1]} with "
    ":SOURCE behind it."
)
"""What can be written in place of a bundle's folder."""
_FORMS = f"A system is the folder of a bundle, {FORMS}"
