"""Systems that are GGUF files on llama.cpp."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from minnow.errors import SourceNotFoundError
from minnow.model.spec import RolePrompts
from minnow.systems.found import FoundSystem

if TYPE_CHECKING:
    from minnow.engines import TextEmbedder


def find(place: str, offline: bool) -> FoundSystem:
    """Find a GGUF file, and the prompts in it."""
    from minnow.engines.llama_cpp_model import stated_prompts

    del offline
    file = Path(place).expanduser()
    if not file.is_file():
        raise SourceNotFoundError(f"There is no file {place}. A GGUF is a single file.")
    stated = stated_prompts(file)
    return FoundSystem((file,), None if stated is None else RolePrompts(*stated), None)


def open_(place: str, threads: int, prompts: RolePrompts | None) -> TextEmbedder:
    """Load a GGUF file."""
    from minnow.engines.llama_cpp import LlamaCppEmbedder

    return LlamaCppEmbedder(
        Path(place).expanduser(),
        threads=threads,
        query_prompt=None if prompts is None else prompts.query,
        document_prompt=None if prompts is None else prompts.document,
    )
