"""Provenance of a bundle: files of its source, and the manifest's records of source and tools."""

from __future__ import annotations

import platform
import shutil
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from minnow.bundle import CARD, SourceRecord
from minnow.model.checkpoint import weight_files
from minnow.model.layout import WEIGHTS, WEIGHTS_INDEX, needed_files
from minnow.sealing import sha256

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.model.source import ModelSource


def copy_metadata(origin: ModelSource, folder: Path) -> None:
    """Copy tokenizer, configuration and licence under their own names; no weights."""
    for name in metadata_files(origin):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(origin.folder / name, target)


def metadata_files(origin: ModelSource) -> list[str]:
    """List the source's files that a bundle carries, relative: no weights, no model card."""
    paths = (path for path in origin.folder.rglob("*") if path.is_file())
    names = {path.relative_to(origin.folder).as_posix() for path in paths}
    left = {WEIGHTS, WEIGHTS_INDEX, CARD}
    return [name for name in needed_files(names, with_author_graph=False) if name not in left]


def source_record(origin: ModelSource) -> SourceRecord:
    """Describe where a model came from, with the hash of its weights."""
    return SourceRecord(
        name=origin.name,
        kind=origin.kind,
        revision=origin.revision,
        model_id=origin.model_id,
        weights_sha256=sha256(*weight_files(origin)),
        license=_license(origin),
    )


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
    found = {"python": platform.python_version()}
    for name, distribution in names.items():
        try:
            found[name] = version(distribution)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
