"""Write docs/cli.md, the help of the program and of every command; `make docs` runs this."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COMMANDS = ("", "convert", "verify", "audit", "embed", "info", "export", "push", "distill",
            "prove", "device-check", "compare", "evaluate", "gguf", "frontier", "rerank", "index",
            "index migrate", "search", "ask", "memory", "memory add", "memory recall",
            "memory reflect", "memory list", "memory forget", "serve", "cache", "cache list",
            "cache prune", "doctor", "bench")  # fmt: skip


def help_of(command: str) -> str:
    """Return the output of `minnow COMMAND --help`, 80 columns wide."""
    arguments = [sys.executable, "-m", "minnow", *command.split(), "--help"]
    environment = {**os.environ, "COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    answer = subprocess.run(
        arguments, capture_output=True, text=True, check=True, env=environment
    ).stdout
    return "\n".join(line.rstrip() for line in answer.strip().splitlines())


def main() -> None:
    """Write the page beside this file."""
    parts = ["# The command line\n\nWritten by `make docs`; do not edit."]
    for command in COMMANDS:
        name = f"minnow {command}".strip()
        parts.append(f"## {name}\n\n```\n{help_of(command)}\n```")
    Path(__file__).with_name("cli.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
