"""The choice of a backend: faulty ones are caught, the choice is remembered, and can be read."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.programs import refused, run_minnow

from minnow import Embedder, Reranker, backend_choice
from minnow.backend_choice import (
    FAILED,
    RIGHT,
    WRONG,
    BackendChoice,
    choose_backend,
    possible_modes,
    read_choice,
)
from minnow.caches import CHOICES, cache_folder, list_cache
from minnow.canaries import CANARIES, VECTORS, read_canaries
from minnow.engines.base import Mode
from minnow.errors import EngineError, InputError
from minnow.manifest import MANIFEST
from minnow.modes import DEFAULT
from minnow.vectors import rowwise_cosine

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import Tiny

    from minnow.bundle import Bundle

pytestmark = pytest.mark.extra("convert")

LOW, HIGH = Mode(precision="low"), Mode(precision="high")
MODES = (DEFAULT, LOW, HIGH)
CHILD = """
import os, time
import numpy as np
from minnow.engines.mnn import MnnEngine
right = MnnEngine.run
def run(self, batch):
    states = right(self, batch)
    if self._precision == "normal":
        time.sleep(0.005)
    if self._precision == "low":
        {fault}
    return states
MnnEngine.run = run
from minnow.backend_child import main
sys.exit(main())
"""
FAULTS = {
    "zeros": "states = np.zeros_like(states)",
    "NaN": "states[0, 0] = np.nan",
    "permuted batch": "states = states[::-1]",
    "half range": "states = (states * 1e6).astype(np.float16).clip(-65504, 65504).astype('f4')",
    "infinity": "states = (states * 1e6).astype(np.float16).astype('f4')",
    "noise": "states = states + np.random.default_rng(0).normal(0, .1, states.shape).astype('f4')",
    "crash": "os.abort()",
    "hang": "time.sleep(60)",
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def wanted(attempts: tuple[Any, ...] = ()) -> BackendChoice:
    return BackendChoice(1, "0" * 64, "a device", "3.6.1", 1, 0, "", attempts)


def choose(bundle: Bundle, modes: tuple[Mode, ...] = MODES) -> BackendChoice:
    canaries = read_canaries(bundle)
    assert canaries is not None
    return choose_backend(wanted(), bundle, canaries, modes)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_backend_is_caught_and_the_fastest_right_one_is_taken(
    made: Tiny, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(backend_choice, "_CHILD", CHILD.replace("{fault}", FAULTS[fault]))
    if fault == "hang":
        monkeypatch.setattr(backend_choice, "TIMEOUT", 5.0)
    choice = choose(made.bundle)
    own, low, high = choice.attempts
    assert (own.outcome, high.outcome) == (RIGHT, RIGHT)
    assert low.outcome == (FAILED if fault in ("NaN", "infinity", "crash", "hang") else WRONG)
    assert low.seconds is None
    assert low.message
    assert own.seconds is not None
    assert high.seconds is not None
    assert high.seconds < own.seconds
    assert choice.mode == HIGH
    assert "times as fast as the default" in choice.reason


def test_where_all_is_wrong_nothing_opens(made: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    child = CHILD.replace('== "low"', '!= "x"').replace("{fault}", FAULTS["permuted batch"])
    monkeypatch.setattr(backend_choice, "_CHILD", child)
    monkeypatch.setattr(backend_choice, "possible_modes", lambda _: [DEFAULT, LOW])
    with pytest.raises(EngineError, match="Nothing here gives the vectors of"):
        Embedder.open(made.bundle, backend="best")
    assert not (cache_folder() / CHOICES).exists()


def test_the_default_stays_where_nothing_is_clearly_faster(made: Tiny) -> None:
    times = {DEFAULT: 1.0, LOW: 0.95, HIGH: 0.85}
    canaries = read_canaries(made.bundle)
    assert canaries is not None

    class Timed:
        def __init__(self, *_: object) -> None:
            pass

        def __enter__(self) -> Timed:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def attempt(self, mode: Mode) -> backend_choice.Attempt:
            return backend_choice.Attempt(
                mode.backend, mode.precision, mode.memory, RIGHT, 1.0, times[mode], "x"
            )

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(backend_choice, "_Trials", Timed)
        assert choose(made.bundle, (DEFAULT, LOW)).mode == DEFAULT
        assert choose(made.bundle).mode == HIGH


def test_it_is_tried_once_and_told(made: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["how do fish sleep?", "red"]
    with Embedder.open(made.bundle, engine="mnn") as embedder:
        expected = embedder.encode(texts)
    with Embedder.open(made.bundle, backend="best", engine="mnn") as embedder:
        assert "that give the canaries' vectors" in embedder.engine_reason
        assert rowwise_cosine(embedder.encode(texts), expected).min() > 0.9999
    [entry] = list_cache()
    assert entry.kind == "choice"
    choice = read_choice(entry.path)
    assert choice.attempts[0].mode == DEFAULT
    assert [a.outcome for a in choice.attempts if a.backend != "cpu"] == [FAILED] * 8
    assert "MNN has no backend opencl here" in choice.attempts[-4].message
    monkeypatch.setattr(backend_choice, "choose_backend", None)
    Embedder.open(made.bundle, backend="best").close()
    with pytest.raises(TypeError):
        Embedder.open(made.bundle, backend="best", threads=1)
    shown = run_minnow("device-check", "--read", entry.path)
    assert "chosen" in shown.stdout
    assert choice.reason[:20] in shown.stdout
    read = json.loads(run_minnow("device-check", "--read", entry.path, "--json").stdout)
    assert read["attempts"][0]["outcome"] == "right"


@pytest.mark.parametrize(
    ("name", "value"), [("bundle", "1" * 64), ("device", "another"), ("mnn", "3.6.0"),
                        ("threads", 64), ("format", 2), ("chosen", 99), ("attempts", [])]
)  # fmt: skip
def test_another_record_is_not_taken(
    made: Tiny, monkeypatch: pytest.MonkeyPatch, name: str, value: object
) -> None:
    monkeypatch.setattr(backend_choice, "possible_modes", lambda _: [DEFAULT])
    Embedder.open(made.bundle, backend="best").close()
    [path] = (cache_folder() / CHOICES).iterdir()
    right = path.read_text()
    path.write_text(json.dumps({**json.loads(right), name: value}))
    Embedder.open(made.bundle, backend="best").close()
    assert json.loads(path.read_text()).keys() == json.loads(right).keys()
    assert json.loads(path.read_text())[name] == json.loads(right)[name] or name == "attempts"
    assert read_choice(path).attempts


def test_a_reranker_too(ranker: Bundle) -> None:
    pairs = [("how do fish sleep?", "Fish rest.")]
    with Reranker.open(ranker, engine="mnn") as reranker:
        expected = reranker.predict(pairs)
    with Reranker.open(ranker, backend="best", engine="mnn") as reranker:
        np.testing.assert_allclose(reranker.predict(pairs), expected, atol=1e-3)
        assert "canaries" in reranker.engine_reason


def test_a_bundle_without_canaries_opens_as_it_was_proven(made: Tiny, tmp_path: Path) -> None:
    from fakes.sealed import change_record

    def forget(values: dict[str, Any]) -> None:
        for name in (CANARIES, VECTORS):
            del values["files"][name]

    copy = shutil.copytree(made.bundle.folder, tmp_path / "old.minnow")
    change_record(copy / MANIFEST, forget)
    with Embedder.open(copy, backend="best", engine="mnn") as embedder:
        assert "the bundle is older than canaries" in embedder.engine_reason


def test_a_cache_that_cannot_be_written_costs_time_only(
    made: Tiny, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MINNOW_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr(backend_choice, "possible_modes", lambda _: [DEFAULT])
    Embedder.open(made.bundle, backend="best", engine="mnn").close()


def test_the_default_is_tried_first(made: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    assert possible_modes(made.bundle)[0] == DEFAULT
    monkeypatch.setattr(backend_choice, "processor", lambda: "aarch64")
    assert possible_modes(made.bundle)[:2] == [DEFAULT, LOW]


def test_best_chooses_alone(made: Tiny) -> None:
    with pytest.raises(InputError, match="chooses precision and memory by itself"):
        Embedder.open(made.bundle, backend="best", memory="low")
    with pytest.raises(InputError, match="backend should be cpu, metal"):
        Embedder.open(made.bundle, backend="npu")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"`backend='onnx'` is not possible here: see `engine=`"):
        Embedder.open(made.bundle, backend="onnx")  # type: ignore[arg-type]


def test_a_missing_backend_is_refused(made: Tiny, capfd: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.warns(UserWarning, match="no proof of its vectors in this mode .opencl"),
        pytest.raises(EngineError, match="no backend opencl here"),
    ):
        Embedder.open(made.bundle, backend="opencl", engine="mnn")
    assert capfd.readouterr().out == ""


def test_a_file_that_is_no_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    done = run_minnow("device-check", "--read", tmp_path / "x.json")
    assert "is not the record of a choice of backends" in refused(done, 8)
