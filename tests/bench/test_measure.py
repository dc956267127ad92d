"""Systems in turn: what is counted, in which order, and how a failure is reported."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from fakes.programs import first_on_path

from minnow.bench import Benchmark, BenchOptions, bench, benchmark_facts, measure
from minnow.bench.machine import Blas
from minnow.bench.report import describe_setup
from minnow.bench.results import matrix_operations
from minnow.datasets import Dataset
from minnow.errors import EngineError, InputError, SourceNotFoundError
from minnow.model.families import network_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from fakes.bundles import Tiny

    from minnow.systems import System

pytestmark = pytest.mark.extra("convert")

DATASET = Dataset(
    name="made",
    documents={str(i): "fish " * (i % 7 + 1) for i in range(20)},
    queries={str(i): "river " * (i + 1) for i in range(18)},
    qrels={str(i): {"0": 1} for i in range(18)},
)


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "cache"))


@dataclass
class Bench:
    """A stand-in for processes: each takes as many seconds as its round, and records its name."""

    calls: list[tuple[str, str, int]] = field(default_factory=list)
    opened: list[str] = field(default_factory=list)

    @contextmanager
    def open(
        self, system: System, *, threads: int, first: str, timeout: float
    ) -> Iterator[FakeChild]:
        assert "river" in first or "fish" in first
        assert threads == 3
        assert timeout == 3600.0
        self.opened.append(system.label)
        yield FakeChild(self, system.label)


class FakeChild:
    load_seconds, cold_seconds, peak_bytes, bulk = 0.25, 0.5, 7_000_000, "openvino"

    def __init__(self, bench: Bench, label: str) -> None:
        self._bench, self._label, self._rounds = bench, label, 0

    def documents(self, texts: list[str]) -> float:
        self._bench.calls.append((self._label, "documents", len(texts)))
        self._rounds += 1
        return float(self._rounds)

    def queries(self, texts: list[str]) -> list[float]:
        self._bench.calls.append((self._label, "queries", len(texts)))
        return [float(self._rounds)] * (len(texts) - 1) + [100.0]


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Bench:
    fake = Bench()
    monkeypatch.setattr(measure, "_opened", fake.open)
    monkeypatch.setattr(measure, "matmul_peak", lambda threads: 1e9 * threads)
    monkeypatch.setattr(measure, "numpy_blas", lambda: Blas("openblas Zen", "openblas Zen", ()))
    return fake


def run(names: Sequence[object], **options: Any) -> Benchmark:
    return bench([str(name) for name in names], DATASET, BenchOptions(threads=3, **options))


class TestRounds:
    def test_the_warm_up_does_not_count(self, made: Tiny, fake: Bench) -> None:
        found = run([made.bundle.folder], rounds=3, documents=10, queries=4)
        (system,) = found.systems
        tokens = found.document_tokens
        assert system.tokens.values == (tokens / 2, tokens / 3, tokens / 4)
        assert system.p50.values == (2.0, 3.0, 4.0)
        assert system.cold.values == (0.5,) * 3
        assert system.load.values == (0.25,) * 3
        assert system.peak_bytes == 7_000_000
        assert system.runtime.endswith(", fp32, in bulk openvino")
        assert found.peak.values == (3e9,) * 3
        assert (found.rounds, found.threads) == (3, 3)

    def test_the_kernels_of_the_product_are_named(
        self, made: Tiny, fake: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        found = run([made.bundle.folder], rounds=1)
        assert found.blas == "openblas Zen"
        assert describe_setup(found)[-1].endswith("3 GFLOP/s with them (openblas Zen)")
        assert not any("NumPy" in note for note in found.notes)
        pinned = Blas("openblas Haswell", "openblas Zen", ("OPENBLAS_CORETYPE",))
        monkeypatch.setattr(measure, "numpy_blas", lambda: pinned)
        (note,) = (note for note in run([made.bundle.folder], rounds=1).notes if "NumPy" in note)
        assert "OPENBLAS_CORETYPE in the environment chose openblas Haswell" in note
        assert "(openblas Zen)" in note

    @pytest.mark.parametrize("compiles", [True, False])
    def test_cold_starts_that_compile_are_told(
        self, made: Tiny, fake: Bench, monkeypatch: pytest.MonkeyPatch, compiles: bool
    ) -> None:
        monkeypatch.setattr(sys, "dont_write_bytecode", compiles)
        notes = run([made.bundle.folder], rounds=1).notes
        assert any("PYTHONDONTWRITEBYTECODE" in note for note in notes) == compiles

    @pytest.mark.extra("onnxruntime")
    def test_each_round_begins_with_another(self, made: Tiny, fake: Bench) -> None:
        names = [made.bundle.folder, f"onnx:{made.source.folder}", f"onnx:{made.bundle.folder}"]
        found = run(names, rounds=2)
        first, second, third = (system.label for system in found.systems)
        turns = [label for label, kind, _ in fake.calls if kind == "documents"]
        assert turns == [first, second, third, second, third, first, third, first, second]
        assert fake.opened == [first, second, third, *turns]

    def test_texts(self, made: Tiny, fake: Bench) -> None:
        found = run([made.bundle.folder], rounds=1, documents=10, queries=4)
        assert set(fake.calls) == {
            ("tiny.minnow", "documents", 10),
            ("tiny.minnow", "queries", 4),
        }
        spread = [int(i * 19 / 9) for i in range(10)]
        special = 2
        prompted = len(["passage", ":"])  # "passage: " is two tokens in the tiny vocabulary
        lengths = [i % 7 + 1 + special + prompted for i in spread]
        assert found.document_tokens == sum(lengths)
        assert (found.documents, found.queries) == (10, 4)
        low, high = found.query_tokens
        assert 14 <= low <= 16 <= high <= 18

    def test_what_is_cut_off_is_not_counted(self, made: Tiny, fake: Bench) -> None:
        long = Dataset("long", {"a": "fish " * 500}, {"q": "fish"}, {"q": {"a": 1}})
        found = bench([str(made.bundle.folder)], long, BenchOptions(threads=3, rounds=1))
        assert found.document_tokens == 24
        assert found.operations == matrix_operations(network_of(made.bundle.manifest.encoder), [24])


class TestBadInput:
    @pytest.mark.parametrize(
        ("options", "message"),
        [({"rounds": 0}, "rounds"), ({"documents": 0}, "documents"), ({"queries": -1}, "queries")],
    )
    def test_numbers(self, made: Tiny, options: dict[str, int], message: str) -> None:
        with pytest.raises(InputError, match=f"{message} should be at least 1"):
            run([made.bundle.folder], **options)

    def test_no_system(self) -> None:
        with pytest.raises(InputError, match="at least one system"):
            run([])

    def test_a_missing_system_is_reported_before_any_runs(self, made: Tiny, fake: Bench) -> None:
        with pytest.raises(SourceNotFoundError):
            run([made.bundle.folder, "onnx:/gone"])
        assert fake.opened == []


class TestForReal:
    @pytest.mark.extra("onnxruntime")
    def test_figures_are_of_this_machine(self, made: Tiny) -> None:
        names = [str(made.bundle.folder), f"onnx:{made.source.folder}"]
        steps: list[str] = []
        options = BenchOptions(rounds=2, documents=5, queries=3, threads=1, progress=steps.append)
        found = bench(names, DATASET, options)
        assert [system.label for system in found.systems] == ["tiny.minnow", "onnx:model"]
        for system in found.systems:
            assert all(value > 0 for value in system.tokens.values)
            assert all(0 < p50 < 5 for p50 in system.p50.values)
            for load, cold in zip(system.load.values, system.cold.values, strict=True):
                assert 0.02 < load < cold < 60
            assert system.peak_bytes > 2e7
        assert found.peak.median > 1e8
        assert steps[-1] == "round 2 of 2"
        facts = benchmark_facts(found)
        assert facts["systems"][0]["tokens_per_second"]["ratio"]["median"] == 1.0
        assert 0 < facts["systems"][1]["matmul_peak_share"]["median"] < 10

    def test_a_crash_is_reported(
        self, made: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "MNN.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n")
        for name, value in first_on_path(tmp_path).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(EngineError, match=r"tiny\.minnow crashed with SIGILL"):
            run([made.bundle.folder])

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ("np.full((n, 8), np.nan)", "NaN, infinity or shape"),
            ("np.ones((n + 1, 8))", "NaN, infinity or shape"),
            ("np.zeros((n, 8))", "a vector of zeros"),
        ],
    )
    def test_fast_because_it_fails(
        self, made: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
        values: str, message: str,
    ) -> None:  # fmt: skip
        (tmp_path / "sitecustomize.py").write_text(_BROKEN.format(values=values))
        for name, value in first_on_path(tmp_path).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(EngineError, match=message):
            run([made.bundle.folder])


_BROKEN = """
import sys
if any("minnow.systems.timing" in part for part in sys.orig_argv):
    import numpy as np
    from minnow.embedder import Embedder
    def broken(self, texts, **options):
        n = len(texts)
        return {values}
    Embedder.encode_query = broken
"""
