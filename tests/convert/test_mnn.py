"""The converter's child process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.sealed import small_disk

from minnow.convert import mnn
from minnow.errors import ConversionError
from minnow.recipe import RECIPES
from minnow.records import replace

if TYPE_CHECKING:
    from pathlib import Path

INPUTS = ("input_ids", "attention_mask")


def run(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch, timeout: float = 60) -> None:
    """Run a script of the test's own in the converter's place."""
    child = folder / "child.py"
    child.write_text(script)
    monkeypatch.setattr(mnn, "CHILD", child)
    mnn.convert_to_mnn(
        folder / "graph.onnx",
        folder / "encoder.mnn",
        RECIPES["fp16"],
        INPUTS,
        log=folder / "log.txt",
        timeout=timeout,
    )


def test_options_follow_the_recipe() -> None:
    assert "--fp16" in mnn.converter_options(RECIPES["fp16"])
    assert "--fp16" not in mnn.converter_options(RECIPES["fp32"])
    options = mnn.converter_options(replace(RECIPES["fp32"], biz_code="shop"))
    assert options[options.index("--bizCode") + 1] == "shop"
    assert options[options.index("--useGeluApproximation") + 1] == "0"


def test_the_child_is_given_names_and_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path, "import sys, pathlib; pathlib.Path(sys.argv[2]).write_text(repr(sys.argv[1:]))",
        monkeypatch)  # fmt: skip
    written = (tmp_path / "encoder.mnn").read_text()
    assert written.startswith(
        "['../graph.onnx', '../encoder.mnn', 'input_ids,attention_mask', '--bizCode'"
    )


def test_a_crash_is_an_error_with_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import os; print('last words', flush=True); os.kill(os.getpid(), 11)"
    with pytest.raises(
        ConversionError, match=r"crashed with SIGSEGV\. It printed last: last words"
    ) as caught:
        run(tmp_path, script, monkeypatch)
    kept = str(caught.value).rsplit(" ", 1)[-1].rstrip(".")
    with open(kept) as log:  # noqa: PTH123
        assert "last words" in log.read()


def test_a_hang_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConversionError, match="did not finish within 1 s"):
        run(tmp_path, "import time; time.sleep(600)", monkeypatch, timeout=1)


def test_success_without_a_file_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "encoder.mnn").write_text("from an earlier run")
    with pytest.raises(ConversionError, match=r"wrote no encoder\.mnn"):
        run(tmp_path, "print('Converted Success!')", monkeypatch)


@pytest.mark.parametrize("ending", ["", ".weight"])
def test_a_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """The real converter writes half a file then and reports success.

    Half a model cannot be loaded; one whose numbers are half there can.
    """
    script = (
        "import contextlib, os, sys\n"
        "open(sys.argv[2], 'wb').close()\n"
        f"file = os.open(sys.argv[2] + {ending!r}, os.O_WRONLY | os.O_CREAT)\n"
        "with contextlib.suppress(OSError):\n"
        "    while os.write(file, bytes(4096)): pass\n"
        f"sys.exit({None if ending else 'MNN cannot load what the converter wrote'!r})"
    )
    with small_disk(tmp_path / "disk"), pytest.raises(OSError, match="No space left on device"):
        run(tmp_path / "disk", script, monkeypatch)


def test_a_missing_graph_is_an_error(tmp_path: Path) -> None:
    """The real converter says success here."""
    with pytest.raises(ConversionError, match="MNN's converter"):
        mnn.convert_to_mnn(
            tmp_path / "none.onnx",
            tmp_path / "encoder.mnn",
            RECIPES["fp16"],
            INPUTS,
            log=tmp_path / "log.txt",
        )
