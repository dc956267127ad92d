"""What is found of a system before it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from minnow.model.spec import EncoderSpec, RolePrompts


@dataclass(frozen=True)
class Found:
    """The files of a system, and what they say; see `System`."""

    files: tuple[Path, ...]
    prompts: RolePrompts | None
    tokenizer: Path | None
    runs: str = ""
    encoder: EncoderSpec | None = None
    max_tokens: int | None = None
