"""Search in Python and in C++: the answers of tests/core_cases."""

from __future__ import annotations

import math
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from fakes.core_cases import FOLDER, answered, essence, read_cases
from fakes.native_api import Library, NativeError, NativeIndex

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CASES = read_cases()
FILES = sorted({case["file"] for case in CASES["cases"]})
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy, because SQLite writes beside a file that is open."""
    return shutil.copytree(FOLDER, tmp_path_factory.mktemp("cases") / "copy")


def of(file: str) -> Iterator[dict[str, Any]]:
    return (case for case in CASES["cases"] if case["file"] == file)


def check(case: dict[str, Any], answer: dict[str, Any]) -> None:
    """Compare hits: everything equal, scores to 1e-5."""
    assert answer.get("refused") == case.get("refused"), case
    assert len(answer.get("hits", ())) == len(case.get("hits", ())), case
    for hit, expected in zip(answer.get("hits", ()), case.get("hits", ()), strict=True):
        for name, value in expected.items():
            if isinstance(value, float):
                assert math.isclose(hit[name], value, rel_tol=1e-5, abs_tol=1e-5), (case, name)
            else:
                assert hit[name] == value, (case, name)


@pytest.mark.parametrize("file", FILES)
def test_in_python(folder: Path, file: str) -> None:
    for case in of(file):
        check(case, answered(case, folder))


@pytest.mark.tool("g++")
@pytest.mark.parametrize("file", FILES)
def test_in_cpp(core_library: Library, folder: Path, file: str) -> None:
    with NativeIndex(core_library, folder / file) as index:
        for case in of(file):
            vector = CASES["vectors"][case["query"]]
            try:
                hits = index.search(
                    case["query"], case.get("k", 5), options=case.get("options"), vector=vector
                )
            except NativeError:
                check(case, {"refused": True})
            else:
                check(case, {"hits": [essence(hit) for hit in hits]})
