"""Where a bundle came from, for its manifest: the source, and the versions of the tools."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from minnow.bundle import SourceRecord
from minnow.model.checkpoint import weight_files
from minnow.sealing import sha256

if TYPE_CHECKING:
    from minnow.model.source import ModelSource


def source_record(origin: ModelSource) -> SourceRecord:
    """Where a model came from, with the hash of its weights."""
    return SourceRecord(
        name=origin.name,
        kind=origin.kind,
        revision=origin.revision,
        model_id=origin.model_id,
        weights_sha256=sha256(*weight_files(origin)),
        license=_license(origin),
    )


def _license(origin: ModelSource) -> str | None:
    """The licence in the front matter of the source's README, if it states one."""
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
    """Versions of what makes a bundle, by name."""
    names = {"minnow": "minnow-embed", **{n: n for n in ("mnn", "onnx", "numpy", "tokenizers")}}
    found = {"python": platform.python_version()}
    for name, distribution in names.items():
        try:
            found[name] = version(distribution)
        except PackageNotFoundError:
            found[name] = "unknown"
    return found
