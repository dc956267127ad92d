"""Invented benchmarks, as `bench` would return them."""

from __future__ import annotations

from minnow.bench import Benchmark, Machine, Sample, Speed

MACHINE = Machine(
    processor="A processor", cpus=2, instructions=("avx2", "avx512f"), memory=8 * 2**30,
    system="Linux 6.1, x86_64", python="3.11.7", load=0.1,
)  # fmt: skip


def speed(label: str, tokens: float, p50: float) -> Speed:
    """Return a system of this throughput in tokens per second, and this latency in seconds."""
    return Speed(
        name=f"onnx:{label}",
        label=label,
        runtime="A runtime 1.0",
        size=90_000_000,
        tokens=Sample((tokens, tokens * 0.9, tokens * 1.1)),
        p50=Sample((p50, p50 * 0.9, p50 * 1.2)),
        p95=Sample((p50 * 2, p50 * 2, p50 * 3)),
        cold=Sample((0.4, 0.5, 0.6)),
        load=Sample((0.3, 0.4, 0.5)),
        peak_bytes=250_000_000,
    )


def make(*labels: str, operations: float | None = 10_000e6, rounds: int = 3) -> Benchmark:
    """Return a benchmark of systems, each twice as fast as the one before."""
    labels = labels or ("first.minnow", "onnx:second")
    systems = [speed(label, 2000.0 * 2**i, 0.004 / 2**i) for i, label in enumerate(labels)]
    return Benchmark(
        machine=MACHINE,
        measured="2026-11-25",
        dataset="words/test",
        documents=64,
        document_tokens=1000,
        queries=40,
        query_tokens=(15, 17),
        threads=2,
        operations=operations,
        peak=Sample((100e9, 90e9, 110e9)[:rounds]),
        systems=tuple(systems),
        notes=("The machine was busy.",),
    )
