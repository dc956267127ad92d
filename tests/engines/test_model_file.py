"""An open embedder keeps the model that it opened, whatever takes its place on the disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.programs import answer_of

from minnow import Embedder
from minnow.bundle import Bundle
from minnow.engines import model_file
from minnow.engines.model_file import ModelFile
from minnow.errors import BundleError, EngineError
from minnow.files import replace_folder, staging_folder

if TYPE_CHECKING:
    from fakes.bundles import BundleStore

pytestmark = pytest.mark.extra("convert")

TEXTS = [f"fish number {i} swim in the river" for i in range(300)]


@pytest.fixture
def folder(bundle_store: BundleStore, tmp_path: Path) -> Path:
    """A folder with tiny.minnow, and other.minnow of the same shape and other weights."""
    bundle_store.copy_two(tmp_path)
    return tmp_path


def replace_bundle(folder: Path) -> None:
    """Replace tiny.minnow by other.minnow, as `minnow convert` does."""
    with staging_folder(folder / "tiny.minnow") as staged:
        shutil.copytree(folder / "other.minnow", staged, dirs_exist_ok=True)
        replace_folder(staged, folder / "tiny.minnow")


def encoded(bundle: Path) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    with Embedder.open(bundle, threads=2, engine="mnn") as embedder:
        return embedder.encode(TEXTS)


def test_a_bundle_that_is_replaced_never_mixes_with_the_open_one(folder: Path) -> None:
    """Lanes are opened with the first call of many texts."""
    old, new = encoded(folder / "tiny.minnow"), encoded(folder / "other.minnow")
    assert np.abs(old - new).max() > 0.01
    with Embedder.open(folder / "tiny.minnow", threads=2, engine="mnn") as embedder:
        embedder.encode(TEXTS[0])
        replace_bundle(folder)
        assert np.abs(embedder.encode(TEXTS) - old).max() < 2e-5
        with Embedder.open(folder / "tiny.minnow", threads=2, engine="mnn") as newer:
            assert np.abs(newer.encode(TEXTS) - new).max() < 2e-5
        assert np.abs(embedder.encode(TEXTS) - old).max() < 2e-5


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_keeps_it_too(folder: Path) -> None:
    program = """
import os, shutil, sys
from pathlib import Path
import numpy as np
from minnow import Embedder
folder, texts = Path(sys.argv[1]), [f"fish number {i}" for i in range(200)]
embedder = Embedder.open(folder / "tiny.minnow", threads=2)
old = embedder.encode(texts)
shutil.rmtree(folder / "tiny.minnow")
(folder / "other.minnow").rename(folder / "tiny.minnow")
child = os.fork()
if child == 0:
    os._exit(0 if np.abs(embedder.encode(texts) - old).max() < 2e-5 else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    assert answer_of(program, folder) == "0\n"


@pytest.mark.parametrize("how", ["overwritten", "replaced, on a system without /proc"])
def test_what_cannot_be_kept_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    encoder = folder / "tiny.minnow" / "encoder.mnn"
    if how != "overwritten":
        monkeypatch.setattr(model_file, "_DESCRIPTORS", Path("/nowhere/fd"))
    with Embedder.open(folder / "tiny.minnow", threads=2) as embedder:
        first = embedder.encode(TEXTS[0])
        if how == "overwritten":
            encoder.write_bytes((folder / "other.minnow" / "encoder.mnn").read_bytes())
        else:
            replace_bundle(folder)
        with pytest.raises(EngineError, match=r"was replaced or overwritten since it was opened\."):
            embedder.encode(TEXTS)
        assert np.abs(embedder.encode(TEXTS[0]) - first).max() == 0


@pytest.mark.parametrize("check_files", [True, False])
def test_a_bundle_that_was_replaced_before_it_is_embedded_with(
    folder: Path, check_files: bool
) -> None:
    bundle = Bundle.open(folder / "tiny.minnow")
    replace_bundle(folder)
    with pytest.raises(BundleError, match="was replaced since it was opened"):
        Embedder.open(bundle, check_files=check_files)


def test_a_bundle_that_is_replaced_while_it_is_opened(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its tokenizer would be that of one model, its encoder that of another."""
    real = Embedder.from_files.__func__  # type: ignore[attr-defined]

    def late(*args: object, **options: object) -> Embedder:
        replace_bundle(folder)
        embedder: Embedder = real(Embedder, *args, **options)
        return embedder

    monkeypatch.setattr(Embedder, "from_files", late)
    with pytest.raises(BundleError, match="was replaced since it was opened"):
        Embedder.open(folder / "tiny.minnow")


def test_paths_are_spelled_differently_and_the_file_is_closed(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"weights")
    before = len(list(Path("/proc/self/fd").iterdir()))
    file = ModelFile(tmp_path / "a")
    found = set()
    for _ in range(600):
        with file.reading() as path:
            found.add(path)
            assert Path(path).read_bytes() == b"weights"
    assert len(found) == 600
    file.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    with pytest.raises(EngineError, match="was replaced"), file.reading():
        pass


def test_a_pipe_is_no_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "encoder.mnn")
    with pytest.raises(EngineError, match="it is a named pipe"):
        ModelFile(tmp_path / "encoder.mnn")
