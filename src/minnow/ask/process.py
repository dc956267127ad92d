"""A process that answers lines of JSON with lines of JSON, each within a time limit."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING, Any

import msgspec

from minnow.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

_TAIL = 400
_GREETING = "The device supports:"
"""What MNN prints when it is imported."""
_KILLED = -9
"""As the system does where memory runs out."""


class Reply(msgspec.Struct):
    """What comes back.

    Attributes:
        number: Of what was asked.
        tokens: How many.
        text: A text.
        end: Whether nothing follows.
        error: What went wrong, if something did.
    """

    number: int
    tokens: int = 0
    text: str = ""
    end: bool = False
    error: str = ""


class Process:
    """A child process in a session and a folder of its own: Ctrl-C is for who started it."""

    def __init__(self, who: str, command: Sequence[str], timeout: float) -> None:
        """Start it.

        Args:
            who: What it is, for messages.
            command: The program and its arguments.
            timeout: Seconds after which one reply counts as hung, and the process is killed.
        """
        self._who, self._timeout = who, timeout
        self._number = 0
        self._lines: SimpleQueue[bytes] = SimpleQueue()
        with ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="minnow-")))
            self._log = stack.enter_context((folder / "log.txt").open("w+b"))
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                start_new_session=True,
            )
            self._reader = Thread(target=self._read, daemon=True)
            self._reader.start()
            stack.callback(self._end)
            self._stack = stack.pop_all()

    @property
    def id(self) -> int:
        """The number that the system knows it by."""
        return self._process.pid

    def ask(self, **message: Any) -> Reply:
        """Send a message, and wait for its reply.

        One that somebody stopped waiting for is passed over.

        Raises:
            EngineError: It refused, crashed, hung, or is closed.
        """
        if self._log.closed:
            raise EngineError(f"{self._who} is closed; open it again.")
        self._number += 1
        self._send({"number": self._number, **message})
        return self.hear()

    def hear(self) -> Reply:
        """The reply to what was asked last; before anything was, that it is ready.

        Raises:
            EngineError: As `ask`.
        """
        while line := self._next_line():
            reply = msgspec.json.decode(line, type=Reply)
            if reply.error:
                raise EngineError(f"{self._who} {reply.error}{self._last_words()}")
            if reply.number == self._number:
                return reply
        self._lines.put(b"")
        raise EngineError(self._how_it_ended())

    def close(self) -> None:
        """End it, whatever it does."""
        self._stack.close()

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has ended; `hear` says how
            self._process.stdin.write(msgspec.json.encode(message) + b"\n")
            self._process.stdin.flush()

    def _read(self) -> None:
        """Take what it answers, in a thread: no other way to wait has a limit everywhere."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(line)
        self._lines.put(b"")

    def _next_line(self) -> bytes:
        """What it answers next; empty when it has ended."""
        try:
            return self._lines.get(timeout=self._timeout)
        except Empty:
            said = self._last_words()
            self.close()
            raise EngineError(
                f"{self._who} did not answer within {self._timeout:.0f} s and was stopped.{said}"
            ) from None

    def _end(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()

    def _last_words(self) -> str:
        """The end of what it printed, behind a space; empty if it printed nothing."""
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").splitlines()
        told = [line.strip() for line in lines if line.strip() and not line.startswith(_GREETING)]
        return f" It printed last: {' | '.join(told)[-_TAIL:].rstrip('.')}." if told else ""

    def _how_it_ended(self) -> str:
        code, said = self._process.wait(), self._last_words()
        if code == _KILLED or "bad_alloc" in said:
            what = "was ended, most likely for want of memory. Take a smaller one, or close others."
        elif code < 0:
            what = f"crashed with signal {-code}: its files may be damaged, or of another MNN."
        else:
            what = "ended before it answered."
        return f"{self._who} {what}{said}"
