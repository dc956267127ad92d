"""What a benchmark ran on: the machine in words, and how fast it multiplies matrices."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from minnow.engines.base import usable_cpus
from minnow.errors import EngineError
from minnow.processes import python_command, run_child

_TELLING = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "asimd",
            "asimdhp", "asimddp", "i8mm", "bf16", "sve")  # fmt: skip

_SIZE, _SECONDS = 1536, 0.7
_PEAK = f"""
import time
import numpy as np
a, b = np.random.default_rng(0).random((2, {_SIZE}, {_SIZE}), dtype=np.float32)
out, best, end = np.empty_like(a), 1e9, time.perf_counter() + {_SECONDS}
while time.perf_counter() < end:
    start = time.perf_counter()
    np.matmul(a, b, out=out)
    best = min(best, time.perf_counter() - start)
print(2 * {_SIZE} ** 3 / best)
"""
_BLAS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True)
class Machine:
    """What a benchmark ran on.

    Attributes:
        processor: Its name.
        cpus: Those that this process may use.
        instructions: Of the kinds that matter to matrices, those that the processor has.
        memory: In bytes; 0 where the system does not say.
        system: Its name and version.
        python: Its version.
        load: Processes that wanted to run in the minute before, by the system's count; None where
            it does not say.
    """

    processor: str
    cpus: int
    instructions: tuple[str, ...]
    memory: int
    system: str
    python: str
    load: float | None


def this_machine() -> Machine:
    """The one that this process runs on."""
    name, flags = _processor()
    return Machine(
        processor=name or platform.processor() or platform.machine(),
        cpus=usable_cpus(),
        instructions=tuple(name for name in _TELLING if name in flags),
        memory=_memory(),
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        python=platform.python_version(),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )


def _processor() -> tuple[str, set[str]]:
    """Name and flags, as Linux tells them; both are empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "", set()
    facts: dict[str, str] = {}
    for name, _, value in (row.partition(":") for row in lines):
        facts.setdefault(name.strip(), value.strip())
    flags = facts.get("flags") or facts.get("Features", "")
    return facts.get("model name", ""), set(flags.split())


def _memory() -> int:
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return 0


def matmul_peak(threads: int) -> float:
    """Floating-point operations a second of NumPy's float32 product of large matrices.

    The best of many products, in a process of its own with so many threads. It is a yardstick, not
    a limit: a runtime that computes in bfloat16 may be above it.

    Raises:
        EngineError: NumPy failed.
    """
    printed = run_child(
        "NumPy's product of matrices",
        python_command(_PEAK),
        environment=dict.fromkeys(_BLAS, str(threads)),
        error=EngineError,
    )
    return float(printed.splitlines()[-1])
