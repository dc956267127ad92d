"""Child processes for code that may crash, hang or run out of memory.

`run_child` runs a program to its end. A `Worker` answers requests: its program calls
`serve_requests`.
"""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

import minnow.errors
from minnow.errors import ConversionError, EngineError, MinnowError
from minnow.signals import uninterrupted
from minnow.workfolder import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Self

T = TypeVar("T")

TIMEOUT = 900.0
"""Seconds that a program may run."""

_TAIL_LINES, _TAIL_CHARACTERS = 3, 400
_PATIENCE = 5.0
"""Seconds to wait for a pipe's end: a descendant in another session may still hold it."""
_KILL = getattr(signal, "SIGKILL", 9)  # Windows has no such name
_FAMILY = "MINNOW_FAMILY"
"""A variable that a child and all that it starts inherit: one mark for each such child."""
_PACKAGES = Path(__file__).absolute().parents[1]
_SITE = ("site-packages", "dist-packages")
_NOISE = ("The device supports:", "Traceback (most recent call last)")
"""What MNN prints when it is imported, and the head of a traceback."""


class ChildProcess:
    """A program in this process's group, so that a signal to the group reaches it too.

    Closing kills it; on Linux, with all that it started.

    Attributes:
        name: Its name in messages.
        pid: Its process id.
        started: The monotonic clock when it was started, in seconds.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path | None = None,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        hint: str = "",
        piped: bool = False,
        own_session: bool = False,
    ) -> None:
        """Start it.

        Args:
            name: Its name in messages.
            command: The program and its arguments.
            log: The file for all that it prints; by default a temporary one.
            folder: Its working directory; by default a temporary one.
            environment: Variables to add to the environment.
            hint: The likely cause of a crash, for messages.
            piped: Connect its stdin and stdout to this process; only stderr is its log then.
            own_session: Start it in a session of its own, so that Ctrl-C in a terminal reaches
                only this process. It has to end by itself when this process is killed, as
                `serve_requests` does.
        """
        self.name, self._hint = name, hint
        self._mark = secrets.token_hex(16)
        with ExitStack() as stack:
            if log is None or folder is None:
                scratch = stack.enter_context(scratch_folder())
                log, folder = log or scratch / "log.txt", folder or scratch
            self._log = log
            with log.open("wb") as output, uninterrupted():
                self.started = time.monotonic()
                self._process = subprocess.Popen(
                    command,
                    cwd=folder,
                    env=_environment(self._mark, environment or {}),
                    stdin=subprocess.PIPE if piped else subprocess.DEVNULL,
                    stdout=subprocess.PIPE if piped else output,
                    stderr=output,
                    start_new_session=own_session,
                )
                stack.callback(self.wait, 0.0)
            self._cleanup = stack.pop_all()
        self.pid = self._process.pid

    def wait(self, timeout: float) -> int | None:
        """Wait up to `timeout` seconds for its end, then kill what is left of it.

        Returns:
            Its exit code, negative for a signal; None if it was still running.
        """
        if self._process.returncode is not None:
            return self._process.returncode
        code = None
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(timeout)
        with uninterrupted():
            self._process.kill()
            self._process.wait()
            _kill_family(self._mark)
        return code

    def output(self) -> str:
        """Return all that it printed into its log; nothing once a temporary log is removed."""
        with suppress(FileNotFoundError):
            return self._log.read_text(encoding="utf-8", errors="replace")
        return ""

    def last_output(self) -> str:
        """Return a sentence with the end of its log, after a space; empty if the log is.

        It omits indented lines, which are the frames of a traceback.
        """
        lines = [line.rstrip() for line in self.output().splitlines()]
        kept = [line for line in lines if line and not line.startswith((" ", "\t", *_NOISE))]
        tail = " | ".join(kept[-_TAIL_LINES:])[-_TAIL_CHARACTERS:]
        return f" It printed last: {tail.rstrip('.')}." if tail else ""

    def ending(self, code: int) -> str:
        """Describe an exit code, as a sentence that the name of the process begins."""
        if code == -_KILL or "bad_alloc" in self.last_output():
            return (
                "was killed, most likely because memory ran out: use a smaller model, or close "
                "other programs."
            )
        if code < 0:
            names = {each.value: each.name for each in signal.Signals}
            hint = f": {self._hint}" if self._hint else ""
            return f"crashed with {names.get(-code, f'signal {-code}')}{hint}."
        return "failed." if code else "ended without an answer."

    def close(self) -> None:
        """Kill it with all that it started, and remove its temporary directory."""
        with uninterrupted():
            self._cleanup.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _environment(mark: str, more: Mapping[str, str]) -> dict[str, str]:
    """Return a child's environment: its mark, and a path that holds in any working directory.

    It finds this package as this process does. A folder of installed packages is not added: Python
    finds it anyway, but behind its own modules.
    """
    environment = {**os.environ, **more}
    environment[_FAMILY] = f"{environment.get(_FAMILY, '')} {mark}".strip()
    given = environment.get("PYTHONPATH", "").split(os.pathsep)
    paths = [str(Path(path).absolute()) for path in given if path]
    if _PACKAGES.name not in _SITE:
        paths.insert(0, str(_PACKAGES))
    if paths:
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return environment


def _kill_family(mark: str) -> None:
    """Kill the processes that inherited a mark, where /proc shows environments."""
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        left = 0
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended, or is another user's
                environment = (process / "environ").read_bytes()
                if mark.encode() in environment:
                    os.kill(int(process.name), _KILL)
                    left += 1
                elif not environment:
                    left += _is_starting(process)
        if not left:
            return
        time.sleep(0.002)  # they end, or start others meanwhile


def _is_starting(process: Path) -> bool:
    """Return whether an environment is empty only because a program is being loaded.

    It has no arguments yet, and unlike a zombie and a thread of the kernel it has a program.
    """
    return not (process / "cmdline").read_bytes() and bool((process / "exe").readlink())


def run_child(
    name: str,
    command: Sequence[str],
    *,
    log: Path | None = None,
    folder: Path | None = None,
    result: Path | None = None,
    timeout: float = TIMEOUT,
    environment: Mapping[str, str] | None = None,
    error: type[MinnowError] = ConversionError,
) -> str:
    """Run a program to its end.

    Args:
        name: Its name in messages.
        command: The program and its arguments.
        log: The file for all that it prints; by default a temporary one.
        folder: Its working directory; by default a temporary one.
        result: The file that it writes; an older one is removed first.
        timeout: Seconds after which it counts as hung, and is killed.
        environment: Variables to add to the environment.
        error: The class of the error to raise.

    Returns:
        All that it printed.

    Raises:
        MinnowError: It failed, crashed, hung or did not write its result. The message has the end
            of the log, and the path of a copy that is kept.
    """
    if result is not None:
        result.unlink(missing_ok=True)
    with ChildProcess(name, command, log=log, folder=folder, environment=environment) as child:
        code = child.wait(timeout)
        if code is None:
            problem = f"did not finish within {timeout:.0f} s and was stopped."
        elif code:
            problem = child.ending(code)
        elif result is not None and not result.is_file():
            problem = f"wrote no {result.name}."
        else:
            return child.output()
        with tempfile.NamedTemporaryFile(
            "w", prefix="minnow-", suffix=".log", delete=False, encoding="utf-8"
        ) as kept:
            kept.write(child.output())
        raise error(f"{name} {problem}{child.last_output()} Its whole log is in {kept.name}.")


def python_command(code: str, *arguments: str) -> list[str]:
    """Return the command that runs code in this Python, without modules of the current folder."""
    own = f"import sys; sys.path[:] = filter(None, sys.path)\n{code}"
    return [sys.executable, "-c", own, *arguments]


# --- a program that answers requests -----------------------------------------------------


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
                thread.join(_PATIENCE)
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


# --- in the child ------------------------------------------------------------------------


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


def peak_memory() -> int:
    """Return the most memory that this process has held, in bytes.

    On Linux getrusage also counts the parent process before the start, so /proc comes first.
    """
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(int(row.split()[1]) * 1024 for row in lines if row.startswith("VmHWM"))
    except (OSError, StopIteration, ValueError):
        import resource

        unit = 1 if sys.platform == "darwin" else 1024
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
