"""What can be put side by side: `SYSTEM` on the command line, found, and opened.

| written | what runs it |
|---|---|
| `FOLDER` | MNN, on a bundle that `minnow convert` wrote |
| `gguf:FILE` | llama.cpp, with its own tokenizer and pooling |
| `onnx:SOURCE` | ONNX Runtime |
| `openvino:SOURCE`, `openvino-bf16:SOURCE` | OpenVINO, computing in float32 or bfloat16 |
| `fastembed:SOURCE` | fastembed, on ONNX Runtime |
| `st:SOURCE` | sentence-transformers, on torch in float32 |
| `st-onnx:SOURCE`, `st-openvino:SOURCE` | the same on ONNX Runtime or OpenVINO |

SOURCE is a Hub id, a folder or `package:NAME`; for `onnx` and `openvino` also a bundle, whose graph
is then rebuilt from the checkpoint that it was made from. They run the author's own ONNX graph
where the source has one, else minnow's; so does fastembed. The back ends of sentence-transformers
run the author's graph too, else one that they export. How each is found and opened is in `kinds`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.bundle import sha256
from minnow.errors import InputError, MissingExtraError
from minnow.model.spec import EncoderSpec, RolePrompts
from minnow.model.tokenizer import load_whole_tokenizer
from minnow.systems import kinds
from minnow.systems.kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tokenizers import Tokenizer

    from minnow.engines import TextEmbedder
    from minnow.engines.sentence_transformers import Backend


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
        encoder: Its network, where its files say.
        max_tokens: Where it cuts texts off, special tokens included; likewise.
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
        runtime = row.runtime.format(*map(version, row.packages))
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


def with_unique_labels(systems: Sequence[System]) -> list[System]:
    """Short names where they differ; else whole ones; and numbers where even those do not."""
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


# --- the table ---------------------------------------------------------------------------


def _graph_kind(runtime: str, engine: str, package: str) -> Kind:
    return Kind(runtime, (package,), package, kinds.find_graph, partial(kinds.open_graph, engine))


def _backend_kind(runtime: str, backend: Backend) -> Kind:
    return Kind(
        runtime,
        kinds.BACKENDS[backend].packages,
        "st-backends",
        partial(kinds.find_backend, backend),
        partial(kinds.open_backend, backend),
    )


KINDS: Mapping[str, Kind] = {
    "": Kind("MNN {}", ("mnn",), "", kinds.find_bundle, kinds.open_bundle),
    "gguf": Kind(
        "llama.cpp (llama-cpp-python {})",
        ("llama-cpp-python",),
        "llama-cpp",
        kinds.find_gguf,
        kinds.open_gguf,
    ),
    "onnx": _graph_kind("ONNX Runtime {}", "onnxruntime", "onnxruntime"),
    "openvino": _graph_kind("OpenVINO {}", "openvino", "openvino"),
    "openvino-bf16": _graph_kind("OpenVINO {} in bfloat16", "openvino-bf16", "openvino"),
    "fastembed": Kind(
        "fastembed {} on ONNX Runtime {}",
        ("fastembed", "onnxruntime"),
        "fastembed",
        kinds.find_fastembed,
        kinds.open_fastembed,
    ),
    "st": Kind(
        "sentence-transformers {}",
        ("sentence-transformers",),
        "sentence-transformers",
        kinds.find_sentence_transformers,
        kinds.open_sentence_transformers,
    ),
    "st-onnx": _backend_kind(
        "sentence-transformers {} on ONNX Runtime {} (optimum-onnx {})", "onnx"
    ),
    "st-openvino": _backend_kind(
        "sentence-transformers {} on OpenVINO {} (optimum-intel {}), precision by its default",
        "openvino",
    ),
}

_FORMS = (
    "A system is the folder of a bundle, gguf:FILE, or one of onnx, openvino, openvino-bf16, "
    "fastembed, st, st-onnx and st-openvino with :SOURCE behind it."
)
