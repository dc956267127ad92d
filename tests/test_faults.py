"""The campaign of random faults: some of each quick kind end well, and a bad end is seen."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from minnow.errors import BundleError

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import faults  # noqa: E402
from faults_base import Outcome, World, in_child  # noqa: E402

pytestmark = pytest.mark.extra("convert")


def run(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARKS / "faults.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_quick_kinds_end_well(tmp_path: Path) -> None:
    kinds = ["manifest-bytes", "manifest-values", "bundle-files", "export-files", "device-files",
             "replaced-bundle", "kill-seal", "kill-file"]  # fmt: skip
    done = run("--count", "60", "--seed", "7", "--keep", str(tmp_path / "w"), "--only", *kinds)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "60 faults in" in done.stdout
    assert ", 0 bad (seed 7)" in done.stdout


def raising(error: BaseException) -> Callable[[], str]:
    def work() -> str:
        raise error

    return work


@pytest.mark.parametrize(
    ("work", "bad"),
    [
        (lambda: "", ""),
        (raising(BundleError("one line")), ""),
        (raising(BundleError("two\nlines")), "a message of 9 characters"),
        (raising(ValueError("no")), "traceback"),
        (lambda: "wrong vectors", "wrong vectors"),
        (lambda: os._exit(9), "ended with 9"),
        (lambda: time.sleep(60), "hung for 1 s"),
    ],
)
def test_ends_are_judged(work: Callable[[], str], bad: str) -> None:
    found = in_child(work, limit=1.0)
    assert found.startswith(bad)
    assert bool(found) == bool(bad)


def test_a_bad_end_is_printed_and_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def kind(world: World, rng: random.Random) -> Outcome:
        del world
        return Outcome("a fault", "a hang" if rng.random() < 0.5 else "")

    monkeypatch.setattr(sys, "argv", ["faults.py", "--count", "20"])
    options = faults.read_options()
    assert faults.campaign(World(tmp_path), {"odd": (1, kind)}, options) == 1
    printed = capsys.readouterr().out
    assert "odd: a fault: a hang" in printed
    assert "20 faults, " in printed
