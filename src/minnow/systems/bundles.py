"""Bundles, on MNN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.bundle import MANIFEST, TOKENIZER, Bundle
from minnow.systems.found import Found

if TYPE_CHECKING:
    from minnow.engines import TextEmbedder
    from minnow.model.spec import RolePrompts


def find(place: str, offline: bool) -> Found:
    """Of a folder that `minnow convert` wrote."""
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


def open_(place: str, threads: int, _: RolePrompts | None) -> TextEmbedder:
    """Of a folder that `minnow convert` wrote."""
    from minnow.embedder import Embedder

    return Embedder.open(place, threads=threads, on_truncate="ignore", check_files=False)
