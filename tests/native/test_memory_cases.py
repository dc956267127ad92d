"""Memories in Python and in C++: the answers of tests/core_cases, in files that both can read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pytest
from fakes.memory_cases import DUPLICATE, PythonMemory, read_steps, take
from fakes.native_api import Library, NativeError, NativeMemory, NativeModel
from fakes.searching import FakeModel

from minnow.memory import Memory
from minnow.search import open_store

if TYPE_CHECKING:
    from pathlib import Path

STEPS = read_steps()["steps"]


def check(found: Any, expected: Any, place: object) -> None:
    """Compare answers: everything equal, numbers to 1e-5."""
    if isinstance(expected, float):
        assert math.isclose(found, expected, rel_tol=1e-5, abs_tol=1e-5), place
    elif isinstance(expected, dict):
        assert found.keys() >= expected.keys(), place
        for name, value in expected.items():
            check(found[name], value, (place, name))
    elif isinstance(expected, list):
        assert len(found) == len(expected), place
        for one, other in zip(found, expected, strict=True):
            check(one, other, place)
    else:
        assert found == expected, place


def test_in_python(tmp_path: Path) -> None:
    with PythonMemory(tmp_path / "a.memory", FakeModel()) as memory:
        for row in STEPS:
            check(take(memory, row["step"]), row["answer"], row["step"])


@pytest.mark.tool("cmake", "g++")
@pytest.mark.parametrize("opened_again", [False, True])
def test_in_cpp(core_library: Library, tmp_path: Path, opened_again: bool) -> None:
    """The file is one that Python finds no fault with."""
    file = tmp_path / "a.memory"
    model = NativeModel(core_library, FakeModel())
    memory = NativeMemory(core_library, file, model, duplicate=DUPLICATE)
    for row in STEPS:
        if opened_again:
            core_library.close(memory.closing, memory._handle.value)
            memory = NativeMemory(core_library, file, model, duplicate=DUPLICATE)
        check(take(memory, row["step"], NativeError), row["answer"], row["step"])
    core_library.close(memory.closing, memory._handle.value)
    with Memory(open_store(file, writable=True), FakeModel()) as python:
        assert python.check() == []
        items = [item.facts() for item in python.items()]
    check(items, STEPS[-1]["answer"], "read by Python")


@pytest.mark.tool("cmake", "g++")
def test_cpp_goes_on_where_python_ended(core_library: Library, tmp_path: Path) -> None:
    file = tmp_path / "a.memory"
    half = len(STEPS) // 2
    with PythonMemory(file, FakeModel()) as memory:
        for row in STEPS[:half]:
            take(memory, row["step"])
    with (
        NativeModel(core_library, FakeModel()) as model,
        NativeMemory(core_library, file, model, duplicate=DUPLICATE) as memory,
    ):
        for row in STEPS[half:]:
            check(take(memory, row["step"], NativeError), row["answer"], row["step"])


@pytest.mark.tool("cmake", "g++")
def test_files_and_models_that_do_not_fit_are_refused(
    core_library: Library, tmp_path: Path
) -> None:
    file = tmp_path / "a.memory"
    with NativeModel(core_library, FakeModel()) as model:
        NativeMemory(core_library, file, model)
        with pytest.raises(NativeError, match="needs the bundle"):
            NativeMemory(core_library, file).take({"recall": "a"})
        with pytest.raises(NativeError, match="no option spare"):
            NativeMemory(core_library, file, model, spare=1)
    changed = FakeModel(weights_sha256="c" * 64)
    with (
        NativeModel(core_library, changed) as other,
        pytest.raises(NativeError, match=r"another model .* weights_sha256 is another"),
    ):
        NativeMemory(core_library, file, other)
    with pytest.raises(NativeError, match="There is no file"):
        NativeMemory(core_library, tmp_path / "b.memory")
