"""Results of a benchmark as plain values."""

from __future__ import annotations

import statistics
from dataclasses import asdict, dataclass
from math import prod
from typing import TYPE_CHECKING, Any

from minnow.bench.machine import Machine
from minnow.model.parameters import linear_layers, tensor_shapes

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minnow.model.network import Network


@dataclass(frozen=True)
class Sample:
    """A figure that was measured several times.

    Attributes:
        values: The measurements, in order; at least one.
    """

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        """The middle value."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The lowest value."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The highest value."""
        return max(self.values)

    def over(self, other: Sample) -> Sample:
        """Return the ratios of values of the same round."""
        pairs = zip(self.values, other.values, strict=True)
        return Sample(tuple(mine / theirs for mine, theirs in pairs))


@dataclass(frozen=True)
class Speed:
    """Speed of a system.

    Attributes:
        name: Its name, as the user wrote it.
        label: A short name, unique within a benchmark.
        runtime: The runtime with its version.
        size: Total size of its files in bytes.
        tokens: Tokens of documents a second, all documents at once; one value per round.
        p50: Median time of a query of a round, one by one, in seconds.
        p95: 95th percentile of these times.
        cold: Seconds from the start of a new process to its first vector.
        load: Seconds of these until the system was open.
        peak_bytes: The most memory that its process held in all rounds.
    """

    name: str
    label: str
    runtime: str
    size: int
    tokens: Sample
    p50: Sample
    p95: Sample
    cold: Sample
    load: Sample
    peak_bytes: int


@dataclass(frozen=True)
class Benchmark:
    """Systems on one machine, measured in turn.

    Attributes:
        machine: The machine.
        measured: The date, in ISO 8601.
        dataset: The name of the data set.
        documents: Number of documents, embedded at once.
        document_tokens: Their tokens in total, special tokens included.
        queries: Number of queries, embedded one by one.
        query_tokens: The fewest and the most tokens of one.
        threads: CPU threads of each system.
        operations: Floating-point operations that the model's matrix products take for all the
            documents; None where no system states its network.
        peak: Operations a second of NumPy's float32 matrix product, a value for each round.
        systems: The baseline first.
        blas: The library behind that product, and its kernels; empty if unknown.
        notes: Notes for the reader.
    """

    machine: Machine
    measured: str
    dataset: str
    documents: int
    document_tokens: int
    queries: int
    query_tokens: tuple[int, int]
    threads: int
    operations: float | None
    peak: Sample
    systems: tuple[Speed, ...]
    blas: str = ""
    notes: tuple[str, ...] = ()

    @property
    def baseline(self) -> Speed:
        """The first system, with which the others are compared."""
        return self.systems[0]

    @property
    def rounds(self) -> int:
        """Number of measured rounds."""
        return len(self.peak.values)

    def peak_share(self, system: Speed) -> Sample | None:
        """Return a system's matrix operations a second as a share of NumPy's in the same round.

        Padding and all other work do not count. A system that computes in fewer bits may exceed 1.
        None where the network is not known.
        """
        if self.operations is None:
            return None
        each = self.operations / self.document_tokens
        return Sample(tuple(each * rate for rate in system.tokens.values)).over(self.peak)


def matrix_operations(network: Network, lengths: Sequence[int]) -> float:
    """Count floating-point operations of a forward pass's matrix products, without padding.

    A product and its sum count as two. For a text of n tokens, a matrix of r rows and c columns
    takes 2nrc, and the attention of a layer with heads of width w together 4n²w.

    Args:
        network: The network.
        lengths: Tokens of each text.
    """
    shapes = tensor_shapes(network)
    linear = sum(2 * prod(shapes[f"{name}.weight"]) for name in linear_layers(network))
    attention = sum(4 * block.attention.width for block in network.blocks)
    return float(sum(n * linear + n**2 * attention for n in lengths))


# --- for machines ------------------------------------------------------------------------


def benchmark_facts(found: Benchmark) -> dict[str, Any]:
    """Return a benchmark as plain values for JSON: medians, and all measurements."""
    return {
        "measured": found.measured,
        "machine": asdict(found.machine),
        "dataset": found.dataset,
        "documents": found.documents,
        "document_tokens": found.document_tokens,
        "queries": found.queries,
        "query_tokens": list(found.query_tokens),
        "threads": found.threads,
        "rounds": found.rounds,
        "matrix_operations": found.operations,
        "matmul_peak": _sample(found.peak),
        "blas": found.blas,
        "systems": [_speed(found, system) for system in found.systems],
        "notes": list(found.notes),
    }


FIGURES: dict[str, Callable[[Speed], Sample]] = {
    "tokens_per_second": lambda system: system.tokens,
    "query_p50_seconds": lambda system: system.p50,
    "query_p95_seconds": lambda system: system.p95,
    "cold_start_seconds": lambda system: system.cold,
    "load_seconds": lambda system: system.load,
}
"""The figures of a system that are measured several times, by their names in JSON."""


def _speed(found: Benchmark, system: Speed) -> dict[str, Any]:
    share = found.peak_share(system)
    return {
        "name": system.name,
        "label": system.label,
        "runtime": system.runtime,
        "bytes": system.size,
        "peak_memory_bytes": system.peak_bytes,
        "matmul_peak_share": None if share is None else _sample(share),
        **{
            name: {
                **_sample(figure(system)),
                "ratio": _sample(figure(system).over(figure(found.baseline))),
            }
            for name, figure in FIGURES.items()
        },
    }


def _sample(sample: Sample) -> dict[str, Any]:
    return {"median": sample.median, "values": list(sample.values)}
