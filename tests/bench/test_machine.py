"""What a benchmark runs on."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest
from fakes.programs import first_on_path

from minnow.bench.machine import matmul_peak, this_machine
from minnow.errors import EngineError

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


def test_where_numpy_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "numpy.py").write_text("raise RuntimeError('no BLAS')\n")
    for name, value in first_on_path(tmp_path).items():
        monkeypatch.setenv(name, value)
    with pytest.raises(EngineError, match=r"NumPy's product of matrices failed.*no BLAS"):
        matmul_peak(1)
