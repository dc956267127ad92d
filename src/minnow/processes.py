"""A child process for native code that may crash or hang; what it prints is its log."""

from __future__ import annotations

import os
import subprocess
import tempfile
from typing import TYPE_CHECKING

from minnow.errors import ConversionError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

TIMEOUT = 900.0
_TAIL = 3


def run_child(
    who: str,
    command: Sequence[str],
    *,
    log: Path,
    folder: Path,
    timeout: float = TIMEOUT,
    environment: Mapping[str, str] | None = None,
) -> None:
    """Run a program to its end.

    Args:
        who: What it is, for messages.
        command: The program and its arguments.
        log: Where all that it prints goes.
        folder: Where it runs.
        timeout: Seconds after which it counts as hung, and is killed.
        environment: What to add to the environment.

    Raises:
        ConversionError: It failed, crashed or hung; see `failure`.
    """
    with log.open("wb") as output:
        try:
            code = subprocess.run(
                command,
                cwd=folder,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            what = f"did not finish within {timeout:.0f} s and was stopped"
            raise failure(who, what, log) from None
    if code:
        raise failure(who, f"crashed with signal {-code}" if code < 0 else "failed", log)


def failure(who: str, what: str, log: Path) -> ConversionError:
    """An error with the end of the log, and the place of a copy that outlives the log's folder."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    with tempfile.NamedTemporaryFile(
        "w", prefix="minnow-", suffix=".log", delete=False, encoding="utf-8"
    ) as kept:
        kept.write("\n".join(lines))
    tail = " | ".join(lines[-_TAIL:]).rstrip(".") or "it printed nothing"
    return ConversionError(f"{who} {what}: {tail}. Its whole log is in {kept.name}.")
