"""Measure what it takes to open bundles and to embed a first query, each in a process of its own.

    python benchmarks/opening.py BUNDLE... [--rounds 5] [--memory low]

Prints for each bundle the medians of rounds in which the bundles take turns: CPU seconds of the
whole process, seconds of the clock, page faults, and the process's memory at its peak and at the
end, in MB. Files are in the system's cache. The engine is MNN. Linux only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

PROGRAM = """
import resource, sys
from minnow import Embedder
with Embedder.open(sys.argv[1], engine="mnn", memory=sys.argv[2]) as embedder:
    embedder.encode_query("How long do fish sleep?")
    status = dict(line.split(":", 1) for line in open("/proc/self/status") if ":" in line)
used = resource.getrusage(resource.RUSAGE_SELF)
sizes = [int(status[name].split()[0]) / 1000 for name in ("VmHWM", "VmRSS")]
print(used.ru_utime + used.ru_stime, used.ru_minflt, *sizes)
"""


def measure(bundle: Path, memory: str) -> list[float]:
    """Return a process's CPU seconds, seconds, page faults, and MB at the peak and at the end."""
    started = time.perf_counter()
    command = [sys.executable, "-c", PROGRAM, str(bundle), memory]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds = time.perf_counter() - started
    cpu, faults, peak, after = map(float, output.split())
    return [cpu, seconds, faults, peak, after]


def main() -> None:
    """Read the arguments, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("bundles", type=Path, nargs="+", metavar="BUNDLE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", default="normal")
    options = parser.parse_args()
    rounds = np.array(
        [[measure(b, options.memory) for b in options.bundles] for _ in range(options.rounds + 1)]
    )
    print("| bundle | CPU, s | clock, s | page faults | peak, MB | after, MB |")
    print("|---|---|---|---|---|---|")
    for bundle, row in zip(options.bundles, np.median(rounds[1:], axis=0), strict=True):
        cpu, clock, faults, peak, after = row
        print(
            f"| {bundle.name} | {cpu:.3f} | {clock:.3f} | {faults:.0f} | {peak:.0f} | {after:.0f} |"
        )


if __name__ == "__main__":
    main()
