"""The sample that searches an index in C++, beside minnow's own search."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes.native import SANITIZE, compile_program
from fakes.searching import DOCUMENTS, FakeModel, run_index, write_documents

from minnow.search import Index, VectorEncoding, open_store

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from minnow.search import Hit

pytestmark = pytest.mark.tool("g++")

SOURCES = ("programs/search_index.cpp", "src/json.cpp", "src/unicode.cpp")
QUERY = "how do minnows sleep in the river"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample that searches, built with sanitizers where there are any."""
    folder = tmp_path_factory.mktemp("search-index")
    for flags in (SANITIZE, ()):
        if compiles("#include <sqlite3.h>\nint main() { return !sqlite3_libversion(); }", *flags):
            return compile_program(folder / "search-index", SOURCES, *flags, after=["-lsqlite3"])
    pytest.skip("test_cpp_search needs sqlite3.h: apt install libsqlite3-dev, or the equivalent")


def compiles(code: str, *flags: str) -> bool:
    command = ["g++", *flags, "-x", "c++", "-", "-o", os.devnull, "-lsqlite3"]
    done = subprocess.run(command, input=code.encode(), capture_output=True, check=False)
    return done.returncode == 0


def run(program: Path, *arguments: object, stdin: str) -> subprocess.CompletedProcess[str]:
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def make(folder: Path, encoding: VectorEncoding, similarity: str) -> tuple[Path, FakeModel]:
    model = FakeModel(similarity=similarity)
    texts = {f"{n}.md": f"# Rivers\n\nriver {n} has {'many ' * n}fish\n" for n in range(30)}
    write_documents(folder / "docs", {**DOCUMENTS, **texts})
    run_index(folder / "a.index", folder / "docs", model=model, encoding=encoding)
    return folder / "a.index", model


def shown(hits: Iterable[Hit]) -> list[str]:
    return [f"{h.source}, part {h.number}  {' > '.join(h.headings)}" for h in hits]


@pytest.mark.parametrize("encoding", list(VectorEncoding), ids=lambda encoding: encoding.value)
@pytest.mark.parametrize("similarity", ["cosine", "dot"])
def test_it_finds_what_minnow_finds(
    program: Path, tmp_path: Path, encoding: VectorEncoding, similarity: str
) -> None:
    file, model = make(tmp_path, encoding, similarity)
    query = 3 * model.encode_queries([QUERY])[0]
    with Index(open_store(file), model) as index:
        ours = index.search_vectors(query, 8)[0]
    done = run(program, file, 8, stdin=json.dumps(query.tolist()) + "\n")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    theirs = [line.split("  ", 1) for line in lines if not line.startswith(" ")]
    assert [row[1] for row in theirs] == shown(ours)
    scores = [float(row[0]) for row in theirs]
    np.testing.assert_allclose(scores, [hit.score for hit in ours], atol=2e-4)
    assert f"    {ours[0].piece}" in lines


@pytest.mark.parametrize(
    ("stdin", "message"),
    [("", "not JSON"), ("[1, 2]", "has 2 numbers, and those of the index 24"),
     ('["a"]', "of another kind")],
)  # fmt: skip
def test_invalid_vectors_are_reported(
    program: Path, tmp_path: Path, stdin: str, message: str
) -> None:
    file, _ = make(tmp_path, VectorEncoding.INT8, "cosine")
    done = run(program, file, stdin=stdin)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr


def test_invalid_index_files_are_reported(program: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text " * 1000)
    file, _ = make(tmp_path, VectorEncoding.INT8, "cosine")
    with_other(file, tmp_path / "newer", "PRAGMA user_version = 99")
    with_other(file, tmp_path / "halfway", "PRAGMA user_version = 1002")
    with_other(file, tmp_path / "foreign", "PRAGMA application_id = 1")
    with_other(file, tmp_path / "damaged", "UPDATE vectors SET vector = x'00'")
    vector = json.dumps([1.0] * 24)
    for name, message in (
        ("text", "cannot be read"), ("nope", "cannot be opened"), ("damaged", "has changed"),
        ("halfway", "is being migrated to another model"),
        ("newer", "is not an index that this"), ("foreign", "is not an index that this"),
    ):  # fmt: skip
        done = run(program, tmp_path / name, stdin=vector)
        assert (done.returncode, done.stdout) == (1, "")
        assert message in done.stderr
    assert run(program, stdin=vector).returncode == 2
    assert run(program, file, "x", stdin=vector).returncode == 2


def with_other(file: Path, copy: Path, statement: str) -> None:
    copy.write_bytes(file.read_bytes())
    store = open_store(copy, writable=True)
    store.database.execute(statement)
    store.close()
