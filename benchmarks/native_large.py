"""Measure search by vectors in large index files in C++: time, memory, and what codes find.

    PYTHONPATH=src:tests python benchmarks/native_large.py QUERIES.npy LIBRARY INDEX...

An INDEX is one of `benchmarks/search_speed.py`, in any encoding. For each, and for its codes and
all its vectors, a process of its own opens it through LIBRARY, a libminnow.so: the first search,
the median of others (CPU times), and the memory that they added; then the same in Python.
"""

from __future__ import annotations

import statistics
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from fakes.native_api import Library, NativeIndex

from minnow.search import Index

if TYPE_CHECKING:
    from collections.abc import Callable

    from minnow.options import SidecarUse

QUESTIONS = 20
WAYS: tuple[SidecarUse, ...] = ("codes", "never")


def memory() -> int:
    """Return the bytes of memory that this process has alone."""
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return (int(pages[1]) - int(pages[2])) * 4096


def searched(
    file: Path, queries: Path, library: Path | None, way: SidecarUse
) -> tuple[float, float, int, list[list[int]]]:
    """Return CPU seconds of the first search, the median of others, bytes, and ids of hits."""
    rows = np.load(queries)[:QUESTIONS]
    before = memory()
    search: Callable[[Any], list[int]]
    if library is None:
        python = Index.open(file, sidecar=way)

        def search(row: Any) -> list[int]:
            return [hit.id for hit in python.search_vectors(row)[0]]
    else:
        index = NativeIndex(Library(library), file)
        options = {"mode": "vector", "sidecar": way}

        def search(row: Any) -> list[int]:
            return [hit["id"] for hit in index.search("", options=options, vector=row.tolist())]

    seconds, found = [], []
    for row in [rows[0], *rows]:
        start = time.process_time()
        found.append(search(row))
        seconds.append(time.process_time() - start)
    return seconds[0], statistics.median(seconds[1:]), memory() - before, found[1:]


def main() -> None:
    """Print a line for each way."""
    queries, library, *files = map(Path, sys.argv[1:])
    for file in files:
        answers = {}
        for way in WAYS:
            for name, used in (("C++", library), ("Python", None)):
                with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                    first, median, size, found = pool.submit(
                        searched, file, queries, used, way
                    ).result()
                answers[way, name] = found
                print(
                    f"{file.name} {way:6} {name:6} first {first:.2f} s, "
                    f"then {1000 * median:.1f} ms, {size / 1e6:.0f} MB"
                )
        pairs = zip(answers["codes", "C++"], answers["never", "C++"], strict=True)
        shares = [len(set(some) & set(exact)) / len(exact) for some, exact in pairs]
        alike = all(answers[way, "C++"] == answers[way, "Python"] for way in WAYS)
        print(f"{file.name} recall@10 {np.mean(shares):.4f}; hits {'equal' if alike else 'differ'}")


if __name__ == "__main__":
    main()
