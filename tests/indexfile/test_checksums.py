"""Every row of an index has a checksum: what changes by itself is named, and repaired if it can."""

from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import zlib
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from fakes.searching import FakeModel, open_fake, run_index, write_documents

from minnow import resources
from minnow.errors import IndexFileError, InputError, MinnowError
from minnow.indexfile.checksums import row_checksum, vector_checksum
from minnow.indexfile.encodings import decode_rows, encode_rows
from minnow.memory import Memory
from minnow.resources import FreeMemory
from minnow.search import Collection, Index, Record, VectorEncoding, make_store, open_store

WORDS = {
    "fish.md": "# Fish\n\nFish sleep with open eyes.\n\n## Minnows\n\nMinnows live in schools.\n",
    "rows.jsonl": '{"id": "7", "text": "Eels swim far.", "lang": "en"}\n',
    "notes.txt": "The night train leaves from platform nine.\n",
}


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """An index of three files, with a record and memories."""
    folder = tmp_path_factory.mktemp("made")
    file = folder / "a.index"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run_index(file, write_documents(Path("docs"), WORDS))
    with Collection(file, FakeModel(), "songs") as songs:
        songs.put([Record("1", "Row the boat.", {"by": "Emma"})])
    with Memory(open_store(file, writable=True), FakeModel()) as memory:
        first = memory.remember("Emma is allergic to peanuts.", tags=["food"])
        memory.remember("Emma eats no nuts.", sources=[first.id])
    store = open_store(file, writable=True)
    store.compact()
    store.close()
    return file.read_bytes()


@pytest.fixture
def file(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, in the current folder with its documents."""
    monkeypatch.chdir(tmp_path)
    write_documents(Path("docs"), WORDS)
    (tmp_path / "a.index").write_bytes(content)
    return tmp_path / "a.index"


def answers(file: Path) -> list[Any]:
    """Return what searches in a file and its memories answer, and what a check finds."""
    found: list[Any] = []
    with open_fake(file) as index:
        for mode in ("vector", "keyword", "hybrid"):
            found.append([hit.facts() for hit in index.search("fish swim the train", 9, mode=mode)])
        found.append([hit.facts() for hit in index.select("metadata->>'lang' = 'en'")])
        found.append([hit.facts() for hit in index.select("text LIKE '%open eyes%'")])
    with Memory(open_store(file), FakeModel()) as memory:
        recalled = memory.recall("allergic to nuts", 9, touch=False)
        found.append([(one.similarity, one.item.facts()) for one in recalled])
        found.append([item.facts() for item in memory.items(where="kind = 'insight'")])
    return found


def change(file: Path, statement: str) -> None:
    """Change a file as a damaged disk would: without its triggers and checksums."""
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        triggers = database.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall()
        for name, _ in triggers:
            database.execute(f"DROP TRIGGER {name}")
        database.execute(statement)
        for _, sql in triggers:
            database.execute(sql)


def test_formulas_are_those_of_the_page() -> None:
    """docs/index-format.md describes them; the bytes are written out here."""
    assert vector_checksum(258, b"ab") == zlib.crc32(b"\x02\x01\0\0\0\0\0\0ab")
    row = (7, "fisch", b"\x01", None, 0.5, 300)
    packed = b"\x96\x07\xa5fisch\xc4\x01\x01\xc0\xcb\x3f\xe0\0\0\0\0\0\0\xcd\x01\x2c"
    assert msgspec.msgpack.encode(row) == packed
    assert row_checksum(row) == zlib.crc32(packed)


def test_a_sound_file_has_no_faults(file: Path) -> None:
    store = open_store(file, writable=True)
    assert store.check() == []
    store.close()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE vectors SET vector = x'3c' || substr(vector, 2) WHERE id = 1",
        "UPDATE vectors SET checksum = NULL WHERE id = 2",
        "UPDATE vectors SET checksum = checksum + 1 WHERE id = 2",
        "UPDATE vectors SET vector = (SELECT vector FROM vectors WHERE id = 3) WHERE id = 1",
        "UPDATE chunks SET text = replace(text, 'open', 'shut') WHERE id = 1",
        "UPDATE chunks SET text = replace(text, 'train', 'brain')",
        "UPDATE chunks SET start = start + 1",
        "UPDATE documents SET metadata = replace(metadata, 'en', 'de')",
        "UPDATE documents SET metadata = replace(metadata, 'lang', 'land')",
        "UPDATE documents SET chunks = 9e999",
        "UPDATE documents SET chunks = 4611686018427387904, first_chunk = 4611686018427387904",
        "DELETE FROM documents WHERE id = 1",
        "UPDATE files SET path = 'docs/other.md' WHERE id = 1",
        "DELETE FROM files WHERE id = 2",
        "UPDATE memories SET importance = 9e999",
        "UPDATE memories SET text = 'Emma is allergic to walnuts.' WHERE id = 1",
        "UPDATE memories SET tags = '[\"x\"]'",
        "UPDATE memories SET tags = replace(printf('%.9000c', '['), ' ', '')",
        "DELETE FROM memories WHERE id = 2",
        "DELETE FROM memory_links",
        "UPDATE memory_vectors SET vector = (SELECT vector FROM memory_vectors WHERE id = 2)",
        "UPDATE meta SET value = replace(value, '\"width\":24', '\"width\":25')",
        "UPDATE meta SET value = replace(value, 'float16', 'int8')",
        "UPDATE sums SET rows = rows + 1 WHERE name = 'documents'",
        "UPDATE chunks_fts_data SET block = substr(block, 1, length(block) - 1) || x'01' "
        "WHERE id > 10",
    ],
)
def test_a_change_is_named_by_answers_and_by_check(file: Path, statement: str) -> None:
    before = file.read_bytes()
    change(file, statement)
    with pytest.raises(IndexFileError, match=r"damaged|cannot be read") as caught:
        answers(file)
    assert "\n" not in str(caught.value)
    try:
        store = open_store(file)
        faults = store.check()
        store.close()
    except IndexFileError as error:
        faults = [str(error)]
    assert faults
    assert file.read_bytes() != before


@pytest.mark.parametrize(
    ("statement", "repaired"),
    [
        ("UPDATE vectors SET vector = x'3c' || substr(vector, 2) WHERE id = 1", 1),
        ("UPDATE vectors SET vector = x''", 5),
        ("UPDATE vectors SET vector = 1.5, checksum = -1 WHERE id = 1", 1),
        ("DELETE FROM vectors WHERE id > 1", 4),
        ("INSERT INTO vectors SELECT 99, vector, checksum FROM vectors WHERE id = 1", 0),
        ("UPDATE memory_vectors SET vector = zeroblob(48)", 2),
        ("UPDATE chunks_fts_data SET block = x'00' WHERE id > 10", 0),
        ("UPDATE chunks SET text = replace(text, 'open', 'shut') WHERE id = 1", 0),
        ("UPDATE chunks SET text = CAST(x'ff' AS TEXT) WHERE id = 1", 0),
        ("DELETE FROM chunks WHERE id = 1", 0),
    ],
)
def test_the_next_run_repairs_what_it_can(file: Path, statement: str, repaired: int) -> None:
    docs = Path("docs")
    before = answers(file)
    change(file, statement)
    report = run_index(file, docs)
    assert report.repaired == repaired
    assert [without_ids(part) for part in answers(file)] == [without_ids(part) for part in before]
    store = open_store(file, writable=True)
    assert store.check() == []
    store.close()


def without_ids(part: list[Any]) -> list[Any]:
    """Drop the ids of chunks, which change when a document is read again."""
    return [
        {key: value for key, value in row.items() if key != "id"} if isinstance(row, dict) else row
        for row in part
    ]


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE documents SET metadata = '{}' WHERE id = 1",
        "UPDATE files SET path = 'x' WHERE id = 1",
        "UPDATE memories SET text = 'Emma.'",
        "UPDATE meta SET value = '0.3' WHERE name = 'memory_background'",
        "UPDATE chunks SET text = 'Sink the boat.' WHERE text LIKE '%boat%'",
    ],
)
def test_a_run_does_not_succeed_where_nothing_can_be_made_again(file: Path, statement: str) -> None:
    change(file, statement)
    with pytest.raises(IndexFileError, match="is damaged") as caught:
        run_index(file, Path("docs"))
    assert "\n" not in str(caught.value)


def test_damaged_texts_elsewhere_are_named(file: Path) -> None:
    change(file, "UPDATE chunks SET text = 'x' WHERE id = 1")
    with pytest.raises(IndexFileError, match=r"texts of .*fish\.md have changed"):
        run_index(file, Path("docs/notes.txt"))
    Path("docs/fish.md").unlink()
    run_index(file, Path("docs"))
    store = open_store(file, writable=True)
    assert store.check() == []
    store.close()


def test_a_given_vector_is_not_replaced_by_the_models(tmp_path: Path) -> None:
    file = tmp_path / "a.index"
    with Collection(file, FakeModel()) as records:
        records.put([Record("own", "Row.", vector=np.ones(24, np.float32))])
    change(file, "UPDATE vectors SET vector = x''")
    with pytest.raises(IndexFileError, match=r"the vector given for the record .*#own has changed"):
        run_index(file, write_documents(tmp_path / "docs"))


def test_a_damaged_file_is_rebuilt(file: Path) -> None:
    for statement in (
        "UPDATE chunks SET text = 'x' WHERE id = 1",
        "UPDATE documents SET metadata = '{}' WHERE id = 1",
        "UPDATE chunks_fts_data SET block = x'00' WHERE id > 10",
    ):
        change(file, statement)
    with Collection(file, FakeModel(), "songs") as songs:
        songs.remove(["1"])
    run_index(file, Path("docs"), rebuild=True)
    store = open_store(file, writable=True)
    assert store.check() == []
    store.close()


def test_an_index_of_a_table_that_lost_a_row_is_made_again(file: Path) -> None:
    """One byte of a key: SQLite's own check finds it, and searches do not use that index."""
    before = answers(file)
    with closing(sqlite3.connect(file)) as database:
        (page,) = database.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'documents_by_file'"
        ).fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    content = bytearray(file.read_bytes())
    at = content.index(b"7", (page - 1) * size + 100)  # the name of a line of rows.jsonl
    assert at < page * size
    content[at] = ord("8")
    file.write_bytes(bytes(content))
    store = open_store(file)
    assert any("missing from index documents_by_file" in fault for fault in store.check())
    store.close()
    report = run_index(file, Path("docs"))
    assert (report.added, report.changed, report.unchanged) == (0, 0, 3)
    store = open_store(file, writable=True)
    assert store.check() == []
    store.close()
    assert answers(file) == before


@pytest.mark.parametrize("k", [5.5, float("nan"), 10**30, 0, -1, "3"])
def test_numbers_of_hits_that_are_none(file: Path, k: Any) -> None:
    with open_fake(file) as index, pytest.raises(InputError, match="k should be from 1 to"):
        index.search("fish", k)
    with (
        Memory(open_store(file), FakeModel()) as memory,
        pytest.raises(InputError, match=r"k is .*; it should be from 1 to"),
    ):
        memory.recall("fish", k)


@pytest.mark.parametrize("encoding", list(VectorEncoding))
def test_lengths_of_unit_vectors(encoding: VectorEncoding) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(2000, 384)).astype(np.float32)
    rows[:500] *= generator.random((500, 384)) < 0.01  # few numbers that are not 0
    rows = rows[np.abs(rows).sum(axis=1) > 0]
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    blobs = encode_rows(np.concatenate([rows, np.zeros((1, 384), np.float32)]), encoding)
    assert len(decode_rows(blobs, 384, encoding, unit=True)) == len(blobs)
    wrong = bytearray(blobs[-2])
    wrong[3 if encoding is VectorEncoding.INT8 else 1] ^= 0x40  # the exponent of a number or scale
    with pytest.raises(IndexFileError, match=r"has a length of .* instead of 1|not finite"):
        decode_rows([bytes(wrong)], 384, encoding, unit=True)
    assert len(decode_rows([bytes(wrong)], 384, encoding)) == 1


def test_flipped_bits_anywhere_give_right_answers_or_a_named_error(file: Path) -> None:
    """A seeded bit of each twenty-fourth of the file; benchmarks/faults.py plants thousands."""
    content, right = file.read_bytes(), answers(file)
    generator = np.random.default_rng(1)
    ends = np.linspace(0, len(content) * 8, 25).astype(int)
    for at in generator.integers(ends[:-1], ends[1:]).tolist():
        flipped = bytearray(content)
        flipped[at // 8] ^= 1 << at % 8
        file.write_bytes(bytes(flipped))
        with suppress(MinnowError):
            assert answers(file) == right, f"bit {at}"
        for log in file.parent.glob("a.index-*"):
            log.unlink()


def test_a_text_that_cannot_be_decoded_is_named_in_one_line(file: Path) -> None:
    change(file, "UPDATE chunks SET text = CAST(text || x'0a0aff' AS TEXT)")
    with open_fake(file) as index, pytest.raises(IndexFileError, match="is damaged") as caught:
        index.search("fish", mode="keyword")
    assert "\n" not in str(caught.value)


class TestPlaces:
    @pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
    @pytest.mark.parametrize("kind", ["pipe", "socket", "folder"])
    def test_what_is_no_file_is_refused(
        self, file: Path, suffix: str, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if (kind, suffix) == ("folder", ""):
            pytest.skip("another message")
        place = file.with_name(file.name + suffix)
        place.unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(place)
        elif kind == "folder":
            place.mkdir()
        else:
            monkeypatch.chdir(place.parent)  # the path of a socket is short
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(place.name)
        model = FakeModel().fingerprint
        for open_ in (open_store, lambda path: make_store(path, model, None)):  # type: ignore[arg-type]
            with pytest.raises(InputError, match="is not a file, but"):
                open_(file)

    def test_a_pipe_among_documents_is_skipped(self, file: Path) -> None:
        os.mkfifo(file.parent / "docs/pipe.md")
        report = run_index(file, Path("docs"))
        assert report.added == report.changed == 0

    def test_a_replaced_file_is_not_read_or_written_on(self, file: Path, tmp_path: Path) -> None:
        memory = Memory(open_store(file, writable=True), FakeModel())
        index = open_fake(file)
        run_index(tmp_path / "b.index", write_documents(tmp_path / "more"))
        (tmp_path / "b.index").replace(file)
        with pytest.raises(IndexFileError, match="was replaced or removed while it was open"):
            memory.remember("This would be lost.")
        with pytest.raises(IndexFileError, match="was replaced or removed"):
            index.search("fish")
        file.unlink()
        with pytest.raises(IndexFileError, match="was replaced or removed"):
            len(memory)
        index.close()
        memory.close()

    def test_a_request_to_stop_ends_waiting(self, file: Path) -> None:
        """SQLite alone would wait for a minute, in C."""
        with closing(sqlite3.connect(file, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            program = (
                "from minnow.signals import stop_on_request; stop_on_request()\n"
                "import sys; from pathlib import Path; from minnow.search import open_store\n"
                "store = open_store(Path(sys.argv[1]), writable=True); print('open', flush=True)\n"
                "with store.writing(): pass\n"
            )
            child = subprocess.Popen(
                [sys.executable, "-c", program, str(file)],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            )  # fmt: skip
            assert child.stdout is not None
            child.stdout.readline()
            time.sleep(0.2)
            child.send_signal(signal.SIGTERM)
            _, errors = child.communicate(timeout=20)
        assert b"Stopped" in errors


def test_vectors_that_do_not_fit_into_memory_are_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "UNCHECKED", 0)
    monkeypatch.setattr(resources, "free_memory", lambda: FreeMemory(600, "this machine"))
    with open_fake(file) as index:
        assert index.search("fish", mode="keyword")
        with pytest.raises(IndexFileError, match="Loading 5 vectors of 24 numbers would take"):
            index.search("fish", mode="vector")


def test_a_file_that_does_not_fit_into_memory_is_skipped(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (file.parent / "docs/large.txt").write_text("words " * 5000)
    monkeypatch.setattr(resources, "UNCHECKED", 0)
    monkeypatch.setattr(resources, "free_memory", lambda: FreeMemory(300_000, "this machine"))
    report = run_index(file, Path("docs"))
    (line,) = report.skipped
    assert "large.txt: Reading its 0 MB would take about 0 MB of memory" in line


def test_index_of_another_program_is_named(tmp_path: Path) -> None:
    """A view that answers otherwise is damage too."""
    run_index(tmp_path / "a.index", write_documents(tmp_path / "docs"))
    with closing(sqlite3.connect(tmp_path / "a.index")) as database:
        database.execute("DROP VIEW sources")
        database.execute("CREATE VIEW sources AS SELECT * FROM documents")
    with pytest.raises(IndexFileError, match="sources is missing, or is not as minnow makes it"):
        Index.open(tmp_path / "a.index")
