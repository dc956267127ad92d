"""Child processes that answer requests, and what runs in them.

A `Worker` starts a program that calls `serve_requests`.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

import minnow.errors
from minnow.errors import EngineError, MinnowError
from minnow.processes import PATIENCE, ChildProcess
from minnow.signals import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

T = TypeVar("T")


class Worker(ChildProcess):
    """A child process that answers requests, each reply within a time limit.

    Requests go to its stdin and replies come from its stdout, as lines of JSON. A reply carries
    the number of its request, so that replies to an abandoned request are skipped.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        timeout: float,
        folder: Path | None = None,
        hint: str = "",
        own_session: bool = False,
    ) -> None:
        """Start a program that calls `serve_requests`; the arguments are those of `ChildProcess`.

        A reply has `timeout` seconds to come; after that the process is killed.
        """
        super().__init__(
            name, command, folder=folder, hint=hint, piped=True, own_session=own_session
        )
        self._timeout, self._number, self._closed = timeout, 0, False
        self._requests: SimpleQueue[bytes | None] = SimpleQueue()
        self._replies: SimpleQueue[bytes] = SimpleQueue()
        self._threads = [Thread(target=each, daemon=True) for each in (self._write, self._read)]
        for thread in self._threads:
            thread.start()

    def request(self, message: object, reply: type[T]) -> T:
        """Send a request, anything that msgspec encodes as JSON; return the first reply to it.

        Raises:
            EngineError: The process crashed, did not answer in time, or is closed.
            MinnowError: The error that ended the process.
        """
        self.send(message)
        answer = self.receive(reply)
        if answer is None:
            raise EngineError(f"{self.name} {self.ending(0)}{self.last_output()}")
        return answer

    def send(self, message: object) -> None:
        """Send a request; see `request`."""
        self._check_open()
        self._number += 1
        self._requests.put(_encode(self._number, message))

    def send_end(self) -> None:
        """Close its stdin: there are no more requests."""
        self._requests.put(None)

    def receive(self, reply: type[T]) -> T | None:
        """Return the next reply to the last request, or an announcement before the first.

        None means that the process has ended well.

        Raises:
            EngineError, MinnowError: As `request`.
        """
        while line := self._next_line():
            found = msgspec.json.decode(line, type=_Message)
            if found.error:
                error: Exception = getattr(minnow.errors, found.error)(*found.arguments)
                raise error
            if found.number == self._number:
                return msgspec.json.decode(found.content, type=reply)
        self._replies.put(b"")  # for the next call
        code = self.wait(self._timeout)
        problem = self.ending(code) if code else f"did not end within {self._timeout:.0f} s."
        message = f"{self.name} {problem}{self.last_output()}"
        self._check_open()  # another thread may have closed it meanwhile
        if code == 0:
            return None
        raise EngineError(message)

    def close(self) -> None:
        """Kill it with all that it started, and remove its temporary directory."""
        with uninterrupted():
            self._closed = True
            self.wait(0.0)
            self.send_end()
            for thread in self._threads:
                thread.join(PATIENCE)
            super().close()

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError(f"{self.name} is closed; open it again.")

    def _next_line(self) -> bytes:
        """Return its next line; empty when it has ended."""
        try:
            return self._replies.get(timeout=self._timeout)
        except Empty:
            printed = self.last_output()
            self.close()
            raise EngineError(
                f"{self.name} did not answer within {self._timeout:.0f} s and was stopped. If it "
                f"only needs longer, give a larger `timeout=`.{printed}"
            ) from None

    def _write(self) -> None:
        """Write requests, in a thread: a process that hangs does not read them."""
        assert self._process.stdin is not None
        with suppress(OSError), self._process.stdin as stdin:  # it has ended; `receive` says how
            for line in iter(self._requests.get, None):
                stdin.write(line)
                stdin.flush()

    def _read(self) -> None:
        """Read replies, in a thread: no other way to wait has a timeout on every system."""
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                if line.endswith(b"\n"):  # else it ended in the middle of the line
                    self._replies.put(line)
        self._replies.put(b"")


class _Message(msgspec.Struct):
    """A request or a reply; or an error of minnow.errors, by its name and arguments."""

    number: int
    content: msgspec.Raw = msgspec.Raw(b"null")
    error: str = ""
    arguments: list[Any] = []


def _encode(number: int, content: object) -> bytes:
    message = _Message(number)
    if isinstance(content, MinnowError):
        message.error, message.arguments = type(content).__name__, list(content.__reduce__()[1])
    else:
        message.content = msgspec.Raw(msgspec.json.encode(content))
    return msgspec.json.encode(message) + b"\n"


class Parent:
    """The process that started this one as a `Worker`.

    Replies go to it on the former stdout; all that this process prints goes to stderr.
    """

    def __init__(self) -> None:
        self._number = 0
        self._replies = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)

    def requests(self, kind: type[T]) -> Iterator[T]:
        """Yield requests, decoded as a type, until there are no more."""
        for line in sys.stdin.buffer:
            request = msgspec.json.decode(line, type=_Message)
            self._number = request.number
            yield msgspec.json.decode(request.content, type=kind)

    def reply(self, content: object) -> None:
        """Answer the last request, or announce something before the first; raise an error there."""
        self._replies.write(_encode(self._number, content))
        self._replies.flush()


def serve_requests(work: Callable[[Parent], None]) -> int:
    """Run a function that replies to requests; return the exit code of the process.

    An error of minnow.errors is raised in the parent.
    """
    parent = Parent()
    try:
        work(parent)
    except MinnowError as error:
        parent.reply(error)
        return 1
    return 0
