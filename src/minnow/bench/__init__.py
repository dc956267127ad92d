"""How fast are systems, beside each other, on this machine?

`bench` has them embed the same texts, each in a process of its own, in turn and several times;
`benchmark_facts` is what came out as plain values. `minnow.bench.report` draws it.
"""

from minnow.bench.machine import Machine
from minnow.bench.measure import BenchOptions, bench
from minnow.bench.results import Benchmark, Sample, Speed, benchmark_facts

__all__ = [
    "BenchOptions",
    "Benchmark",
    "Machine",
    "Sample",
    "Speed",
    "bench",
    "benchmark_facts",
]
