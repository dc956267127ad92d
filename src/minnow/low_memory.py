"""Limited address space (`ulimit -v`): a line of ours where C++ code would abort without one.

This module imports almost nothing, so that the program can load it first.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from contextlib import suppress
from typing import Any

EXIT_CODE = 7
"""That of EngineError: the runtime failed."""

_STOPPED = 130
_SIGNS = ("failed to map segment", "cannot allocate memory", "can't start new thread", "bad_alloc")


def address_space() -> int | None:
    """Return the limit of this process's address space in bytes; None if there is none."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    found, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if found == resource.RLIM_INFINITY else found


def explain_memory(error: BaseException) -> str | None:
    """Return a sentence for an error that says that memory ran out; None for any other."""
    cause: BaseException | None = error
    while cause is not None:
        full = isinstance(cause, OSError) and cause.errno == errno.ENOMEM
        of_system = isinstance(cause, (ImportError, OSError, RuntimeError))
        says_so = of_system and any(sign in str(cause).lower() for sign in _SIGNS)
        if full or says_so or isinstance(cause, MemoryError):
            return _message(address_space())
        cause = cause.__cause__ or cause.__context__
    return None


def _message(limit: int | None) -> str:
    if limit is None:
        return "Memory ran out. Close other programs, or take a smaller model or batch."
    return (
        f"Memory ran out: this process is limited to {limit / 1e6:.0f} MB of address space. Raise "
        "the limit (ulimit -v)."
    )


def supervise_if_limited() -> None:
    """Where address space is limited, continue in a child process and report how it ends.

    C++ code ends the process when it gets no memory, and nothing within the process can say so.
    This process waits, passes requests to stop on, and exits as the child does; but if the child is
    killed or fails without a message, it prints one line and exits with code 7.
    """
    limit = address_space()
    if limit is None or not hasattr(os, "fork"):
        return
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _end_with_parent()
        return
    _wait(child, limit)


def _end_with_parent() -> None:
    """Ask Linux to end this process when its parent is killed: PR_SET_PDEATHSIG of prctl(2)."""
    with suppress(Exception):
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _wait(child: int, limit: int) -> None:
    """Wait for the child, and exit.

    OpenBLAS sends its process a SIGINT when it cannot start a thread: without a request to stop,
    "stopped" means that memory ran out too.
    """
    requests = []

    def pass_on(number: int, _: Any) -> None:
        requests.append(number)
        if number != signal.SIGINT:  # which a terminal sends to the child as well
            with suppress(ProcessLookupError):
                os.kill(child, number)

    for request in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(request, pass_on)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    ran_out = code < 0 or code == 1 or (code == _STOPPED and not requests)
    if ran_out:
        sys.stderr.write(f"error: {_message(limit)}\n")
        sys.stderr.flush()
    os._exit(EXIT_CODE if ran_out else code)
