"""Locks and threads that a fork breaks, repaired in the child process."""

from __future__ import annotations

import os
import threading
import weakref
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable


def after_fork(repair: Callable[[], None]) -> None:
    """Have every forked child call a function first."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=repair)


class ForkSafeLock:
    """A lock of a module, which a forked child finds free."""

    def __init__(self) -> None:
        self._renew()
        after_fork(self._renew)

    def _renew(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


class Forkable(Protocol):
    """An engine that a forked child can repair."""

    def after_fork(self) -> None:
        """Replace what did not survive the fork."""
        ...


class RuntimeThreads:
    """The thread pool of a runtime, which does not survive a fork: code that waits for it hangs.

    Attributes:
        started: Whether this process has started it, or its parent had before the fork.
        lost: Whether it was lost in a fork.
        engines: The open engines on it; they are repaired in a forked child.
    """

    def __init__(self) -> None:
        self.started = self.lost = False
        self.engines: weakref.WeakSet[Forkable] = weakref.WeakSet()
        after_fork(self._after_fork)

    def _after_fork(self) -> None:
        self.lost = self.lost or self.started
        for engine in self.engines:
            engine.after_fork()
