"""The program that searches an index in C++: words, and files that are refused."""

from __future__ import annotations

import json
import os
import subprocess
import unicodedata
from typing import TYPE_CHECKING

import pytest
from fakes.native import C_API, INDEX, SANITIZE, TOKENIZER, UNICODE, compile_program
from fakes.searching import DOCUMENTS, FakeModel, run_index, write_documents
from fakes.unicode import sample

from minnow.indexfile.words import divide
from minnow.search import VectorEncoding, open_store

if TYPE_CHECKING:
    from pathlib import Path

    from fakes.native import CMakeBuild

pytestmark = pytest.mark.tool("g++")

SOURCES = ("programs/minnow_search.cpp", *TOKENIZER, *INDEX, *C_API)
EVERY_ONE_OF = 29  # ideographs and syllables are alike


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, built with sanitizers where there are any."""
    folder = tmp_path_factory.mktemp("minnow-search")
    for flags in (SANITIZE, ()):
        if compiles("#include <sqlite3.h>\nint main() { return !sqlite3_libversion(); }", *flags):
            return compile_program(folder / "minnow-search", SOURCES, *flags, after=["-lsqlite3"])
    pytest.skip("test_cpp_search needs sqlite3.h: apt install libsqlite3-dev, or the equivalent")


def compiles(code: str, *flags: str) -> bool:
    command = ["g++", *flags, "-x", "c++", "-", "-o", os.devnull, "-lsqlite3"]
    done = subprocess.run(command, input=code.encode(), capture_output=True, check=False)
    return done.returncode == 0


def run(program: Path, *arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


def make(folder: Path) -> Path:
    write_documents(folder / "docs", DOCUMENTS)
    run_index(folder / "a.index", folder / "docs", model=FakeModel(), encoding=VectorEncoding.INT8)
    return folder / "a.index"


def characters() -> list[str]:
    """Return every character that Python knows, and some of those that are many and alike."""
    known = (
        chr(n) for n in range(0x110000) if unicodedata.category(chr(n)) not in ("Cn", "Cs", "Co")
    )
    return [
        c for c in known
        if not unicodedata.name(c, "").startswith(("CJK UNIFIED", "HANGUL SYLLABLE", "TANGUT"))
        or ord(c) % EVERY_ONE_OF == 0
    ]  # fmt: skip


@pytest.mark.skipif(
    unicodedata.unidata_version != UNICODE,
    reason=f"this Python has another Unicode than {UNICODE}, by which the library lower-cases",
)
@pytest.mark.tool("cmake")
@pytest.mark.parametrize("sanitized", [False, True])
def test_words_are_those_of_python(
    sanitized: bool, bridge: CMakeBuild, request: pytest.FixtureRequest
) -> None:
    """With sanitizers the ends of all ranges, and some characters between them."""
    every = alone = characters()
    if sanitized:
        program: Path = request.getfixturevalue("program")
        alone = sample("".join(every))
    else:
        program = bridge.make("minnow-search") / "minnow-search"
    texts = [f"a{c}b {c} x" for c in alone] + ["".join(every[i::500]) for i in range(500)]
    texts += ["می‌خوابند‌ها ماهی‌ها", "น้ํา แเเล เเเ", "東\n京 都 \r\n 府\tab", "\U00100000 \ue000"]
    marks = [c for c in alone if unicodedata.combining(c)]
    texts += [
        f"a{text}b" for c in marks for text in (f"{c}\u1b6b\U00016ff0{c}", f"\u0345{c}\u0301")
    ]
    texts += [c + unicodedata.normalize("NFD", c) for c in alone]
    done = run(program, "--words", stdin=json.dumps(texts))
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    wrong = [text for text, words in zip(texts, found, strict=True) if words != divide(text)]
    assert wrong == []


def test_hits_are_lines_of_json(program: Path, tmp_path: Path) -> None:
    file = make(tmp_path)
    vector = json.dumps(FakeModel().encode_queries(["kettle"])[0].tolist())
    for arguments, stdin in (((), ""), (("--vector", "-k", 2), vector)):
        done = run(program, file, "descale a kettle", *arguments, stdin=stdin)
        assert done.returncode == 0, done.stderr
        hits = [json.loads(line) for line in done.stdout.splitlines()]
        assert hits[0]["source"].endswith("kitchen/kettle.md")
        assert hits[0]["headings"] == ["Kettle"]
        assert 1 <= len(hits) <= 2


@pytest.mark.parametrize(
    ("stdin", "message"),
    [("", "not JSON"), ("[1, 2]", "has 2 numbers, and those of the index 24"),
     ('["a"]', "of another kind")],
)  # fmt: skip
def test_invalid_vectors_are_reported(
    program: Path, tmp_path: Path, stdin: str, message: str
) -> None:
    done = run(program, make(tmp_path), "fish", "--vector", stdin=stdin)
    assert (done.returncode, done.stdout) == (1, "")
    assert message in done.stderr


def test_invalid_index_files_are_reported(program: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("text " * 1000)
    (tmp_path / "nothing").touch()
    file = make(tmp_path)
    with_other(file, tmp_path / "newer", "PRAGMA user_version = 99")
    with_other(file, tmp_path / "halfway", "PRAGMA user_version = 1002")
    with_other(file, tmp_path / "foreign", "PRAGMA application_id = 1")
    with_other(file, tmp_path / "vector", "UPDATE vectors SET vector = x'00'")
    with_other(file, tmp_path / "chunk", "UPDATE chunks SET text = text || 's'")
    with_other(file, tmp_path / "document", "UPDATE documents SET chunks = 1000000000")
    with_other(file, tmp_path / "fewer", "DELETE FROM vectors WHERE id = 2")
    with_other(file, tmp_path / "words", "UPDATE chunks_fts_data SET block = x'00' WHERE id > 10")
    with_other(file, tmp_path / "view", "DROP VIEW passages")
    for name, message in (
        ("text", "cannot be read"), ("nope", "no file"), ("nothing", "is empty"),
        ("vector", "has changed"), ("chunk", "has changed"), ("document", "has changed"),
        ("fewer", "lacks vectors"), ("words", "keyword index has changed"),
        ("view", "passages is missing"), ("halfway", "is being migrated to another model"),
        ("newer", "Update minnow"), ("foreign", "not an index of minnow"), (".", "is not a file"),
    ):  # fmt: skip
        vector = json.dumps(FakeModel().encode_queries(["kettle"])[0].tolist())
        done = run(program, tmp_path / name, "fish", "--vector", stdin=vector)
        assert (done.returncode, done.stdout) == (1, ""), name
        assert message in done.stderr
    assert run(program).returncode == 2
    assert run(program, file, "fish", "--bundle", tmp_path).returncode == 1


def with_other(file: Path, copy: Path, statement: str) -> None:
    copy.write_bytes(file.read_bytes())
    store = open_store(copy, writable=True)
    store.database.execute(statement)
    store.close()
