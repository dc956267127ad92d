"""Exported models: made once, found again, never left incomplete."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from fakes.programs import stubs

from minnow.errors import EngineError, OutputError
from minnow.systems import exports
from minnow.systems.exports import export_with_sentence_transformers, made_once

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("MINNOW_CACHE", str(folder))
    return folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    file = tmp_path / "model.safetensors"
    file.write_bytes(b"weights")
    return file


class Writer:
    """A writer that counts its calls."""

    def __init__(self, error: Exception | None = None) -> None:
        self.times, self.error = 0, error

    def __call__(self, folder: Path) -> None:
        self.times += 1
        (folder / "graph").write_bytes(b"graph")
        if self.error:
            raise self.error


def test_it_is_made_once(weights: Path, cache: Path) -> None:
    write = Writer()
    first, again = (made_once("st-onnx", [weights], ["numpy"], write) for _ in range(2))

    assert first == again
    assert write.times == 1
    assert [path.name for path in first.iterdir()] == ["graph"]
    assert list(cache.iterdir()) == [first]
    assert first.name.startswith("st-onnx-")


def test_other_weights_another_form_or_another_package_are_another(weights: Path) -> None:
    write = Writer()
    first = made_once("st-onnx", [weights], ["numpy"], write)
    other = made_once("fastembed", [weights], ["numpy"], write)
    packages = made_once("st-onnx", [weights], ["numpy", "msgspec"], write)
    status = weights.stat()
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    later = made_once("st-onnx", [weights], ["numpy"], write)
    weights.write_bytes(b"longer weights")
    os.utime(weights, ns=(status.st_atime_ns, status.st_mtime_ns))
    longer = made_once("st-onnx", [weights], ["numpy"], write)

    assert len({first, other, packages, later, longer}) == 5
    assert write.times == 5


@pytest.mark.parametrize("error", [EngineError("no"), KeyboardInterrupt()])
def test_what_fails_leaves_nothing(weights: Path, cache: Path, error: Exception) -> None:
    with pytest.raises(type(error)):
        made_once("st-onnx", [weights], ["numpy"], Writer(error))
    assert not cache.exists()

    made = made_once("st-onnx", [weights], ["numpy"], Writer())
    assert list(cache.iterdir()) == [made]


def test_another_process_may_be_first(weights: Path, cache: Path) -> None:
    def write_twice(folder: Path) -> None:
        made_once("st-onnx", [weights], ["numpy"], first)
        (folder / "second").write_bytes(b"graph")

    first = Writer()
    found = made_once("st-onnx", [weights], ["numpy"], write_twice)
    assert [path.name for path in found.iterdir()] == ["graph"]
    assert list(cache.iterdir()) == [found]


def test_a_cache_that_cannot_be_written(weights: Path, cache: Path) -> None:
    cache.write_text("no folder")
    with pytest.raises(OutputError, match="Cannot write"):
        made_once("st-onnx", [weights], ["numpy"], Writer())


def test_an_export_runs_in_the_users_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A relative HF_HOME is a folder of theirs."""
    monkeypatch.setattr(exports, "_CHILD", "import os; sys.exit(os.getcwd())")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EngineError, match=re.escape(f"It printed last: {tmp_path}.")):
        export_with_sentence_transformers(tmp_path / "nothing", "onnx", tmp_path / "exported")


def test_an_export_that_fails_says_what_it_printed_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in for sentence-transformers fails, whose import would take seconds."""
    fails = "class SentenceTransformer:\n    def __init__(self, *_, **__): raise OSError('odd')"
    for name, value in stubs(tmp_path / "stubs", sentence_transformers=fails).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        EngineError, match=r"The export of .* back end onnx failed\. It printed last: \w"
    ):
        export_with_sentence_transformers(tmp_path / "nothing", "onnx", tmp_path / "exported")
