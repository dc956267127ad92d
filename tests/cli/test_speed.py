"""`minnow bench` as a user runs it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fakes.programs import refused, run_minnow
from fakes.word_data import write_data

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.bundles import Tiny

pytestmark = [pytest.mark.extra("convert"), pytest.mark.extra("evaluate")]


@pytest.fixture(scope="module")
def folder(made: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model, its bundle, and a data set."""
    folder = tmp_path_factory.mktemp("bench")
    made.copy_to(folder)
    write_data(folder / "data")
    return folder


@pytest.fixture(autouse=True)
def _cache(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINNOW_CACHE", str(folder / "cache"))


SMALL = ("--rounds", 2, "--documents", 6, "--queries", 4, "--threads", 1)


@pytest.mark.extra("onnxruntime")
def test_tables_and_a_page(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "speed.html"
    done = run_minnow("bench", folder / "tiny.minnow", f"onnx:{folder / 'model'}",
                      "--dataset", folder / "data", *SMALL, "--report", page)  # fmt: skip
    assert done.code == 0, done.stderr
    for words in ("data/test: 6 documents of", "NumPy's float32 matrix product reaches",
                  "tiny.minnow (baseline)", "onnx:model", "tokens/s", "query p50, ms",
                  "cold start, s", "median of 2 rounds", "peak memory, MB", "x1.00"):  # fmt: skip
        assert words in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 88
    assert "…" not in done.stdout
    assert "round 2 of 2" in done.stderr
    assert "<svg" in page.read_text(encoding="utf-8")


def test_json(folder: Path) -> None:
    done = run_minnow("bench", folder / "tiny.minnow", "--dataset", folder / "data", *SMALL,
                      "--json")  # fmt: skip
    assert done.code == 0, done.stderr
    facts = json.loads(done.stdout)
    (system,) = facts["systems"]
    assert facts["documents"] == 6
    assert len(system["tokens_per_second"]["values"]) == facts["rounds"] == 2


def test_missing_systems_and_folders(folder: Path, tmp_path: Path) -> None:
    assert "nothing" in refused(run_minnow("bench", tmp_path / "nothing"), 6)
    assert "9.gguf" in refused(run_minnow("bench", folder / "tiny.minnow", "gguf:9.gguf"), 3)
    page = tmp_path / "no" / "folder" / "a.html"
    assert "no/folder" in refused(run_minnow("bench", "a", "--report", page), 9)
