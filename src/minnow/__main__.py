"""Entry point of `minnow` and `python -m minnow`."""

from __future__ import annotations

import sys

from minnow.low_memory import EXIT_CODE, explain_memory, supervise_if_limited
from minnow.signals import stop_on_request, uninterrupted


def main() -> None:
    """Load the command line, which takes a moment, and run it; see its help for the exit codes."""
    supervise_if_limited()
    stop_on_request()
    try:
        with uninterrupted():
            from minnow.cli import main as run
    except KeyboardInterrupt:
        sys.stderr.write("error: stopped before anything started.\n")
        sys.exit(130)
    except (ImportError, MemoryError, OSError) as error:
        message = explain_memory(error)
        if message is None:
            raise
        sys.stderr.write(f"error: {message}\n")
        sys.exit(EXIT_CODE)
    run()


if __name__ == "__main__":
    main()
