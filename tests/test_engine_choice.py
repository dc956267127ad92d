"""A bundle on another engine: it has to agree with the bundle, and "auto" gives its reasons."""

from __future__ import annotations

import platform
import shutil
import sys
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.bundles import quick_recipe
from fakes.checkpoint import write_model
from fakes.programs import refused, run_minnow
from fakes.sealed import change_record
from numpy.typing import NDArray

from minnow import RECIPES, Embedder, engine_choice, engine_models
from minnow.convert import convert
from minnow.engine_choice import (
    CHECKED_TEXTS,
    PREFERRED,
    Check,
    checked_vectors,
    judge_vectors,
    open_chosen,
    was_settled,
)
from minnow.engine_models import RebuiltModel
from minnow.engines import EngineOptions
from minnow.errors import EngineError, MissingExtraError, ParityError, SourceNotFoundError
from minnow.manifest import MANIFEST
from minnow.model.spec import Interface
from minnow.origin import rebuild_graph

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from fakes.bundles import BundleStore, Tiny

    from minnow.vectors import Similarity

OWN = np.random.default_rng(0).normal(size=(len(CHECKED_TEXTS), 8)).astype(np.float32)


@dataclass
class FakeEmbedder:
    """An embedder that returns given vectors, and records whether it was closed."""

    name: str
    vectors: NDArray[np.float32]
    closed: bool = False
    pipeline: Any = None

    @property
    def similarity_kind(self) -> Similarity:
        raise NotImplementedError

    def encode_query(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise NotImplementedError

    def encode_document(self, texts: Sequence[str]) -> NDArray[np.float32]:
        assert tuple(texts) == CHECKED_TEXTS
        return self.vectors

    def close(self) -> None:
        self.closed = True


CHECK: Check[FakeEmbedder] = Check(checked_vectors, judge_vectors)


@dataclass
class Machine:
    """A machine that opens an embedder for every engine, or raises the planted error."""

    planted: dict[str, Any] = field(default_factory=dict)
    opened: list[FakeEmbedder] = field(default_factory=list)

    def open(
        self,
        options: EngineOptions,
        *,
        model: bytes | None = None,
        interface: Interface = Interface.SENTENCE_EMBEDDING,
    ) -> FakeEmbedder:
        """The bundle's own encoder gives vectors; what is rebuilt never does."""
        engine = options.engine
        assert (model is None) == (engine == "mnn") == (interface is Interface.SENTENCE_EMBEDDING)
        found = self.planted.get(engine, OWN)
        if isinstance(found, Exception):
            raise found
        self.opened.append(FakeEmbedder(engine, found))
        return self.opened[-1]

    def choose(self, engine: str, agreement: float = 0.9999) -> tuple[str, str]:
        """Open an engine; everything else is closed then."""
        self.opened.clear()
        manifest = SimpleNamespace(rebuilt_interface=Interface.LAST_HIDDEN_STATE)
        bundle: Any = SimpleNamespace(folder="a.minnow", manifest=manifest)
        embedder, reason = open_chosen(
            EngineOptions(engine, agreement=agreement),
            bundle,
            self.open,
            CHECK,
        )
        assert [each.name for each in self.opened if not each.closed] == [embedder.name]
        return embedder.name, reason()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(
        engine_models, "rebuild", lambda bundle, source, answers: RebuiltModel(b"graph", answers())
    )
    monkeypatch.setattr(engine_choice, "_check_possible", lambda engine: None)
    return Machine()


def off_by(cosine: float, row: int = 3) -> NDArray[np.float32]:
    """Return the bundle's vectors, except one that has this cosine to its own."""
    vectors = OWN.astype(np.float64)
    unit = vectors[row] / np.linalg.norm(vectors[row])
    other = np.eye(8)[0] - unit * unit[0]
    other /= np.linalg.norm(other)
    vectors[row] = 5 * (cosine * unit + np.sqrt(1 - cosine**2) * other)
    return vectors.astype(np.float32)


class TestFastest:
    def test_the_fastest_that_agrees(self, machine: Machine) -> None:
        name, reason = machine.choose("fastest")
        assert name == next(iter(PREFERRED))
        assert reason.startswith(f"{name}: it gives the bundle's vectors")
        assert f"1.000000 on {len(CHECKED_TEXTS)} texts" in reason

    def test_what_is_missing_or_differs_is_passed_over(self, machine: Machine) -> None:
        machine.planted = {
            "openvino-bf16": off_by(0.9998),
            "openvino": MissingExtraError("The engine openvino", "openvino"),
        }
        assert machine.choose("fastest")[0] == "onnxruntime"
        machine.planted["onnxruntime"] = EngineError("It is out of memory.")
        name, reason = machine.choose("fastest")
        assert name == "mnn"
        assert "Not openvino-bf16: It does not give the bundle's vectors" in reason
        assert "is 0.999800, below 0.9999" in reason
        assert "Not openvino: The engine openvino needs an optional dependency" in reason
        assert "Not onnxruntime: It is out of memory." in reason

    def test_without_the_checkpoint(
        self, machine: Machine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> RebuiltModel:
            raise SourceNotFoundError("There is no such package.")

        monkeypatch.setattr(engine_models, "rebuild", fail)
        name, reason = machine.choose("fastest")
        assert name == "mnn"
        assert reason == "mnn, the bundle's own. No other: There is no such package."

    def test_other_errors_are_not_hidden(self, machine: Machine) -> None:
        machine.planted = {"openvino-bf16": KeyError("a bug")}
        with pytest.raises(KeyError):
            machine.choose("fastest")


class TestAgreement:
    @pytest.mark.parametrize("cosine", [0.99995, 0.999999])
    def test_enough(self, machine: Machine, cosine: float) -> None:
        machine.planted = {"openvino": off_by(cosine)}
        assert f"a worst cosine of {cosine:.6f}" in machine.choose("openvino")[1]

    @pytest.mark.parametrize(
        "vectors",
        [off_by(0.99985), off_by(0.5), -OWN, OWN[::-1], OWN * 0, np.full_like(OWN, np.nan)],
    )
    def test_not_enough(self, machine: Machine, vectors: NDArray[np.float32]) -> None:
        machine.planted = {"openvino": vectors}
        with pytest.raises(ParityError, match=r"openvino cannot stand in for a\.minnow") as caught:
            machine.choose("openvino")
        assert caught.value.worst is not None
        assert not caught.value.worst >= 0.9999
        assert all(each.closed for each in machine.opened)

    def test_one_nan_among_good_ones(self, machine: Machine) -> None:
        broken = OWN.copy()
        broken[5, 2] = np.nan
        machine.planted = {"openvino": broken}
        with pytest.raises(ParityError, match="is nan, below"):
            machine.choose("openvino")

    def test_a_lower_bar_and_none(self, machine: Machine) -> None:
        machine.planted = {"openvino": off_by(0.95)}
        assert machine.choose("openvino", agreement=0.9)[0] == "openvino"
        assert machine.choose("openvino", agreement=0.0)[1] == (
            "openvino, not compared with the bundle."
        )


@pytest.mark.extra("convert")
class TestOnABundle:
    @pytest.mark.extra("onnxruntime")
    @pytest.mark.extra("openvino")
    @pytest.mark.parametrize("engine", ["fastest", "openvino", "onnxruntime"])
    def test_vectors_are_the_bundles(self, made: Tiny, engine: str) -> None:
        texts = ["fish sleep", "the zoo", "river " * 9] * 40
        with Embedder.open(made.bundle, engine="mnn") as own:
            expected, reason = own.encode(texts), own.engine_reason
        assert reason == "mnn, the bundle's own."
        with Embedder.open(made.bundle, engine=engine, threads=2) as embedder:
            assert "it gives the bundle's vectors" in embedder.engine_reason
            found = embedder.encode(texts)
        cosines = (found * expected).sum(1)
        assert cosines.min() > 0.9999

    def test_without_any_extra(self, made: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("openvino", "onnxruntime"):
            monkeypatch.setitem(sys.modules, name, None)
        with Embedder.open(made.bundle, engine="fastest") as embedder:
            assert embedder.engine_reason.startswith("mnn, the bundle's own.")
            assert "minnow-embed[onnxruntime]" in embedder.engine_reason
            assert embedder.encode("fish").shape == (32,)
        with Embedder.open(made.bundle) as embedder:
            embedder.warmup(bulk=True)
            assert embedder.engine_reason == "mnn, the bundle's own."

    @pytest.mark.extra("onnxruntime")
    @pytest.mark.parametrize(
        ("precision", "engine", "family"),
        [
            ("int8", "fastest", "bert"),
            ("int8", "onnxruntime", "bert"),
            ("int4", "fastest", "bert"),
            ("int4", "onnxruntime", "bert"),
            *((p, "onnxruntime", "deberta-v2") for p in ("fp32", "fp16", "int4")),
        ],
    )
    def test_a_bundle_without_its_model(
        self, bundle_store: BundleStore, engine: str, precision: str, family: str, tmp_path: Path
    ) -> None:
        """A server builds the index for a phone: the numbers are the bundle's, not the model's."""
        bundle = bundle_store.bundle(quick_recipe(precision), pooling="mean", family=family)
        folder = shutil.copytree(bundle.folder, tmp_path / "tiny.minnow")
        change_record(folder / MANIFEST, lambda record: record["source"].update(name="/gone"))
        texts = ["fish sleep", "the zoo", "river " * 9, "a"] * 5
        with Embedder.open(folder, on_truncate="ignore") as own:
            expected = own.encode(texts)
        with Embedder.open(folder, engine=engine, on_truncate="ignore") as embedder:
            assert "it gives the bundle's vectors" in embedder.engine_reason
            found = embedder.encode(texts)
        exact = "bf16" not in embedder.engine_reason and precision != "fp16"
        bar = 0.999999 if exact else 0.9999
        assert (found * expected).sum(1).min() > bar

    @pytest.mark.extra("onnxruntime")
    def test_numbers_that_are_others(
        self, made: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = write_model(tmp_path / "model", seed=1)
        other = convert(str(model), tmp_path / "other.minnow", recipe=RECIPES["fp32"])
        graph = rebuild_graph(other)
        monkeypatch.setattr(engine_models, "_key", lambda bundle: "another")
        monkeypatch.setattr(engine_models, "rebuild_graph", lambda bundle, source: graph)
        with pytest.raises(ParityError, match="onnxruntime cannot stand in"):
            Embedder.open(made.bundle, engine="onnxruntime")

    @pytest.mark.extra("onnxruntime")
    def test_the_command_line_says_which(self, made: Tiny) -> None:
        done = run_minnow("embed", made.bundle.folder, "--engine", "onnxruntime", "fish")
        assert done.code == 0, done.stderr
        assert "engine: onnxruntime: it gives the bundle's vectors" in done.stderr
        assert done.stdout.startswith("[")

    def test_the_command_line_without_the_model(self, made: Tiny) -> None:
        arguments = ("embed", made.bundle.folder, "--source", "/gone", "fish", "--engine")
        assert "/gone" in refused(run_minnow(*arguments, "onnxruntime"), 3)
        done = run_minnow(*arguments, "fastest")
        assert done.code == 0
        assert "engine: mnn, the bundle's own. No other: " in done.stderr
        done = run_minnow(*arguments, "auto")
        assert (done.code, done.stderr) == (0, "")


def many(texts: int = 600) -> list[str]:
    """Return texts of 19 batches."""
    return [" ".join(["river"] * (1 + number % 9)) for number in range(texts)]


@pytest.mark.extra("convert")
@pytest.mark.extra("openvino")
class TestInBulk:
    def test_few_texts_run_on_mnn_and_many_on_the_fastest(self, pooled: Tiny) -> None:
        with Embedder.open(pooled.bundle, engine="mnn") as own:
            expected, one = own.encode(many()), own.encode("a river")
        with Embedder.open(pooled.bundle) as embedder:
            assert not was_settled(embedder)
            assert np.array_equal(embedder.encode("a river"), one)
            assert embedder.engine_reason == "mnn, the bundle's own."
            found = embedder.encode(many())
            assert was_settled(embedder)
            reason = embedder.engine_reason
            assert reason.startswith("mnn, the bundle's own. In bulk openvino")
            assert np.array_equal(embedder.encode("a river"), one)
        assert not np.array_equal(found, expected)  # another engine has other last digits
        assert (found * expected).sum(1).min() > 0.9999

    def test_the_model_is_made_once(
        self, made: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "cache"))
        with Embedder.open(made.bundle, engine="openvino") as embedder:
            reason = embedder.engine_reason

        def fail(*_: object) -> bytes:
            raise AssertionError("it is there already")

        monkeypatch.setattr(engine_models, "rebuild_graph", fail)
        with Embedder.open(made.bundle, engine="openvino") as embedder:
            assert embedder.engine_reason == reason

    def test_a_cache_that_cannot_be_written(
        self, made: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("no folder")
        monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "file" / "cache"))
        with Embedder.open(made.bundle, engine="openvino") as embedder:
            assert "it gives the bundle's vectors" in embedder.engine_reason

    def test_an_engine_that_differs_leaves_all_to_mnn(
        self, made: Tiny, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Embedder.open(made.bundle, engine="mnn") as own:
            expected = own.encode(many())
        with Embedder.open(made.bundle, agreement=1.5) as embedder:
            assert np.allclose(embedder.encode(many()), expected, atol=1e-6)
            assert "Not openvino: It does not give the bundle's vectors" in embedder.engine_reason
            assert not embedder.engine_reason.count("In bulk")

    def test_less_memory_and_other_processors_keep_to_mnn(
        self, made: Tiny, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Embedder.open(made.bundle, memory="low") as embedder:
            assert embedder.pipeline.engine.name == "mnn"
            assert type(embedder.pipeline.engine).__name__ == "MnnEngine"
        monkeypatch.setattr(platform, "machine", lambda: "aarch64")
        with Embedder.open(made.bundle) as embedder:
            assert type(embedder.pipeline.engine).__name__ == "MnnEngine"

    def test_a_bundle_that_was_replaced_is_not_rebuilt(
        self, made: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "cache"))
        folder = shutil.copytree(made.bundle.folder, tmp_path / "tiny.minnow")
        with Embedder.open(folder) as embedder:
            content = (folder / "encoder.mnn").read_bytes()
            (folder / "other").write_bytes(content[:-1] + b"x")
            (folder / "other").replace(folder / "encoder.mnn")
            embedder.encode(many())
            assert "was replaced since it was opened" in embedder.engine_reason

    def test_the_command_says_what_ran_in_bulk(self, made: Tiny, tmp_path: Path) -> None:
        (tmp_path / "texts.txt").write_text("\n".join(many()))
        arguments = ["embed", made.bundle.folder, "-i", tmp_path / "texts.txt"]
        done = run_minnow(*arguments, "-o", tmp_path / "vectors.npy")
        assert done.code == 0, done.stderr
        assert "engine: mnn, the bundle's own. In bulk openvino" in done.stderr
        done = run_minnow(*arguments, "-o", tmp_path / "own.npy", "--engine", "mnn")
        assert "engine:" not in done.stderr
        found, own = (np.load(tmp_path / f"{name}.npy") for name in ("vectors", "own"))
        assert (found * own).sum(1).min() > 0.9999


@pytest.mark.extra("convert")
class TestWarmup:
    def test_it_runs_one_text_or_many(self, made: Tiny) -> None:
        with Embedder.open(made.bundle, engine="mnn", threads=2) as embedder:
            engine = embedder.pipeline.engine
            embedder.warmup()
            assert engine._lanes == ()  # type: ignore[attr-defined]
            embedder.warmup(bulk=True)
            assert len(engine._lanes) == 2  # type: ignore[attr-defined]
        with pytest.raises(EngineError, match="closed"):
            embedder.warmup()


@pytest.mark.parametrize("engine", PREFERRED)
def test_an_engine_that_is_not_installed_is_named(
    engine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the libraries that would write its graph."""
    monkeypatch.setattr(engine_choice, "find_spec", lambda _: None)
    extra = PREFERRED[engine]
    with pytest.raises(MissingExtraError, match=rf"The engine {engine} .*minnow-embed\[{extra}\]"):
        engine_choice._check_possible(engine)
