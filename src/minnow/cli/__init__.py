"""The command line: parse, call, print."""

from minnow.cli.app import app
from minnow.terminal import run

__all__ = ["app", "main"]


def main() -> None:
    """Run the command line; see EPILOG for the exit codes."""
    run(app)
