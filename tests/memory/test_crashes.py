"""Killed at any moment, or written by two at once: what was promised is there."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fakes.remembering import open_memory

TESTS = Path(__file__).parents[1]
KILLS = 5

_REMEMBER = """
import sys
sys.path.insert(0, {tests!r})
from pathlib import Path
from fakes.remembering import open_memory
with open_memory(Path(sys.argv[1]), duplicate=1.1) as memory:
    print("ready", flush=True)
    for turn in range(int(sys.argv[3])):
        item = memory.remember(f"{{sys.argv[2]}} did {{turn}} things")
        memory.recall("things", 3)
        print(item.id, flush=True)
"""


def start(file: Path, name: str, turns: int) -> subprocess.Popen[str]:
    program = _REMEMBER.format(tests=str(TESTS))
    command = [sys.executable, "-c", program, str(file), name, str(turns)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Every memory whose id was given out is there, and the file is whole."""
    file, chance, promised = tmp_path / "a.memory", random.Random(5), set()
    for turn in range(KILLS):
        child = start(file, f"run{turn}", 100_000)
        time.sleep(chance.uniform(0.05, 0.4))
        child.kill()
        out, _ = child.communicate()
        assert child.returncode == -signal.SIGKILL
        promised |= {int(line) for line in out.splitlines(keepends=True) if line.endswith("\n")}
        with open_memory(file) as memory:
            assert memory.check() == []
            assert promised <= {item.id for item in memory.items()}
    assert len(promised) > KILLS


def test_two_at_once(tmp_path: Path) -> None:
    file = tmp_path / "a.memory"
    children = [start(file, name, 40) for name in ("one", "two")]
    for child in children:
        _, errors = child.communicate()
        assert (child.returncode, errors) == (0, "")
    with open_memory(file) as memory:
        assert memory.check() == []
        assert len(memory) == 80
