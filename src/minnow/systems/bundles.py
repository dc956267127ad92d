"""Systems that are bundles on MNN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.bundle import MANIFEST, TOKENIZER, Bundle
from minnow.systems.found import FoundSystem

if TYPE_CHECKING:
    from minnow.engines import TextEmbedder
    from minnow.model.spec import RolePrompts


def find(place: str, offline: bool) -> FoundSystem:
    """Find the files of a bundle."""
    del offline
    bundle = Bundle.open(place)
    bundle.check_kind(reranks=False)
    bundle.check_files()
    return FoundSystem(
        files=tuple(bundle.folder / name for name in (*bundle.manifest.files, MANIFEST)),
        prompts=bundle.manifest.embedding.role_prompts,
        tokenizer=bundle.folder / TOKENIZER,
        variant=f", {bundle.manifest.recipe.precision.value}",
        encoder=bundle.manifest.encoder,
        max_tokens=bundle.manifest.embedding.max_tokens,
    )


def open_(place: str, threads: int, _: RolePrompts | None) -> TextEmbedder:
    """Open a bundle."""
    from minnow.embedder import Embedder

    return Embedder.open(place, threads=threads, on_truncate="ignore", check_files=False)
