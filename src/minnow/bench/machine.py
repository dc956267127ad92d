"""The machine of a benchmark, and how fast it multiplies matrices."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from minnow.engines.base import usable_cpus
from minnow.errors import EngineError, MissingExtraError
from minnow.processes import python_command, run_child

_INSTRUCTIONS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "asimd",
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
_KERNEL = """
import os
for name in sys.argv[1:]:
    os.environ.pop(name, None)
import numpy
from threadpoolctl import threadpool_info
for found in threadpool_info():
    if found["user_api"] == "blas":
        print(found["internal_api"], found["version"], found.get("architecture") or "")
"""
_PINS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "MKL_ENABLE_INSTRUCTIONS", "BLIS_ARCH_TYPE")
"""Variables that have a BLAS take other kernels, or other blocks, than those of the processor."""
_BLAS = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True)
class Machine:
    """The machine of a benchmark.

    Attributes:
        processor: Its name.
        cpus: Number of CPUs that this process may use.
        instructions: Its instruction sets that matter to products of matrices.
        memory: In bytes; 0 if unknown.
        system: Its name and version.
        python: Its version.
        load: The load average of the last minute; None if unknown.
    """

    processor: str
    cpus: int
    instructions: tuple[str, ...]
    memory: int
    system: str
    python: str
    load: float | None


def this_machine() -> Machine:
    """Describe the machine of this process."""
    name, flags = _processor()
    return Machine(
        processor=name or platform.processor() or platform.machine(),
        cpus=usable_cpus(),
        instructions=tuple(name for name in _INSTRUCTIONS if name in flags),
        memory=_memory(),
        system=f"{platform.system()} {platform.release()}, {platform.machine()}",
        python=platform.python_version(),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    )


def _processor() -> tuple[str, set[str]]:
    """Read name and flags on Linux; both are empty elsewhere."""
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


@dataclass(frozen=True)
class Blas:
    """The library behind NumPy's product of matrices.

    Attributes:
        kernel: Its name, its version and the processors that its kernels are written for.
        unpinned: What it would be without the variables of `pins`; the same where there are none.
        pins: The variables in the environment that choose kernels.
    """

    kernel: str
    unpinned: str
    pins: tuple[str, ...]


def numpy_blas() -> Blas:
    """Ask threadpoolctl which kernels NumPy multiplies with, in child processes.

    Raises:
        EngineError: NumPy or threadpoolctl cannot be loaded.
        MissingExtraError: The extra `evaluate` is not installed.
    """
    if find_spec("threadpoolctl") is None:
        raise MissingExtraError("A benchmark", "evaluate")
    pins = tuple(name for name in _PINS if os.environ.get(name))
    kernel = _kernel()
    return Blas(kernel, _kernel(*pins) if pins else kernel, pins)


def _kernel(*without: str) -> str:
    printed = run_child(
        "NumPy's matrix library", python_command(_KERNEL, *without), error=EngineError
    )
    return next((" ".join(line.split()) for line in printed.splitlines() if line.strip()), "")


def matmul_peak(threads: int) -> float:
    """Measure NumPy's float32 product of large matrices, in floating-point operations a second.

    It is the best of many products, in a child process with `threads` threads; a runtime that
    computes in bfloat16 may exceed it.

    Raises:
        EngineError: NumPy failed, or printed no number.
    """
    printed = run_child(
        "NumPy's product of matrices",
        python_command(_PEAK),
        environment=dict.fromkeys(_BLAS, str(threads)),
        error=EngineError,
    )
    for line in reversed(printed.splitlines()):  # a warning may come after the number
        with suppress(ValueError):
            return float(line)
    raise EngineError(f"NumPy's product of matrices printed no number: {printed.strip()[-400:]!r}.")
