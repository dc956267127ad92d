"""A model in many forms: made once, found again, refused or left out."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
from fakes.checkpoint import random_tensors, write_model, write_weights
from fakes.word_data import write_data

from minnow.bundle import Bundle
from minnow.datasets import read_beir
from minnow.errors import (
    ConversionError,
    InputError,
    MissingExtraError,
    OutputError,
    ParityError,
    UnsupportedModelError,
)
from minnow.evaluate import RunOptions
from minnow.export.gguf import GGUF_TYPES
from minnow.frontier import Ladder, build_ladder, frontier_facts, ladder, measure, rungs
from minnow.recipe import RECIPES
from minnow.records import replace
from minnow.reporting.numbers import ONE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("evaluate")]

EXACT = ("fp32", "fp16")
REFUSED = (
    "Refused: the converted model does not give the vectors of NumPy. The worst text, an emoji, "
    "has cosine 0.912345; the bar is 0.95. Nothing was written.\n  an emoji: cosine 0.912345"
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model; for reading only."""
    return write_model(tmp_path_factory.mktemp("source") / "model", pooling="mean")


@pytest.fixture(scope="module")
def made(source: Path) -> Path:
    """The folder of its bundles; for reading only."""
    return build(source, source.parent / "model.frontier").folder


@pytest.fixture
def model(source: Path, tmp_path: Path) -> Path:
    return shutil.copytree(source, tmp_path / "model")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a" / "model.frontier"


@pytest.fixture
def full(made: Path, folder: Path) -> Path:
    """A folder with the bundles in it, which is also one that was moved."""
    return shutil.copytree(made, folder)


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Hide modules from the ladder."""

    def hide(*names: str) -> None:
        monkeypatch.setattr(
            ladder, "find_spec", lambda name: None if name in names else find_spec(name)
        )

    return hide


@pytest.fixture
def no_making(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail the test if anything is made."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(rungs, "convert", fail)
    monkeypatch.setattr(rungs, "write_gguf", fail)


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    """Have one recipe refused; no other is converted."""

    def refuse_one(*_: object, recipe: Any, **__: object) -> None:
        assert recipe == RECIPES[name]
        raise error

    monkeypatch.setattr(rungs, "convert", refuse_one)


def use_recipes(monkeypatch: pytest.MonkeyPatch, **recipes: Any) -> None:
    for module in (ladder, rungs):
        monkeypatch.setattr(module, "RECIPES", recipes)


def build(model: Path, folder: Path, **options: Any) -> Ladder:
    options = {"precisions": EXACT, "gguf": [], **options}
    return build_ladder(str(model), folder, **options)


class TestBundles:
    @pytest.mark.extra("onnxruntime")
    def test_one_for_each_recipe_then_none_is_made_again(
        self, model: Path, folder: Path, request: pytest.FixtureRequest
    ) -> None:
        steps: list[str] = []
        made = build(model, folder, progress=steps.append)
        assert made.baseline == f"onnx:{model}"
        assert [rung.name for rung in made.rungs] == list(EXACT)
        for rung in made.rungs:
            assert Bundle.open(rung.path).manifest.recipe == RECIPES[rung.name]
            assert rung.path == folder / f"model-{rung.name}.minnow"
            assert f"{rung.name}: sealing" in steps
        assert made.notes == ()
        request.getfixturevalue("no_making")
        assert build(model, folder) == made

    @pytest.mark.usefixtures("no_making")
    def test_a_moved_folder_needs_nothing_new(self, model: Path, full: Path) -> None:
        assert build(model, full, precisions=["fp16"]).folder == full

    @pytest.mark.parametrize("change", ["weights", "tokenizer", "bundle", "recipe"])
    def test_what_has_changed_is_made_again(
        self, model: Path, full: Path, change: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        converted: list[Path] = []
        monkeypatch.setattr(rungs, "convert", lambda _, path, **__: converted.append(path))
        bundle = full / "model-fp16.minnow"
        if change == "weights":
            write_weights(model, random_tensors(model, seed=7))
        elif change == "tokenizer":
            path = model / "tokenizer_config.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), "note": 1}))
        elif change == "bundle":
            (bundle / "encoder.mnn").write_bytes(b"broken")
        else:
            use_recipes(monkeypatch, fp16=RECIPES["fp32"])
        build(model, full, precisions=["fp16"])
        assert converted == [bundle]

    @pytest.mark.usefixtures("no_making")
    def test_by_default_all_in_a_folder_of_the_models_name(
        self, model: Path, made: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copytree(made, model.parent / "model.frontier")
        monkeypatch.chdir(model.parent)
        use_recipes(monkeypatch, **{name: RECIPES[name] for name in EXACT})
        ladder_ = build_ladder("model", gguf=[])
        assert [str(rung.path) for rung in ladder_.rungs] == [
            f"model.frontier/model-{name}.minnow" for name in EXACT
        ]

    @pytest.mark.usefixtures("no_making")
    def test_without_onnx_runtime_the_float32_bundle_is_the_baseline(
        self, model: Path, full: Path, absent: Callable[..., None]
    ) -> None:
        absent("onnxruntime")
        made = build(model, full, precisions=["fp16"])
        assert made.baseline == f"mnn:{full / 'model-fp32.minnow'}"
        assert [rung.name for rung in made.rungs] == ["fp16"]
        assert "minnow-embed[onnxruntime]" in made.notes[0]
        with pytest.raises(InputError, match="nothing to compare"):
            build(model, full, precisions=["fp32"])


class TestRefusals:
    def test_a_refused_recipe_is_reported_and_the_rest_continues(
        self, model: Path, full: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.rmtree(full / "model-fp16.minnow")
        refuse(monkeypatch, "fp16", ParityError(REFUSED, worst=0.912345))
        exact, rung = build(model, full).rungs
        assert exact.refusal is None
        assert rung.refusal is not None
        assert (rung.refusal.worst, rung.refusal.bar) == (0.912345, RECIPES["fp16"].bar)
        assert rung.refusal.reason == REFUSED.splitlines()[0]
        assert not rung.path.exists()

    def test_the_proofs_own_words_are_understood(
        self, model: Path, full: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        strict = replace(RECIPES["fp16"], bar=1.5)
        use_recipes(monkeypatch, **{**RECIPES, "fp16": strict})
        refusal = build(model, full).rungs[1].refusal
        assert refusal is not None
        assert refusal.bar == 1.5
        assert refusal.worst is not None
        assert 0.999 < refusal.worst <= 1

    def test_no_rung_is_left(
        self, model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refuse(monkeypatch, "fp16", ParityError(REFUSED, worst=0.912345))
        with pytest.raises(ParityError, match=r"Nothing is left.*\n.*fp16: Refused"):
            build(model, folder, precisions=["fp16"])
        assert not folder.parent.exists()

    def test_no_baseline(
        self,
        model: Path,
        full: Path,
        monkeypatch: pytest.MonkeyPatch,
        absent: Callable[..., None],
    ) -> None:
        absent("onnxruntime")
        shutil.rmtree(full / "model-fp32.minnow")
        refuse(monkeypatch, "fp32", ParityError(REFUSED, worst=0.912345))
        with pytest.raises(ParityError, match=r"no baseline without it\. Install ONNX Runtime"):
            build(model, full)

    @pytest.mark.parametrize("stop", [KeyboardInterrupt, ConversionError])
    def test_what_is_no_refusal_ends_it(
        self,
        model: Path,
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        stop: type[BaseException],
    ) -> None:
        def stopping(*_: object, **__: object) -> None:
            raise stop

        monkeypatch.setattr(rungs, "convert", stopping)
        with pytest.raises(stop):
            build(model, folder)
        assert not folder.parent.exists()


class TestGguf:
    def test_without_llama_cpp_it_says_so(
        self, model: Path, full: Path, absent: Callable[..., None]
    ) -> None:
        absent("llama_cpp")
        made = build(model, full, gguf=None)
        assert {rung.format for rung in made.rungs} == {"bundle"}
        assert "There are no GGUF files" in made.notes[-1]
        assert "minnow-embed[llama-cpp]" in made.notes[-1]
        with pytest.raises(MissingExtraError, match="llama-cpp"):
            build(model, full, gguf=["q8_0"])

    @pytest.mark.extra("llama-cpp")
    def test_files_are_made_once(
        self, model: Path, full: Path, request: pytest.FixtureRequest
    ) -> None:
        made = build(model, full, gguf=["q8_0", "f16", "q8_0"])
        files = [rung for rung in made.rungs if rung.format == "gguf"]
        assert [rung.path.name for rung in files] == ["model-q8_0.gguf", "model-f16.gguf"]
        assert [rung.system for rung in files] == [f"gguf:{rung.path}" for rung in files]
        steps: list[str] = []
        files[0].path.write_bytes(files[0].path.read_bytes() + b"changed")
        build(model, full, gguf=["q8_0"], progress=steps.append)
        assert "GGUF q8_0: writing the GGUF (q8_0)" in steps
        request.getfixturevalue("no_making")
        assert build(model, full, gguf=["q8_0", "f16"]) == made

    @pytest.mark.parametrize("error", [ParityError, UnsupportedModelError, ConversionError])
    @pytest.mark.extra("llama-cpp")
    def test_what_llama_cpp_cannot_do_is_reported(
        self, model: Path, full: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
    ) -> None:
        def write_gguf(*_: object, **__: object) -> None:
            raise error("Not supported.")

        monkeypatch.setattr(rungs, "write_gguf", write_gguf)
        refusal = build(model, full, gguf=["q8_0"]).rungs[-1].refusal
        assert refusal is not None
        assert (refusal.reason, refusal.worst) == ("Not supported.", None)
        assert refusal.bar == GGUF_TYPES["q8_0"].bar


class TestMistakes:
    def test_unknown_names(self, model: Path, folder: Path) -> None:
        with pytest.raises(InputError, match=r"no precision 'int99'; choose .*fp16"):
            build(model, folder, precisions=["int99"])
        with pytest.raises(InputError, match="no GGUF type 'q9'; choose f32"):
            build(model, folder, gguf=["q9"])

    def test_a_place_that_is_taken(self, model: Path, made: Path) -> None:
        with pytest.raises(OutputError, match="is not a folder"):
            build(model, model / "config.json")
        with pytest.raises(OutputError, match=r"is a bundle\. Name a folder"):
            build(model, made / "model-fp16.minnow")


class TestMeasure:
    def test_without_onnx_runtime(
        self, model: Path, full: Path, tmp_path: Path, absent: Callable[..., None]
    ) -> None:
        absent("onnxruntime")
        made = build(model, full)
        dataset = read_beir(write_data(tmp_path / "data"))
        found = measure(made, dataset, RunOptions(cache=tmp_path / "cache", threads=1))
        assert found.has_baseline
        half, exact = found.measured
        assert (exact.rung.name, exact.point.mean) == ("fp32", 1)
        assert exact.result is found.baseline
        assert 0.9999 < half.point.minimum <= half.point.p5 <= half.point.mean < 1
        assert half.result.against is not None
        rounds_to_1 = half.point.mean >= ONE  # float16 is then as good, and smaller
        assert found.best == [half.point] if rounds_to_1 else [half.point, exact.point]
        json.dumps(frontier_facts(found), allow_nan=False)
