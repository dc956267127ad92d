"""The command line: parse, call, print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.cli import (
    asking,
    bundles,
    device,
    evaluation,
    exporting,
    ladder,
    remembering,
    searching,
    serving,
    speed,
)
from minnow.cli.app import app
from minnow.terminal import run

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["app", "main"]

COMMANDS: tuple[ModuleType, ...] = (
    bundles,
    exporting,
    device,
    evaluation,
    ladder,
    remembering,
    searching,
    asking,
    serving,
    speed,
)
"""The modules that put their commands into `app`."""


def main() -> None:
    """Run the command line; see EPILOG for the exit codes."""
    run(app)
