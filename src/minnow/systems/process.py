"""A process that a system has to itself: started, talked to in lines of JSON, and ended.

Its memory is its own, and so is a crash. It hears on stdin and answers on what was its stdout;
whatever the system itself prints goes to stderr.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import msgspec

import minnow.errors
from minnow.errors import EngineError, MinnowError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from minnow.systems import System

    Answer = Callable[[object], None]

T = TypeVar("T")

_TAIL = 400


@dataclass(frozen=True)
class Failure:
    """An error of minnow.errors that ended a process.

    Attributes:
        error: Its name.
        arguments: What it is made of.
    """

    error: str
    arguments: list[Any]


# --- from outside ------------------------------------------------------------------------


class Worker:
    """The process of one system, seen from the one that started it.

    Attributes:
        started: The monotonic clock when it was started, in seconds.
    """

    def __init__(
        self, system: System, process: subprocess.Popen[bytes], printed: IO[bytes], started: float
    ) -> None:
        self.started = started
        self._system, self._process, self._printed = system, process, printed

    def tell(self, message: object) -> None:
        """Send a message; if the process has ended, what it said last is still to be heard."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(msgspec.json.encode(message) + b"\n")
            self._process.stdin.flush()

    def end(self) -> None:
        """Say that nothing more will be told."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.close()

    def hear(self, kind: type[T]) -> T | None:
        """The next answer; None when the process has ended well.

        Raises:
            MinnowError: What ended the process, if it was one of ours.
            EngineError: It crashed, or failed in another way; the message has its last words.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line.startswith(b'{"error"'):
            failure = msgspec.json.decode(line, type=Failure)
            error: Exception = getattr(minnow.errors, failure.error)(*failure.arguments)
            raise error
        if line:
            return msgspec.json.decode(line, type=kind)
        code = self._process.wait()
        if code < 0:
            raise EngineError(
                f"The process of {self._system.name} was ended by {_signal_name(-code)}: "
                f"{self._system.runtime} may not be built for this machine.{self._last_words()}"
            )
        if code:
            raise EngineError(f"The process of {self._system.name} failed.{self._last_words()}")
        return None

    def _last_words(self) -> str:
        self._printed.seek(0)
        return last_words(self._printed.read().decode(errors="replace"))


@contextmanager
def worker(module: str, system: System) -> Iterator[Worker]:
    """Run a module's `main` in a process of its own, which ends with the block at the latest.

    Args:
        module: Its name.
        system: For what it works.
    """
    code = f"import sys; import {module} as worker; sys.exit(worker.main())"
    started = time.monotonic()
    with (
        tempfile.TemporaryFile() as printed,
        subprocess.Popen(
            python_command(code),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=printed,
        ) as process,
    ):
        ours = Worker(system, process, printed, started)
        try:
            yield ours
        finally:
            process.kill()
            ours.end()


def python_command(code: str, *arguments: str) -> list[str]:
    """A command that runs code in this Python; modules in the user's folder are none of its own."""
    own = f"import sys; sys.path[:] = filter(None, sys.path)\n{code}"
    return [sys.executable, "-c", own, *arguments]


def last_words(printed: str) -> str:
    """The last line that a process printed, behind a space; empty if there is none."""
    lines = printed.strip().splitlines()
    return f" It printed last: {lines[-1][-_TAIL:]}" if lines else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


# --- from inside -------------------------------------------------------------------------


def answering(work: Callable[[Answer], None]) -> int:
    """Do a process's work; 0 when all of it is done, 1 when an error of ours was told.

    Args:
        work: Called with what sends an answer. It is all that gets to what was stdout.
    """
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)

    def answer(given: object) -> None:
        answers.write(msgspec.json.encode(given) + b"\n")

    try:
        work(answer)
    except MinnowError as error:
        answer(Failure(type(error).__name__, list(error.__reduce__()[1])))
        return 1
    return 0


def messages(kind: type[T]) -> Iterator[T]:
    """What is told, until nothing more is."""
    for line in sys.stdin.buffer:
        yield msgspec.json.decode(line, type=kind)


def peak_memory() -> int:
    """The most memory that this process held at once, in bytes.

    Linux carries getrusage's figure over from the process that started this one, so its own
    is read where there is one.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(row.split()[1]) * 1024 for row in lines if row.startswith("VmHWM"))
    except (OSError, StopIteration, ValueError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
