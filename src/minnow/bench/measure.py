"""Measurement of systems in turn, round after round, each in its own process."""

from __future__ import annotations

import datetime
import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from minnow.bench.machine import matmul_peak, numpy_blas, this_machine
from minnow.bench.results import Benchmark, Sample, Speed, matrix_operations
from minnow.engines.base import default_threads
from minnow.errors import InputError
from minnow.model.families import network_of
from minnow.model.spec import RolePrompts
from minnow.systems import find_system, start_worker, tokenizer_of, with_unique_labels
from minnow.systems.timing import Setup, Task, Timing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from minnow.bench.machine import Blas, Machine
    from minnow.datasets import Dataset
    from minnow.systems import System
    from minnow.workers import Worker

    Progress = Callable[[str], None]

QUERY_TOKENS = 16
BUSY = 0.5
"""The load of the machine from which figures are in doubt."""
TIMEOUT = 3600.0


@dataclass(frozen=True)
class BenchOptions:
    """Options of a benchmark.

    Attributes:
        documents: Number of documents to embed at once, evenly spread over the data set.
        queries: Number of queries to embed one by one: those nearest to 16 tokens.
        rounds: Number of rounds; one more comes first, as a warm-up.
        threads: CPU threads of each system; by default those of the machine, four at most.
        offline: Make no network call at all.
        progress: Receives a line of text before each step.
        timeout: Seconds in which a system has to open, and to embed all documents or all queries;
            after that it counts as hung, and is killed.
    """

    documents: int = 256
    queries: int = 40
    rounds: int = 5
    threads: int | None = None
    offline: bool = False
    progress: Progress = lambda _: None
    timeout: float = TIMEOUT


@dataclass(frozen=True)
class _Texts:
    """The texts to embed, and their tokens."""

    documents: list[str]
    queries: list[str]
    lengths: list[int]
    query_lengths: list[int]


@dataclass(frozen=True)
class _Round:
    """The figures of one system in one round."""

    tokens: float
    p50: float
    p95: float
    cold: float
    load: float


def bench(
    names: Sequence[str], dataset: Dataset, options: BenchOptions = BenchOptions()
) -> Benchmark:
    """Measure how fast systems are, compared with each other.

    All systems are open at once, each in its own process, and one works at a time. Each round
    starts with another system, so that none is always the first.

    Args:
        names: Names of systems, see `minnow.systems`; the baseline first.
        dataset: Documents and queries to embed.
        options: How to measure.

    Raises:
        InputError: There are no systems or texts, a number is out of range, or no system has a
            tokenizer.json.
        MinnowError: A system cannot be found or loaded, fails, crashes or gives NaN.
    """
    _check(names, options)
    threads = options.threads or default_threads()
    machine, blas = this_machine(), numpy_blas()
    options.progress("finding the systems")
    systems = with_unique_labels([find_system(name, offline=options.offline) for name in names])
    for system in systems:
        if system.reranker is not None:
            raise InputError(
                f"bench measures how fast texts are embedded, and {system.label} ends in a "
                "reranker. Measure its pairs per second with compare."
            )
    texts = _choose(dataset, systems, options)
    open_ = partial(_opened, threads=threads, first=texts.queries[0], timeout=options.timeout)
    rounds: dict[str, list[_Round]] = {system.label: [] for system in systems}
    peaks = []
    with ExitStack() as stack:
        children = {}
        for system in systems:
            options.progress(f"opening {system.label}")
            children[system.label] = stack.enter_context(open_(system))
        for number in range(options.rounds + 1):
            options.progress(f"round {number} of {options.rounds}" if number else "warming up")
            for system in _in_turn(systems, number):
                found = _measure(children[system.label], texts, partial(open_, system))
                if number:
                    rounds[system.label].append(found)
            if number:
                peaks.append(matmul_peak(threads))
        memory = {label: child.peak_bytes for label, child in children.items()}
        ran = [system.in_bulk_on(children[system.label].bulk) for system in systems]
    encoder = next((system.encoder for system in systems if system.encoder), None)
    return Benchmark(
        machine=machine,
        measured=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
        dataset=dataset.name,
        documents=len(texts.documents),
        document_tokens=sum(texts.lengths),
        queries=len(texts.queries),
        query_tokens=(min(texts.query_lengths), max(texts.query_lengths)),
        threads=threads,
        operations=matrix_operations(network_of(encoder), texts.lengths) if encoder else None,
        peak=Sample(tuple(peaks)),
        systems=tuple(_speed(s, rounds[s.label], memory[s.label]) for s in ran),
        blas=blas.kernel,
        notes=tuple(_notes(machine, blas)),
    )


def _check(names: Sequence[str], options: BenchOptions) -> None:
    if not names:
        raise InputError("Name at least one system to measure.")
    for what in ("documents", "queries", "rounds"):
        if getattr(options, what) < 1:
            raise InputError(f"{what} should be at least 1, not {getattr(options, what)}.")


def _choose(dataset: Dataset, systems: Sequence[System], options: BenchOptions) -> _Texts:
    """Choose documents evenly, and the queries nearest to 16 tokens; count their tokens."""
    tokenizer = tokenizer_of(systems)
    limit = next((s.max_tokens for s in systems if s.max_tokens), None)
    prompts = next((s.prompts for s in systems if s.prompts), RolePrompts("", ""))
    if limit is not None:
        tokenizer.enable_truncation(limit)

    def count(texts: Sequence[str], prompt: str) -> list[int]:
        behind = [prompt + text for text in texts]
        return [len(encoding.ids) for encoding in tokenizer.encode_batch(behind)]

    documents = list(dataset.documents.values())
    places = np.linspace(0, len(documents) - 1, min(options.documents, len(documents)))
    chosen = [documents[int(place)] for place in places]
    queries = list(dataset.queries.values())
    lengths = count(queries, prompts.query)
    nearest = sorted(range(len(queries)), key=lambda i: abs(lengths[i] - QUERY_TOKENS))
    nearest = nearest[: options.queries]
    return _Texts(
        documents=chosen,
        queries=[queries[i] for i in nearest],
        lengths=count(chosen, prompts.document),
        query_lengths=[lengths[i] for i in nearest],
    )


class _Child:
    """A system that is open in its own process.

    Attributes:
        load_seconds: From the start of the process until the system was open.
        cold_seconds: From the start of the process until it had its first vector.
        peak_bytes: The most memory that the process has held, in bytes.
        bulk: The engine that a bundle took in bulk, if it was another than its own.
    """

    def __init__(self, worker: Worker, setup: Setup) -> None:
        self._worker, self.peak_bytes = worker, 0
        self.bulk: str | None = None
        opened, first = self._ask(setup)
        self.load_seconds = opened - worker.started
        self.cold_seconds = first - worker.started

    def documents(self, texts: list[str]) -> float:
        """Embed documents all at once; return the seconds."""
        return self._ask(Task("documents", texts))[0]

    def queries(self, texts: list[str]) -> list[float]:
        """Embed queries one after the other; return the seconds of each."""
        return self._ask(Task("queries", texts))

    def _ask(self, message: Setup | Task) -> list[float]:
        timing = self._worker.request(message, Timing)
        self.peak_bytes, self.bulk = timing.peak_bytes, timing.bulk
        return timing.times


@contextmanager
def _opened(system: System, *, threads: int, first: str, timeout: float) -> Iterator[_Child]:
    """Open a system in a child process, and end that process with the block."""
    with start_worker(system, "minnow.systems.timing", timeout) as worker:
        yield _Child(worker, Setup(system.name, threads, system.prompts, first))


def _in_turn(systems: Sequence[System], number: int) -> Iterator[System]:
    """Yield all systems, starting with another one in each round."""
    start = number % len(systems)
    yield from systems[start:]
    yield from systems[:start]


def _measure(
    child: _Child, texts: _Texts, open_again: Callable[[], AbstractContextManager[_Child]]
) -> _Round:
    seconds = child.documents(texts.documents)
    times = child.queries(texts.queries)
    with open_again() as cold:
        return _Round(
            tokens=sum(texts.lengths) / seconds,
            p50=float(np.percentile(times, 50)),
            p95=float(np.percentile(times, 95)),
            cold=cold.cold_seconds,
            load=cold.load_seconds,
        )


def _speed(system: System, rounds: Sequence[_Round], memory: int) -> Speed:
    def sample(figure: str) -> Sample:
        return Sample(tuple(getattr(each, figure) for each in rounds))

    return Speed(
        name=system.name,
        label=system.label,
        runtime=system.runtime,
        size=system.size,
        tokens=sample("tokens"),
        p50=sample("p50"),
        p95=sample("p95"),
        cold=sample("cold"),
        load=sample("load"),
        peak_bytes=memory,
    )


def _notes(machine: Machine, blas: Blas) -> Iterator[str]:
    if blas.pins:
        pins = " and ".join(blas.pins)
        kernel = f" ({blas.unpinned})" if blas.unpinned != blas.kernel else ""
        yield (
            f"NumPy's product is not this processor's: {pins} in the environment chose "
            f"{blas.kernel}. Unset it to measure with the processor's own kernels{kernel}; with "
            "slower ones, shares of the product are too high."
        )
    if sys.dont_write_bytecode:
        yield (
            "PYTHONDONTWRITEBYTECODE is set: where minnow's modules have no bytecode, each cold "
            "start compiles them, which an installation does once. Unset it."
        )
    if machine.load is not None and machine.load > BUSY:
        yield (
            f"The machine was busy at the start (load {machine.load}): trust the ratios more "
            "than the figures."
        )
