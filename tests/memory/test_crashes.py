"""Processes killed at any moment, or two writers at once: confirmed writes are kept."""

from __future__ import annotations

import random
import signal
import time
from typing import TYPE_CHECKING

import pytest
from fakes.programs import start_python
from fakes.remembering import open_memory

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 5

_REMEMBER = """
import sys
from pathlib import Path
from fakes.remembering import open_memory
with open_memory(Path(sys.argv[1]), duplicate=1.1) as memory:
    print("ready", flush=True)
    for turn in range(int(sys.argv[3])):
        item = memory.remember(f"{sys.argv[2]} did {turn} things")
        memory.recall("things", 3)
        print(item.id, flush=True)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no kill -9")
def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Every memory whose id was given out is there, and the file is whole."""
    file, chance, promised = tmp_path / "a.memory", random.Random(5), set()
    for turn in range(KILLS):
        child = start_python(_REMEMBER, file, f"run{turn}", 100_000)
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
    children = [start_python(_REMEMBER, file, name, 40) for name in ("one", "two")]
    for child in children:
        _, errors = child.communicate()
        assert (child.returncode, errors) == (0, "")
    with open_memory(file) as memory:
        assert memory.check() == []
        assert len(memory) == 80
