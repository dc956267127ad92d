"""Memory that the process may still take: by the machine, its control groups, its limits."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from minnow import resources
from minnow.errors import IndexFileError, InputError
from minnow.resources import FreeMemory, free_memory, require_memory

if TYPE_CHECKING:
    from pathlib import Path

GB = 10**9


def make_system(root: Path, files: dict[str, str]) -> Path:
    """Write a tree of /proc and /sys with 8 GB available on the machine and 1 GB of swap."""
    meminfo = "MemTotal: 16000000 kB\nMemAvailable: 7812500 kB\nSwapFree: 976562 kB\nHugePages: 0\n"
    for name, text in {"proc/meminfo": meminfo, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_machine(tmp_path: Path) -> None:
    found = free_memory(make_system(tmp_path, {}))
    assert found == FreeMemory((7812500 + 976562) * 1024, "this machine")


V2 = "sys/fs/cgroup/app/inner"
V1 = "sys/fs/cgroup/memory/box"


@pytest.mark.parametrize(
    ("files", "size"),
    [
        (  # the parent's limit counts too, and file caches do not
            {
                "proc/self/cgroup": "0::/app/inner\n",
                f"{V2}/memory.max": "max\n",
                f"{V2}/memory.current": f"{GB}\n",
                "sys/fs/cgroup/app/memory.max": f"{4 * GB}\n",
                "sys/fs/cgroup/app/memory.current": f"{3 * GB}\n",
                "sys/fs/cgroup/app/memory.stat": f"anon 5\ninactive_file {GB}\n",
            },
            2 * GB,
        ),
        (
            {
                "proc/self/cgroup": "7:blkio:/\n4:memory:/box\n0::/\n",
                f"{V1}/memory.limit_in_bytes": f"{3 * GB}\n",
                f"{V1}/memory.usage_in_bytes": f"{GB}\n",
                f"{V1}/memory.stat": f"inactive_file 0\ntotal_inactive_file {GB // 2}\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": f"{9 * GB}\n",
            },
            2 * GB + GB // 2,
        ),
        (  # a container that sees its own group as the root
            {
                "proc/self/cgroup": "0::/docker/0123\n",
                "sys/fs/cgroup/memory.max": f"{GB}\n",
                "sys/fs/cgroup/memory.current": f"{2 * GB}\n",
            },
            0,
        ),
    ],
)
def test_control_groups(tmp_path: Path, files: dict[str, str], size: int) -> None:
    found = free_memory(make_system(tmp_path, files))
    assert found is not None
    assert (found.size, "control group" in found.limit) == (size, True)


def test_unreadable_files_set_no_limit(tmp_path: Path) -> None:
    make_system(tmp_path, {"proc/self/cgroup": "\x00\n::\nx\n0::/../..\n", "proc/self/statm": ""})
    found = free_memory(tmp_path)
    assert found is not None
    assert found.limit == "this machine"


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_limit_of_address_space_is_what_the_process_can_take() -> None:
    """The figure is true: a little less can be taken, a little more cannot."""
    program = """
import mmap, resource
from minnow.resources import free_memory
resource.setrlimit(resource.RLIMIT_AS, (1_000_000_000, 1_000_000_000))
free = free_memory()
assert "ulimit -v" in free.limit, free
mmap.mmap(-1, free.size - 2_000_000).close()
try:
    mmap.mmap(-1, free.size + 2_000_000)
except OSError:
    print("right")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.stdout == "right\n", done.stderr


def test_refusal_names_work_limit_and_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "free_memory", lambda: FreeMemory(3 * GB, "this machine"))
    require_memory(3 * GB, "A batch", "Divide it.")
    with pytest.raises(InputError) as caught:
        require_memory(22 * GB, "A batch of 64 texts", "Divide it.")
    assert str(caught.value) == (
        "A batch of 64 texts would take about 22.0 GB of memory, and this machine has 3.0 GB left. "
        "Divide it."
    )
    monkeypatch.setattr(resources, "free_memory", lambda: FreeMemory(0, "this machine"))
    with pytest.raises(InputError, match="would take about 17 MB"):
        require_memory(resources.UNCHECKED, "A batch", "Divide it.")
    require_memory(resources.UNCHECKED - 1, "A batch", "Divide it.")
    monkeypatch.setattr(resources, "free_memory", lambda: FreeMemory(3 * GB, "this machine"))
    with pytest.raises(IndexFileError, match=r"has 3\.0 GB left"):
        require_memory(4 * GB, "It", "Do less.", IndexFileError)
    monkeypatch.setattr(resources, "free_memory", lambda: None)
    require_memory(10**18, "A batch", "Divide it.")
