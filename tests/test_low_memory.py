"""A process whose address space is limited: one line and an exit code, where C++ code aborts."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minnow.errors import EngineError, MissingExtraError
from minnow.low_memory import EXIT_CODE, explain_memory

resource = pytest.importorskip("resource")

BUNDLE = Path(__file__).with_name("data") / "before" / "bundle"
MEGABYTES = 1 << 20
PLENTY = 4000


def start(limit: int, *arguments: str) -> subprocess.Popen[str]:
    """Start minnow with a limit in megabytes."""
    size = limit * MEGABYTES
    return subprocess.Popen(
        [sys.executable, "-m", "minnow", *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (size, size)),
    )  # fmt: skip


def test_exit_codes_agree() -> None:
    assert EngineError.exit_code == EXIT_CODE


@pytest.mark.parametrize("limit", [45, 110])
def test_an_aborted_program_says_why(limit: int) -> None:
    out, errors = start(limit, "embed", str(BUNDLE), "a text").communicate()
    assert out == ""
    last = errors.splitlines()[-1]
    assert last == (
        f"error: Memory ran out: this process is limited to {limit * MEGABYTES / 1e6:.0f} MB of "
        "address space. Raise the limit (ulimit -v)."
    )
    assert "Traceback" not in errors


@pytest.mark.parametrize(("arguments", "code"), [(("embed", str(BUNDLE), "a"), 0), (("fly",), 2)])
def test_with_enough_it_ends_as_always(arguments: tuple[str, ...], code: int) -> None:
    process = start(PLENTY, *arguments)
    out, errors = process.communicate()
    assert process.returncode == code, errors
    assert out.startswith("[") == (code == 0)
    assert "Memory ran out" not in errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_both_processes(number: signal.Signals) -> None:
    process = start(PLENTY, "embed", str(BUNDLE), "--input", "-")
    time.sleep(1)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 1
    os.kill(process.pid, number)
    process.wait(timeout=30)  # its stdin stays open: at its end the command would succeed
    process.communicate()
    assert process.returncode == (130 if number == signal.SIGTERM else -number)
    until = time.monotonic() + 30
    while Path(f"/proc/{children[0]}").exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_errors_that_mean_it() -> None:
    mapped = ImportError("x.so: failed to map segment from shared object")
    wrapped = MissingExtraError("Reading", "convert")
    wrapped.__cause__ = mapped
    meant = [
        mapped,
        wrapped,
        MemoryError(),
        OSError(12, "no"),
        RuntimeError("can't start new thread"),
    ]
    assert all(str(explain_memory(error)).startswith("Memory ran out") for error in meant)
    others = [
        ImportError("no module"),
        MissingExtraError("Reading", "convert"),
        ValueError("bad_alloc"),
    ]
    assert [explain_memory(error) for error in others] == [None] * 3
