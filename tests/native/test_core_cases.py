"""Search in Python and in C++: the answers of tests/core_cases."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes.core_cases import CODED, FOLDER, ShortestFirst, answered, essence, read_cases
from fakes.native import C_API, INDEX, SANITIZE, TOKENIZER, can_sanitize, compile_program
from fakes.native_api import Library, NativeError, NativeIndex, NativeRanker

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def test_codes_miss_some_of_the_nearest() -> None:
    """So the cases tell a search by codes from one of all vectors."""
    asked = [case for case in of(CODED) if case.get("k") == 60]
    found = [
        [hit["id"] for hit in case["hits"]]
        for sidecar in ("codes", "never")
        for case in asked
        if case["sidecar"] == sidecar
    ]
    assert found[: len(found) // 2] != found[len(found) // 2 :]


@pytest.mark.parametrize("file", FILES)
def test_in_python(folder: Path, file: str) -> None:
    for case in of(file):
        check(case, answered(case, folder))


@pytest.mark.tool("cmake", "g++")
@pytest.mark.parametrize("file", FILES)
def test_in_cpp(core_library: Library, folder: Path, file: str) -> None:
    with (
        NativeIndex(core_library, folder / file) as index,
        NativeRanker(core_library, ShortestFirst()) as reranker,
    ):
        for case in of(file):
            vector = CASES["vectors"][case["query"]]
            options = {**case.get("options", {}), "sidecar": case.get("sidecar", "auto")}
            ranker = reranker if case.get("reranked") else None
            try:
                hits = index.search(
                    case["query"], case.get("k", 5), options=options, vector=vector, reranker=ranker
                )
            except NativeError:
                check(case, {"refused": True})
            else:
                check(case, {"hits": [essence(hit) for hit in hits]})


@pytest.mark.tool("g++")
def test_the_program_for_other_systems(tmp_path: Path) -> None:
    """It runs all cases, here with sanitizers where there are any, and sees a wrong answer."""
    flags = SANITIZE if can_sanitize(tmp_path) else ()
    checker = str(Path(__file__).with_name("check_cases.cpp"))
    sources = (checker, *TOKENIZER, *INDEX, *C_API)
    program = compile_program(tmp_path / "check_cases", sources, *flags, after=["-lsqlite3"])
    copy = shutil.copytree(FOLDER, tmp_path / "copy")
    cases = json.loads((copy / "cases.json").read_text())
    for differing in (0, 1):
        (copy / "made.memory").unlink(missing_ok=True)
        done = subprocess.run([program, copy], capture_output=True, text=True, check=False)
        assert done.returncode == differing, done.stderr
        assert done.stdout.endswith(f" {differing} of them differ\n")
        cases["cases"][0]["hits"][0]["score"] += 0.001
        del cases["cases"][9:]
        (copy / "cases.json").write_text(json.dumps(cases))
