"""`minnow frontier` as a user runs it."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from fakes import frontiers
from fakes.checkpoint import WORDS, write_model
from fakes.programs import refused, run_minnow, stubs
from fakes.word_data import write_data

from minnow.frontier import Refusal

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("evaluate")]

EXACT = ("--precision", "fp32", "--precision", "fp16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, and a data set that asks for words."""
    folder = tmp_path_factory.mktemp("frontier")
    write_model(folder / "model", pooling="mean")
    write_data(folder / "data")
    return folder


@pytest.fixture(autouse=True)
def _cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINNOW_CACHE", str(folder / "cache"))


@pytest.mark.extra("onnxruntime")
def test_bundles_alone(folder: Path, tmp_path: Path) -> None:
    arguments = ("frontier", folder / "model", "--dataset", folder / "data", *EXACT, "--gguf",
                 "none", "-o", tmp_path / "out")  # fmt: skip
    done = run_minnow(*arguments)
    assert done.code == 0, done.stderr
    for words in (f"data/test: {len(WORDS)} documents", "baseline: onnx:model, ONNX Runtime",
                  "* is on the frontier", "5th percentile", "Recall@1", "peak memory, MB",
                  "95 % interval", "equivalent"):  # fmt: skip
        assert words in done.stdout
    assert "GGUF" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 88
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "model-fp16.minnow",
        "model-fp32.minnow",
    ]
    again = run_minnow(*arguments)
    assert again.stdout == done.stdout
    assert again.stderr.count("found, made of the same weights") == 2


@pytest.mark.extra("llama-cpp")
@pytest.mark.extra("onnxruntime")
def test_with_gguf_files_as_json_and_as_a_page(folder: Path, tmp_path: Path) -> None:
    done = run_minnow(
        "frontier", "model", "--dataset", "data", *EXACT, "--gguf", "f16", "--gguf", "q4_k_m",
        "--json", "--report", tmp_path / "r.html", "--threads", "1", "--margin", "0.02",
        cwd=folder,
    )  # fmt: skip
    assert done.code == 0, done.stderr
    facts = json.loads(done.stdout)
    rungs = {rung["name"]: rung for rung in facts["rungs"]}
    assert list(rungs) == ["GGUF q4_k_m", "GGUF f16", "fp16", "fp32"]
    assert facts["margin"] == 0.02
    assert facts["refused"] == []
    assert facts["baseline"]["system"] == "onnx:model"
    assert facts["frontier"] == [name for name, rung in rungs.items() if rung["on_frontier"]]
    small = rungs["GGUF q4_k_m"]
    assert small["dominated_by"] == []
    assert small["cosine"]["min"] <= small["cosine"]["p5"] <= small["cosine"]["mean"] < 1
    assert small["usage"]["threads"] == 1
    assert "dominated_by" not in rungs["fp16"]
    assert (folder / "model.frontier/model-q4_k_m.gguf").is_file()
    page = (tmp_path / "r.html").read_text("utf-8")
    assert "GGUF q4_k_m" in page
    assert f"The report is {tmp_path / 'r.html'}." in done.stderr


def test_notes_and_refusals_name_flags(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung = replace(frontiers.INT5, refusal=Refusal("Give more with `calibration=`.", None, 0.95))
    found = replace(frontiers.usual(), refused=(rung,), notes=("Give `fresh=True` to measure.",))
    ladder = SimpleNamespace(folder=tmp_path)
    monkeypatch.setattr("minnow.frontier.build_ladder", lambda *_, **__: ladder)
    monkeypatch.setattr("minnow.frontier.measure", lambda *_, **__: found)
    report, arguments = tmp_path / "r.html", ("frontier", "model", "--dataset", folder / "data")
    done = run_minnow(*arguments, "--json", "--report", report)
    assert done.code == 0, done.stderr
    facts = json.loads(done.stdout)
    reason, note = "Give more with --calibration.", "Give --fresh to measure."
    assert (facts["refused"][0]["reason"], facts["notes"]) == (reason, [note])
    for text in (report.read_text("utf-8"), run_minnow(*arguments).stdout):
        assert reason in text
        assert note in text
        assert "`" not in text


class TestFailures:
    def test_2_wrong_usage(self, folder: Path) -> None:
        for arguments, message in (
            ([], "Missing argument 'SOURCE'"),
            (["model", "--precision", "int99"], "'--precision'"),
            (["model", "--gguf", "none", "--gguf", "f16"], "Give --gguf none, or types"),
        ):
            assert message in refused(run_minnow("frontier", *arguments, cwd=folder), 2)

    def test_3_and_8_and_9_nothing_is_made(self, folder: Path, tmp_path: Path) -> None:
        output = tmp_path / "out"
        for code, arguments, message in (
            (3, ["none"], "none"),
            (8, ["model", "--dataset", "none"], "is not a folder"),
            (8, ["model", "--gguf", "q9"], "no GGUF type 'q9'"),
            (9, ["model", "--report", "none/r.html"], "none is not a folder"),
        ):
            options = ["--offline", "-o", output]
            done = run_minnow("frontier", *arguments, *options, cwd=folder)
            assert message in refused(done, code)
            assert not output.exists()

    def test_10_a_missing_extra_is_reported_first(self, folder: Path, tmp_path: Path) -> None:
        env = stubs(tmp_path / "stubs", ir_measures="raise ImportError")
        done = run_minnow(
            "frontier", "model", "--dataset", "data", "-o", tmp_path / "out", cwd=folder, env=env
        )
        assert "pip install 'minnow-embed[evaluate]'" in refused(done, 10)
        assert not (tmp_path / "out").exists()
