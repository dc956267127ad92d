"""What a benchmark runs on."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from fakes.programs import first_on_path

from minnow.bench import machine as machine_module
from minnow.bench.machine import Blas, matmul_peak, numpy_blas, this_machine
from minnow.errors import EngineError, MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path


def test_this_machine() -> None:
    machine = this_machine()
    assert machine.processor
    assert 1 <= machine.cpus <= (os.cpu_count() or 1)
    assert machine.python == ".".join(map(str, sys.version_info[:3]))
    assert machine.memory > 2**27


def test_matrices_are_multiplied() -> None:
    """Between a very slow core and a very fast machine."""
    assert 1e8 < matmul_peak(1) < 1e13


def test_modules_in_the_users_folder_are_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('not this one')\n")
    monkeypatch.chdir(tmp_path)
    assert matmul_peak(1) > 1e8


def test_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minnow.bench.machine.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"A benchmark needs .*minnow-embed\[evaluate\]"):
        numpy_blas()


def test_the_kernels_of_numpy_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("threadpoolctl")
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    found = numpy_blas()
    assert found == Blas(found.kernel, found.kernel, ())
    if not found.kernel.startswith("openblas") or os.uname().machine != "x86_64":
        pytest.skip("NumPy multiplies with another library here")
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    pinned = numpy_blas()
    assert pinned.pins == ("OPENBLAS_CORETYPE",)
    assert pinned.kernel.endswith("Haswell")
    assert pinned.unpinned == found.kernel


def test_the_number_may_be_followed_by_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def run_child(*_: object, **__: object) -> str:
        return printed

    monkeypatch.setattr(machine_module, "run_child", run_child)
    printed = "a note\n1.5e9\nOpenBLAS warning: late\n"
    assert matmul_peak(1) == 1.5e9
    printed = "a note\n"
    with pytest.raises(EngineError, match="printed no number: 'a note'"):
        matmul_peak(1)


def test_where_numpy_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('no BLAS')\n")
    for name, value in first_on_path(tmp_path).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(EngineError, match=r"NumPy's product of matrices failed.*no BLAS"):
        matmul_peak(1)
