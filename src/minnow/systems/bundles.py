"""Systems that are bundles, on MNN alone or with the faster engine that "auto" takes in bulk."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from minnow.bundle import Bundle
from minnow.engine_choice import PREFERRED, candidates
from minnow.engines import AUTO, EngineOptions
from minnow.manifest import MANIFEST, TOKENIZER
from minnow.systems.found import FoundSystem

if TYPE_CHECKING:
    from minnow.engines import TextEmbedder
    from minnow.model.spec import RolePrompts


def find(place: str, offline: bool, *, engine: str) -> FoundSystem:
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
        others=tuple(
            f"{PREFERRED[name]} {version(PREFERRED[name])}"
            for name in (candidates() if engine == AUTO else ())
        ),
    )


def open_(place: str, threads: int, _: RolePrompts | None, *, engine: str) -> TextEmbedder:
    """Open a bundle."""
    from minnow.embedder import Embedder

    options = EngineOptions(engine, threads)
    return Embedder.open(place, options, on_truncate="ignore")
