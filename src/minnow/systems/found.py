"""The files of a system, found before it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minnow.model.spec import EncoderSpec, RolePrompts


@dataclass(frozen=True)
class FoundSystem:
    """The files of a system, and the facts in them; see `System`.

    Attributes:
        others: Other runtimes that may take part, with their versions.
    """

    files: tuple[Path, ...]
    prompts: RolePrompts | None
    tokenizer: Path | None
    variant: str = ""
    encoder: EncoderSpec | None = None
    max_tokens: int | None = None
    others: tuple[str, ...] = ()
