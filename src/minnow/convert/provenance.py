"""Provenance of a bundle: files of its source, and the manifest's records of source and tools."""

from __future__ import annotations

import platform
import shutil
from enum import Enum
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from msgspec.structs import asdict

from minnow.errors import ParityError
from minnow.manifest import CARD, TOKENIZER, SourceRecord
from minnow.model.layers import model_weight_files
from minnow.model.layout import WEIGHTS, WEIGHTS_INDEX, needed_files, place
from minnow.model.modules import read_modules
from minnow.origin import has_tokenizer_of
from minnow.sealing import sha256

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.bundle import Bundle
    from minnow.model.original import Original
    from minnow.model.source import ModelSource
    from minnow.model.tokenizer_adoption import SourceTokenizer


def copy_metadata(origin: ModelSource, folder: Path, tokenizer: SourceTokenizer) -> None:
    """Write the tokenizer, and copy configuration and licence under their own names; no weights."""
    for name in metadata_files(origin):
        target = folder / name.removeprefix(f"{origin.network}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(origin.folder / name, target)
    (folder / TOKENIZER).write_bytes(tokenizer.content)


def metadata_files(origin: ModelSource) -> list[str]:
    """List the source's files that a bundle carries, relative: no weights, no model card."""
    paths = (path for path in origin.folder.rglob("*") if path.is_file())
    names = {path.relative_to(origin.folder).as_posix() for path in paths}
    left = {*(place(name, origin.network) for name in (WEIGHTS, WEIGHTS_INDEX)), CARD}
    if origin.route is not None:  # the files of other routes belong to another encoder
        own = {f"{module.folder}/" for module in read_modules(origin) or ()}
        names = {name for name in names if "/" not in name or name[: name.rindex("/") + 1] in own}
    return [
        name
        for name in needed_files(names, with_author_graph=False)
        if name not in left and not name.endswith((f"/{WEIGHTS}", f"/{WEIGHTS_INDEX}"))
    ]


def source_record(origin: ModelSource, tokenizer: SourceTokenizer) -> SourceRecord:
    """Describe where a model came from, with the hash of its weights."""
    return SourceRecord(
        name=origin.name,
        kind=origin.kind,
        revision=origin.revision,
        model_id=origin.model_id,
        weights_sha256=sha256(*model_weight_files(origin)),
        license=_license(origin),
        tokenizer=tokenizer.rebuilt,
        route=origin.route,
    )


def check_claims(bundle: Bundle, origin: ModelSource, original: Original) -> None:
    """Compare all that a manifest says of its model with the source, whose weights fit already.

    `prompts_source` is left out: its wording belongs to the version that wrote it. So are `stream`
    and `powers`, which the conversion chose.

    Raises:
        ParityError: They differ; the message has every difference.
    """
    manifest = bundle.manifest
    said = {**asdict(manifest.encoder), **asdict(manifest.embedding)}
    meant = {**asdict(original.encoder), **asdict(original.embedding)}
    said |= {} if manifest.reranking is None else asdict(manifest.reranking)
    meant |= {} if original.reranking is None else asdict(original.reranking)
    said["reranks"], meant["reranks"] = (
        each.reranking is not None for each in (manifest, original)
    )
    said["license"], meant["license"] = manifest.source.license, _license(origin)
    said["rebuilt_tokenizer"] = manifest.source.tokenizer is not None
    meant["rebuilt_tokenizer"] = original.tokenizer.rebuilt is not None
    said["model_id"], meant["model_id"] = manifest.source.model_id, origin.model_id
    optional = {name for name in ("license", "model_id") if meant[name] is None}
    differing = [
        f"{name} {_shown(said.get(name))}, its source {_shown(value)}"
        for name, value in meant.items()
        if name not in {"prompts_source", "stream", "powers", *optional} and said.get(name) != value
    ]
    if differing:
        raise ParityError(f"Refused: the manifest says {'; it says '.join(differing)}.")
    files = [
        name
        for name in metadata_files(origin)
        if name in manifest.files
        and name != place(TOKENIZER, origin.network)
        and sha256(origin.folder / name) != manifest.files[name].sha256
    ]
    if not has_tokenizer_of(bundle, original):
        files.append(TOKENIZER)
    if files:
        raise ParityError(
            f"Refused: {', '.join(files)} of {origin.name} {'is' if len(files) == 1 else 'are'} "
            "not what the bundle was made from. Convert it again."
        )


def _shown(value: object) -> str:
    return str(value.value if isinstance(value, Enum) else value)


def _license(origin: ModelSource) -> str | None:
    """Read the licence in the front matter of the source's README, if it states one."""
    readme = origin.optional_file("README.md")
    if readme is None:
        return None
    from huggingface_hub import metadata_load

    try:
        metadata = metadata_load(readme) or {}
    except (ValueError, OSError):
        return None
    stated = metadata.get("license")
    return stated if isinstance(stated, str) else None


def tools() -> dict[str, str]:
    """Look up the versions of what makes a bundle, by name."""
    names = {"minnow": "minnow-embed", **{n: n for n in ("mnn", "onnx", "numpy", "tokenizers")}}
    return {"python": platform.python_version(), **{n: _version(d) for n, d in names.items()}}


@cache
def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
