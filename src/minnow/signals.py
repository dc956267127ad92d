"""Requests to stop: Ctrl-C, SIGTERM, and the terminal that goes away.

This module imports almost nothing, so that the program can load it first.
"""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

_REQUESTS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


_requested: list[float] = []
_SAME_REQUEST = 1.0


class Stopped(KeyboardInterrupt):
    """A request to stop.

    It has its own class because Python ignores the exit code and kills itself after a plain
    KeyboardInterrupt has passed through an `exec`, as may happen within an import.
    """


def stop_on_request() -> None:
    """Raise `Stopped` in the main thread on every request that is not ignored."""
    for number in _REQUESTS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)


def _stop(*_: object) -> None:
    """Raise `Stopped`, but not twice within a second: that would interrupt the cleaning up."""
    again = bool(_requested) and time.monotonic() - _requested[0] < _SAME_REQUEST
    if not again:
        _requested[:] = [time.monotonic()]
        raise Stopped


def stop_was_requested() -> bool:
    """Return whether `Stopped` was raised, even if a library turned it into another error."""
    return bool(_requested)


def ignore_requests() -> None:
    """Ignore further requests at the end of a program."""
    for number in _REQUESTS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Postpone requests during work that must not be interrupted.

    Python runs its signal handlers in the main thread only, so other threads are not affected.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers: dict[int, Any] = {}
    arrived: list[int] = []
    try:
        for number in _REQUESTS:
            handler = signal.getsignal(number)
            if callable(handler):
                handlers[number] = handler
                signal.signal(number, lambda number, _: arrived.append(number))
        yield
    finally:
        for held, handler in handlers.items():
            signal.signal(held, handler)
        for held in arrived[:1]:
            handlers[held](held, None)
