"""Child processes for code that may crash, hang or run out of memory.

`run_child` runs a program to its end; `minnow.workers` has those that answer requests.
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
from typing import TYPE_CHECKING, TypeVar

from minnow.errors import ConversionError, MinnowError
from minnow.signals import uninterrupted
from minnow.workfolder import scratch_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

T = TypeVar("T")

TIMEOUT = 900.0
"""Seconds that a program may run."""

_TAIL_LINES, _TAIL_CHARACTERS = 3, 400
PATIENCE = 5.0
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
    until = time.monotonic() + PATIENCE
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
