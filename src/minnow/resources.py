"""Memory that this process may still take, and checks of an estimate against it.

Work whose size depends on the input states how much memory it is going to take, and is refused
before it begins where there is less: a process that takes more is killed without a message.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

from minnow.errors import InputError, MinnowError

UNCHECKED = 2**24
"""Bytes that work may take without a check: it reads files of the system for a millisecond."""
_MEMINFO_UNIT = 1024


class FreeMemory(Struct, frozen=True):
    """The memory that this process may still take.

    Attributes:
        size: Bytes.
        limit: What sets the limit, as the subject of a sentence, such as "this machine".
    """

    size: int
    limit: str


def free_memory(root: Path = Path("/")) -> FreeMemory | None:
    """Return the memory that this process may still take; None where no limit is known.

    It is the least of what the machine has free (caches that the kernel can drop and free swap
    count as free), what the control groups of the process leave, and what the limits of its address
    space and its data (`ulimit -v`, `ulimit -d`) leave. Systems without /proc, such as macOS, do
    not say what is free: all memory of the machine is the limit there.

    Args:
        root: Where /proc and /sys are found.

    Source: https://docs.kernel.org/admin-guide/cgroup-v2.html#memory-interface-files,
    https://docs.kernel.org/admin-guide/cgroup-v1/memory.html, proc_meminfo(5), getrlimit(2).
    """
    found = [*_machine(root), *_control_groups(root), *_process_limits(root)]
    return min(found, key=lambda free: free.size, default=None)


def require_memory(
    needed: int, purpose: str, advice: str, error: type[MinnowError] = InputError
) -> None:
    """Check, before work begins, that it fits into the memory that this process may still take.

    Work of less than UNCHECKED bytes is not checked.

    Args:
        needed: Bytes that the work takes at its peak, by an estimate.
        purpose: The work as the subject of a sentence, such as "A batch of 64 texts".
        advice: A sentence that says what to do instead.
        error: The class of the error; it is called with a message alone.

    Raises:
        MinnowError: There is less memory; the error is of the class `error`.
    """
    if needed < UNCHECKED:
        return
    free = free_memory()
    if free is not None and needed > free.size:
        raise error(
            f"{purpose} would take about {shown_bytes(needed)} of memory, and {free.limit} has "
            f"{shown_bytes(free.size)} left. {advice}"
        )


def shown_bytes(size: int) -> str:
    """Return a number of bytes for a message, in MB or GB."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.0f} MB"


def _machine(root: Path) -> list[FreeMemory]:
    fields = {
        name: int(rest.split()[0]) * _MEMINFO_UNIT
        for name, _, rest in (line.partition(":") for line in _lines(root / "proc/meminfo"))
        if rest.split() and rest.split()[0].isdigit()
    }
    if "MemAvailable" in fields:
        return [FreeMemory(fields["MemAvailable"] + fields.get("SwapFree", 0), "this machine")]
    try:
        pages = os.sysconf("SC_PHYS_PAGES")
        return [FreeMemory(pages * os.sysconf("SC_PAGE_SIZE"), "this machine")] if pages > 0 else []
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf
        return []


def _control_groups(root: Path) -> list[FreeMemory]:
    """Return what each control group of the process leaves, of version 1 and 2.

    A container often sees its own group as the root, under a path that does not exist there.
    """
    mounts = root / "sys/fs/cgroup"
    found = []
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            names = ("memory.max", "memory.current", "inactive_file")
            places = [mounts, mounts / "unified"]
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            places = [mounts / "memory", mounts]
        else:
            continue
        inner = Path(path.strip().lstrip("/"))
        for place in places:
            for group in (inner, *inner.parents):
                if ".." not in group.parts:
                    found += _group(place / group, *names)
    return found


def _group(folder: Path, limit: str, usage: str, reclaimable: str) -> list[FreeMemory]:
    most = _number(folder / limit)
    used = None if most is None else _number(folder / usage)
    if most is None or used is None:
        return []
    fields = dict(line.split()[:2] for line in _lines(folder / "memory.stat") if " " in line)
    cached = fields.get(reclaimable, "0")
    used -= min(used, int(cached) if cached.isdigit() else 0)
    return [FreeMemory(max(0, most - used), "the control group of this process (its container)")]


def release_memory() -> None:
    """Give memory that was freed back to the system, where the C library (glibc) would keep it."""
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def _process_limits(root: Path) -> list[FreeMemory]:
    try:
        import resource
    except ImportError:  # Windows
        return []
    sizes = [int(part) for part in " ".join(_lines(root / "proc/self/statm")).split()]
    page = resource.getpagesize()
    found = []
    for name, place, flag in (("RLIMIT_AS", 0, "-v"), ("RLIMIT_DATA", 5, "-d")):
        limit, _ = resource.getrlimit(getattr(resource, name))
        if limit != resource.RLIM_INFINITY and len(sizes) > place:
            left = max(0, limit - sizes[place] * page)
            found.append(FreeMemory(left, f"the limit of this process (ulimit {flag})"))
    return found


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def _number(path: Path) -> int | None:
    """Return the number in a file; None if there is none, as "max" means no limit."""
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdigit() else None
