"""Requests to stop: Ctrl-C, SIGTERM, and the terminal that goes away.

This module imports next to nothing, so that it can be there first.
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


_asked: list[float] = []
_SAME_REQUEST = 1.0


class Stopped(KeyboardInterrupt):
    """A request to stop.

    It has a class of its own because Python, where a plain KeyboardInterrupt has passed through
    an `exec` (as it may within an import), forgets the exit code and kills itself.
    """


def stop_on_request() -> None:
    """Raise `Stopped` in the main thread on every request that is not ignored."""
    for number in _REQUESTS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _stop)


def _stop(*_: object) -> None:
    """Raise `Stopped`, but not again at once: an impatient second Ctrl-C would cut cleaning up."""
    again = bool(_asked) and time.monotonic() - _asked[0] < _SAME_REQUEST
    if not again:
        _asked[:] = [time.monotonic()]
        raise Stopped


def stop_was_requested() -> bool:
    """Whether `Stopped` was raised, even where a library made another error of it."""
    return bool(_asked)


def ignore_requests() -> None:
    """Let nothing interrupt what is left to do at the end of a program."""
    for number in _REQUESTS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Hold requests back for a moment that must not be cut in two.

    Python runs its signal handlers in the main thread only; elsewhere nothing can interrupt.
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
