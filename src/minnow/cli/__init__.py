"""The command line: parse, call, print."""

from importlib import import_module

from minnow.cli.app import app
from minnow.terminal import run

__all__ = ["app", "main"]

_COMMANDS = ("bundles", "exporting", "distilling", "device", "evaluation", "ladder", "speed",
             "reranking", "searching", "migrating", "asking", "remembering", "serving", "caching",
             "doctor")  # fmt: skip
"""The modules that add their commands to `app`, in the order of the help."""

for _module in _COMMANDS:
    import_module(f"minnow.cli.{_module}")


def main() -> None:
    """Run the command line; see EPILOG for the exit codes."""
    run(app)
