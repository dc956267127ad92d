"""Exit of the program if it is stopped, its output closed, or its streams are missing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.programs import MINNOW, USUAL, run_minnow, stubs
from fakes.sealed import OLD, contents, make, names

import minnow.terminal
from minnow.cli import app
from minnow.terminal import render_flags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fakes.bundles import Tiny

FLAGS = [
    ("convert", "Give `pooling=cls|mean`.", "Give --pooling cls|mean."),
    ("convert", "Give `normalize=True`, `normalize=False`", "Give --normalize, --no-normalize"),
    ("convert", "Name it with `output=`.", "Name it with --output."),
    ("search", "`k=7` is too many", "-k 7 is too many"),
    ("index", "Give `encoding=int8`.", "Give --vectors int8."),
    ("index", "Run once without `offline=True`.", "Run once without --offline."),
    ("memory forget", "Use `dry_run=True`, `max_tokens=9`.", "Use --dry-run, --max-tokens 9."),
    ("info", "`none=1`, `json`, offline=True and\n`pooling=\n`", None),
]


@pytest.mark.parametrize(("command", "message", "shown"), FLAGS)
def test_parameters_are_shown_as_the_flags_of_the_command(
    monkeypatch: pytest.MonkeyPatch, command: str, message: str, shown: str | None
) -> None:
    """Of the command that runs, else of any."""
    monkeypatch.setattr(sys, "argv", ["minnow", *command.split(), "a", "--json"])
    assert render_flags(message, app) == (message if shown is None else shown)


def test_a_flag_without_a_negative_form_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["minnow", "compare"])
    assert render_flags("`fresh=True`, `fresh=False`", app) == "--fresh, `fresh=False`"


@pytest.mark.parametrize(
    ("filename", "shown"),
    [(minnow.terminal.__file__, "Give --fresh."), (pytest.__file__, "Give `fresh=True`.")],
)
def test_only_warnings_of_minnow_show_flags(
    monkeypatch: pytest.MonkeyPatch, filename: str, shown: str
) -> None:
    def warn(*_: object) -> int:
        warnings.warn_explicit("Give `fresh=True`.", UserWarning, filename, 1)
        return 0

    monkeypatch.setattr(minnow.terminal, "_invoke", warn)
    assert run_minnow("compare").stderr == f"warning: {shown}\n"


pytestmark = pytest.mark.skipif(
    not Path("/proc/self/stat").exists(), reason="signals, pipes and /proc are looked at here"
)

STOPPED = "error: stopped; nothing was left half done.\n"

# A converter that prints its process id and never ends.
SLEEPER = """
import os, sys, time
def mnnconvert(arguments):
    with open(os.environ["SLEEPER"] + ".tmp", "w") as file:
        file.write(str(os.getpid()))
    os.rename(os.environ["SLEEPER"] + ".tmp", os.environ["SLEEPER"])
    time.sleep(120)
"""

# The program, with a reference that never ends.
SLOW_PROOF = """
import os, time
import minnow.convert
def sleep(*arguments):
    open(os.environ["PROVING"], "w").close()
    time.sleep(120)
minnow.convert.REFERENCES["checkpoint"] = sleep
from minnow.cli import main
main()
"""


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> str:
    """Wait for a file, and return its content."""
    for _ in range(1200):
        if path.exists():
            return path.read_text()
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError(f"{path} was not created")


def has_ended(pid: int) -> bool:
    """Return whether a process ends within 10 s; a zombie has ended."""
    for _ in range(200):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a program in a session of its own; none outlives the test."""
    running = []

    def begin(*command: object, **environment: str) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [str(part) for part in command],
            cwd=tmp_path,
            env={**USUAL, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def to_process(number: int) -> Callable[[subprocess.Popen[bytes]], None]:
    return lambda process: process.send_signal(number)


def to_group(process: subprocess.Popen[bytes]) -> None:
    """Send SIGINT to the process group, as a terminal does on Ctrl-C."""
    os.killpg(process.pid, signal.SIGINT)


def twice(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)


WAYS = [
    pytest.param(to_process(signal.SIGINT), id="SIGINT"),
    pytest.param(to_process(signal.SIGTERM), id="SIGTERM"),
    pytest.param(to_process(signal.SIGHUP), id="SIGHUP"),
    pytest.param(to_group, id="Ctrl-C"),
    pytest.param(twice, id="twice"),
]


@pytest.mark.extra("convert")
class TestStoppingAConversion:
    @pytest.mark.parametrize("stop", WAYS)
    def test_while_the_converter_runs(
        self,
        tiny: Path,
        tmp_path: Path,
        start: Callable[..., subprocess.Popen[bytes]],
        stop: Callable[[subprocess.Popen[bytes]], None],
    ) -> None:
        make(tmp_path / "a.minnow")
        hidden = stubs(tmp_path / "stubs", _tools=SLEEPER)
        place = tmp_path / "pid"
        process = start(*MINNOW, "convert", tiny, "-o", "a.minnow", **hidden, SLEEPER=str(place))
        converter = int(wait_for(place, process))
        stop(process)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (130, b"")
        assert err.decode().endswith(STOPPED)
        assert b"Traceback" not in err
        assert has_ended(converter)
        assert names(tmp_path) == ["a.minnow", "pid", "stubs"]
        assert contents(tmp_path / "a.minnow") == OLD

    @pytest.mark.parametrize("stop", WAYS[:2])
    def test_while_the_proof_runs(
        self,
        tiny: Path,
        tmp_path: Path,
        start: Callable[..., subprocess.Popen[bytes]],
        stop: Callable[[subprocess.Popen[bytes]], None],
    ) -> None:
        place = tmp_path / "proving"
        command = (sys.executable, "-c", SLOW_PROOF, "convert", tiny, "-o", "new/a.minnow")
        process = start(*command, PROVING=str(place))
        wait_for(place, process)

        stop(process)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (130, b"")
        assert err.decode().endswith(STOPPED)
        assert names(tmp_path) == ["proving"]


# The program, with a library that turns whatever interrupts it into an error of its own.
SWALLOWED = """
import os, signal
import minnow.convert
def fault(*arguments, **options):
    try:
        signal.raise_signal(int(os.environ["SIGNAL"]))
    except BaseException as error:
        raise RuntimeError("Error calling __set_name__") from error
minnow.convert.convert = fault
from minnow.cli import main
main()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_that_a_library_turns_into_an_error_is_still_a_stop(
    start: Callable[..., subprocess.Popen[bytes]], number: int
) -> None:
    """An import raises an error of its own if it is interrupted within a class."""
    process = start(
        sys.executable, "-c", SWALLOWED, "convert", "model", "-o", "a", SIGNAL=str(int(number))
    )
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.decode()) == (130, b"", STOPPED)


# The program, with a module of its own that is interrupted while it loads.
WHILE_LOADING = """
import signal, sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "minnow.cli":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
from minnow.__main__ import main
main()
"""


def test_a_stop_while_loading_is_no_traceback(
    start: Callable[..., subprocess.Popen[bytes]],
) -> None:
    process = start(sys.executable, "-c", WHILE_LOADING, "info", "none")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (130, b"")
    assert err.decode() == "error: stopped before anything started.\n"


# The program, interrupted within an `exec`: Python would forget the exit code.
WITHIN_EXEC = """
import signal
import minnow.bundle
def interrupted(folder):
    exec("import signal; signal.raise_signal(signal.SIGINT)")
minnow.bundle.Bundle.open = interrupted
from minnow.cli import main
main()
"""


def test_a_stop_within_exec_keeps_the_exit_code(
    start: Callable[..., subprocess.Popen[bytes]],
) -> None:
    process = start(sys.executable, "-c", WITHIN_EXEC, "info", "some")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.decode()) == (130, b"", STOPPED)


@pytest.mark.extra("convert")
class TestEmbedding:
    def test_stopping_keeps_the_older_file(
        self, made: Tiny, tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
    ) -> None:
        (tmp_path / "a.npy").write_text("older")
        process = start(*MINNOW, "embed", made.bundle.folder, "-i", "-", "-o", "a.npy")
        assert process.stdin is not None
        process.stdin.write(b"fish\n" * 5000)
        process.stdin.flush()
        for _ in range(1200):
            if len(names(tmp_path)) == 2:
                break
            time.sleep(0.05)
        assert len(names(tmp_path)) == 2, "a file under a temporary name"

        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, out) == (130, b"")
        assert err.decode().endswith(STOPPED)
        assert names(tmp_path) == ["a.npy"]
        assert (tmp_path / "a.npy").read_text() == "older"

    def test_a_closed_pipe_is_no_error(
        self, made: Tiny, tmp_path: Path, start: Callable[..., subprocess.Popen[bytes]]
    ) -> None:
        """As `| head -1` does; more is written than a pipe holds."""
        (tmp_path / "many.txt").write_text("fish\n" * 3000)
        process = start(*MINNOW, "embed", made.bundle.folder, "-i", "many.txt")
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline().startswith(b"[")
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141


class TestStreams:
    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
    @pytest.mark.parametrize("arguments", [["info", "a.minnow"], ["--help"], ["--version"]])
    def test_9_stdout_is_full(self, tmp_path: Path, arguments: list[str]) -> None:
        make(tmp_path / "a.minnow")
        with Path("/dev/full").open("wb") as full:
            done = run_minnow(*arguments, cwd=tmp_path, stdout=full.fileno())
        message = "error: Cannot write standard output: No space left on device.\n"
        assert (done.code, done.stderr) == (9, message)

    @pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
    def test_closed_streams_change_no_exit_code(
        self, tmp_path: Path, closed: tuple[int, ...]
    ) -> None:
        make(tmp_path / "a.minnow")
        for name, code in (("a.minnow", 0), ("none", 6)):
            done = run_minnow("info", name, cwd=tmp_path, closed=closed)
            assert done.code == code
            assert (done.stdout != "") == (code == 0 and 1 not in closed)
            assert (done.stderr != "") == (code == 6 and 2 not in closed)
