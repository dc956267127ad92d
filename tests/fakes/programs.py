"""Programs of a test's own, each in an interpreter of its own."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import NamedTuple

import pytest

from minnow.cli import app
from minnow.terminal import outcome

TESTS = Path(__file__).parents[1]
MINNOW = (sys.executable, "-m", "minnow")
ECHO = """
import os, signal, time
from minnow.errors import InputError
from minnow.workers import serve_requests
def work(parent):
    print("a line for the log")
    for request in parent.requests(dict):
        exec(request.get("code", ""))
        parent.reply(request["text"])
sys.exit(serve_requests(work))
"""
"""Code of a worker that runs a request's code, and answers with its text."""


_OURS = ("PYTHONUNBUFFERED", "PYTHONIOENCODING", "PYTHONUTF8", "COLUMNS")
USUAL = {name: value for name, value in os.environ.items() if name not in _OURS}
"""The environment, without the caller's settings of Python's streams."""


def first_on_path(folder: Path) -> dict[str, str]:
    """Return an environment in which Python finds a folder's modules before all others."""
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)}


def run_python(
    code: str,
    *arguments: object,
    cwd: Path | None = None,
    home: Path | None = None,
    timeout: float = 60,
) -> subprocess.CompletedProcess[str]:
    """Run Python code with sys.argv[1:] as given; a hang is a failure.

    The code can import `fakes` too. With `home` that is the user's folder.
    """
    env = {**USUAL, **first_on_path(TESTS), **({} if home is None else {"HOME": str(home)})}
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        env=env,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def answer_of(code: str, *arguments: object, cwd: Path | None = None) -> str:
    """Return what code prints on stdout; its exit code must be 0."""
    done = run_python(code, *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def start_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start Python code that can import `fakes` and says "ready" when it is."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    child = subprocess.Popen(
        command,
        env={**USUAL, **first_on_path(TESTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


class Done(NamedTuple):
    """Result of a program: exit code and output."""

    code: int
    stdout: str
    stderr: str


def run_minnow(
    *arguments: object,
    cwd: Path | None = None,
    stdin: bytes = b"",
    stdout: int = subprocess.PIPE,
    env: dict[str, str] | None = None,
    closed: tuple[int, ...] = (),
    alone: bool = False,
) -> Done:
    """Run the command line to its end.

    It runs within this process, which spares a test the imports, unless something asks for a
    process of its own. There a hang is a failure.

    Args:
        *arguments: Strings, bytes, or what `str` makes of them; for bytes a process is started.
        cwd: The folder to run it in.
        stdin: What it can read.
        stdout: Another descriptor to write the answer to, by a process of its own.
        env: More of the environment, of a process of its own.
        closed: Standard streams that it starts without, in a process of its own.
        alone: Start a process even so.
    """
    whole = all(not isinstance(argument, bytes) for argument in arguments)
    if whole and not (alone or env or closed or stdout != subprocess.PIPE):
        return _run_here([str(argument) for argument in arguments], cwd, stdin)
    command = [*MINNOW, *(a if isinstance(a, bytes) else str(a) for a in arguments)]
    if closed:
        shut = " ".join(f"{number}>&-" for number in closed)
        command = ["sh", "-c", f'exec "$@" {shut}', "sh", *command]
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**USUAL, **(env or {})},
        input=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
    )
    return Done(done.returncode, (done.stdout or b"").decode(), done.stderr.decode())


def _run_here(arguments: list[str], cwd: Path | None, stdin: bytes) -> Done:
    read = io.TextIOWrapper(io.BytesIO(stdin), encoding="utf-8")
    out, err = (
        io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2)
    )
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("default")
        for name, value in {"argv": ["minnow", *arguments], "stdin": read, "stdout": out,
                            "stderr": err}.items():  # fmt: skip
            patch.setattr(sys, name, value)
        if cwd is not None:
            patch.chdir(cwd)
        code = outcome(app, arguments)
    return Done(code, *(each.buffer.getvalue().decode() for each in (out, err)))


def refused(done: Done, code: int) -> str:
    """Return the line of error of a failed command, after checking all of its output."""
    assert (done.code, done.stdout) == (code, ""), done.stderr
    *steps, last = done.stderr.splitlines()
    assert last.startswith("error: ")
    assert all(re.match(r" +\d+\.\d s  ", step) for step in steps), done.stderr
    return last


def stubs(folder: Path, **modules: str) -> dict[str, str]:
    """Write modules that hide those of the same name; return the environment that finds them."""
    folder.mkdir()
    for name, code in modules.items():
        (folder / f"{name}.py").write_text(code)
    return first_on_path(folder)


def has_ended(pid: int, within: float = 10) -> bool:
    """Return whether a process ends within some seconds; a zombie has ended."""
    status = Path(f"/proc/{pid}/stat")
    until = time.monotonic() + within
    while True:
        try:
            if status.read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except (FileNotFoundError, ProcessLookupError):
            return True
        if time.monotonic() >= until:
            return False
        time.sleep(0.02)
