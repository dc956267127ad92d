"""A model in many forms: made once, found again, refused or left out."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest
from fakes.checkpoint import random_tensors, write_model, write_weights
from fakes.word_data import write_data

from minnow.bundle import Bundle
from minnow.convert import convert
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
from minnow.frontier import Ladder, build_ladder, frontier_facts, ladder, measure
from minnow.recipe import RECIPES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("evaluate")]

EXACT = ("fp32", "fp16")
REFUSED = (
    "Refused: the converted model does not give the vectors of NumPy. The worst text, an emoji, "
    "has cosine 0.912345; the bar is 0.95. Nothing was written.\n  an emoji: cosine 0.912345"
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model", pooling="mean")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "a" / "model.frontier"


@pytest.fixture
def absent(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Hides modules from the ladder."""

    def hide(*names: str) -> None:
        monkeypatch.setattr(
            ladder, "find_spec", lambda name: None if name in names else find_spec(name)
        )

    return hide


@pytest.fixture
def no_making(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails where anything is made."""

    def fail(*_: object, **__: object) -> None:
        raise AssertionError

    monkeypatch.setattr(ladder, "convert", fail)
    monkeypatch.setattr(ladder, "write_gguf", fail)


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    """Have one recipe refused."""

    def stubborn(*arguments: Any, recipe: Any, **options: Any) -> Bundle:
        if recipe == RECIPES[name]:
            raise error
        return convert(*arguments, recipe=recipe, **options)

    monkeypatch.setattr(ladder, "convert", stubborn)


def build(model: Path, folder: Path, **options: Any) -> Ladder:
    options = {"precisions": EXACT, "gguf": [], **options}
    return build_ladder(str(model), folder, **options)


class TestBundles:
    @pytest.mark.extra("onnxruntime")
    def test_one_for_each_recipe(self, model: Path, folder: Path) -> None:
        steps: list[str] = []
        made = build(model, folder, progress=steps.append)
        assert made.baseline == f"onnx:{model}"
        assert [rung.name for rung in made.rungs] == list(EXACT)
        for rung in made.rungs:
            assert Bundle.open(rung.path).manifest.recipe == RECIPES[rung.name]
            assert rung.path == folder / f"model-{rung.name}.minnow"
            assert f"{rung.name}: sealing" in steps
        assert made.notes == ()

    def test_what_is_there_is_not_made_again(
        self, model: Path, folder: Path, request: pytest.FixtureRequest
    ) -> None:
        made = build(model, folder)
        request.getfixturevalue("no_making")
        assert build(model, folder) == made

    @pytest.mark.parametrize("change", ["weights", "tokenizer", "bundle", "recipe"])
    def test_what_has_changed_is_made_again(
        self, model: Path, folder: Path, change: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = build(model, folder, precisions=["fp16"]).rungs[0]
        if change == "weights":
            write_weights(model, random_tensors(model, seed=7))
        elif change == "tokenizer":
            path = model / "tokenizer_config.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), "note": 1}))
        elif change == "bundle":
            (first.path / "encoder.mnn").write_bytes(b"broken")
        else:
            monkeypatch.setattr(ladder, "RECIPES", {**RECIPES, "fp16": RECIPES["fp32"]})
        steps: list[str] = []
        build(model, folder, precisions=["fp16"], progress=steps.append)
        assert "fp16: sealing" in steps

    def test_by_default_all_in_a_folder_of_the_models_name(
        self, model: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(model.parent)
        recipes = {name: RECIPES[name] for name in EXACT}
        monkeypatch.setattr(ladder, "RECIPES", recipes)
        made = build_ladder("model", gguf=[])
        assert [str(rung.path) for rung in made.rungs] == [
            f"model.frontier/model-{name}.minnow" for name in EXACT
        ]

    def test_without_onnx_runtime_the_float32_bundle_is_the_baseline(
        self, model: Path, folder: Path, absent: Callable[..., None]
    ) -> None:
        absent("onnxruntime")
        made = build(model, folder, precisions=["fp16"])
        assert made.baseline == str(folder / "model-fp32.minnow")
        assert [rung.name for rung in made.rungs] == ["fp16"]
        assert "minnow-embed[onnxruntime]" in made.notes[0]
        with pytest.raises(InputError, match="nothing to compare"):
            build(model, folder, precisions=["fp32"])


class TestRefusals:
    def test_a_refused_recipe_is_told_and_the_rest_goes_on(
        self, model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        refuse(monkeypatch, "fp16", ParityError(REFUSED, worst=0.912345))
        exact, rung = build(model, folder).rungs
        assert exact.refusal is None
        assert rung.refusal is not None
        assert (rung.refusal.worst, rung.refusal.bar) == (0.912345, RECIPES["fp16"].bar)
        assert rung.refusal.reason == REFUSED.splitlines()[0]
        assert not rung.path.exists()

    def test_the_proofs_own_words_are_understood(
        self, model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        strict = replace(RECIPES["fp16"], bar=1.5)
        monkeypatch.setattr(ladder, "RECIPES", {**RECIPES, "fp16": strict})
        refusal = build(model, folder).rungs[1].refusal
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
        folder: Path,
        monkeypatch: pytest.MonkeyPatch,
        absent: Callable[..., None],
    ) -> None:
        absent("onnxruntime")
        refuse(monkeypatch, "fp32", ParityError(REFUSED, worst=0.912345))
        with pytest.raises(ParityError, match=r"no baseline without it\. Install ONNX Runtime"):
            build(model, folder)

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

        monkeypatch.setattr(ladder, "convert", stopping)
        with pytest.raises(stop):
            build(model, folder)
        assert not folder.parent.exists()


class TestGguf:
    def test_without_llama_cpp_it_says_so(
        self, model: Path, folder: Path, absent: Callable[..., None]
    ) -> None:
        absent("llama_cpp")
        made = build(model, folder, gguf=None)
        assert {rung.format for rung in made.rungs} == {"bundle"}
        assert "There are no GGUF files" in made.notes[-1]
        assert "minnow-embed[llama-cpp]" in made.notes[-1]
        with pytest.raises(MissingExtraError, match="llama-cpp"):
            build(model, folder, gguf=["q8_0"])

    @pytest.mark.extra("llama-cpp")
    def test_files_are_made_once(
        self, model: Path, folder: Path, request: pytest.FixtureRequest
    ) -> None:
        made = build(model, folder, gguf=["q8_0", "f16", "q8_0"])
        files = [rung for rung in made.rungs if rung.format == "gguf"]
        assert [rung.path.name for rung in files] == ["model-q8_0.gguf", "model-f16.gguf"]
        assert [rung.system for rung in files] == [f"gguf:{rung.path}" for rung in files]
        steps: list[str] = []
        files[0].path.write_bytes(files[0].path.read_bytes() + b"changed")
        build(model, folder, gguf=["q8_0"], progress=steps.append)
        assert "GGUF q8_0: writing the GGUF (q8_0)" in steps
        request.getfixturevalue("no_making")
        assert build(model, folder, gguf=["q8_0", "f16"]) == made

    @pytest.mark.parametrize("error", [ParityError, UnsupportedModelError, ConversionError])
    @pytest.mark.extra("llama-cpp")
    def test_what_llama_cpp_cannot_do_is_told(
        self, model: Path, folder: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
    ) -> None:
        def write_gguf(*_: object, **__: object) -> None:
            raise error("It has no like.")

        monkeypatch.setattr(ladder, "write_gguf", write_gguf)
        refusal = build(model, folder, gguf=["q8_0"]).rungs[-1].refusal
        assert refusal is not None
        assert (refusal.reason, refusal.worst) == ("It has no like.", None)
        assert refusal.bar == GGUF_TYPES["q8_0"].bar


class TestMistakes:
    def test_names_that_there_are_not(self, model: Path, folder: Path) -> None:
        with pytest.raises(InputError, match=r"no precision 'int99'; choose .*fp16"):
            build(model, folder, precisions=["int99"])
        with pytest.raises(InputError, match="no GGUF type 'q9'; choose f32"):
            build(model, folder, gguf=["q9"])

    def test_a_place_that_is_taken(self, model: Path, folder: Path) -> None:
        with pytest.raises(OutputError, match="is not a folder"):
            build(model, model / "config.json")
        bundle = build(model, folder).rungs[0].path
        with pytest.raises(OutputError, match=r"is a bundle\. Name a folder"):
            build(model, bundle)


class TestMeasure:
    def test_without_onnx_runtime(
        self, model: Path, folder: Path, tmp_path: Path, absent: Callable[..., None]
    ) -> None:
        absent("onnxruntime")
        made = build(model, folder)
        dataset = read_beir(write_data(tmp_path / "data"))
        found = measure(made, dataset, RunOptions(cache=tmp_path / "cache", threads=1))
        assert found.has_baseline
        half, exact = found.measured
        assert (exact.rung.name, exact.point.mean) == ("fp32", 1)
        assert exact.result is found.baseline
        assert 0.9999 < half.point.minimum <= half.point.p5 <= half.point.mean < 1
        assert half.result.against is not None
        assert found.best[-1] == exact.point
        json.dumps(frontier_facts(found), allow_nan=False)

    def test_a_moved_folder_needs_nothing_new(
        self, model: Path, folder: Path, request: pytest.FixtureRequest
    ) -> None:
        build(model, folder)
        shutil.move(folder, folder.parent / "elsewhere")
        request.getfixturevalue("no_making")
        build(model, folder.parent / "elsewhere")
