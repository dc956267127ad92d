"""Speed of systems, compared on this machine.

`bench` measures how they embed the same texts, each in its own process, in turn and several times;
`benchmark_facts` returns the result as plain values, and `minnow.bench.report` draws it.
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
