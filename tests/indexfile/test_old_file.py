"""A file of minnow 0.1.0 opens, is searched, recalls, and passes all checks."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from fakes.searching import FakeModel, contents_of, open_fake, run_index, write_documents

from minnow.errors import IndexFileError
from minnow.indexfile import migrations
from minnow.indexfile.opening import make_store
from minnow.memory import Memory, MemoryKind
from minnow.search import Collection, Record, open_index, open_store

OLD = Path(__file__).parents[1] / "data/before/index/notes.index.gz"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return a copy of the old file."""
    file = tmp_path / "notes.index"
    file.write_bytes(gzip.decompress(OLD.read_bytes()))
    return file


def schema_of(file: Path) -> list[tuple[str, str]]:
    """Return the names of tables, indexes, views and triggers, with their SQL."""
    with closing(sqlite3.connect(file)) as database:
        rows = database.execute("SELECT name, coalesce(sql, '') FROM sqlite_master")
        return sorted((name, "".join(sql.split())) for name, sql in rows)


def test_tables_are_those_of_a_new_file(old: Path, tmp_path: Path) -> None:
    store = open_store(old)
    make_store(tmp_path / "new.index", store.fingerprint, store.settings).close()
    store.close()
    Memory(open_store(tmp_path / "new.index", writable=True)).close()
    assert schema_of(old) == schema_of(tmp_path / "new.index")


def test_documents_and_records_are_found(old: Path) -> None:
    with open_fake(old) as index:
        assert index.check() == []
        for mode in ("vector", "keyword", "hybrid"):
            assert index.search("minnows live in schools", 1, mode=mode)[0].source == "docs/fish.md"
        (hit,) = index.search("eels", 1, where="metadata->>'lang' = 'en'")
        assert (hit.source, hit.piece) == ("docs/rows.jsonl#7", "Eels swim far.")
        assert hit.headings == ("Eels",)
    with Collection(old, FakeModel(), "songs") as songs:
        assert [songs.id_of(hit) for hit in songs.search("boat", 9)] == ["1"]
        songs.put([Record("2", "The boat sank.")])
        assert len(songs.search("boat", 9)) == 2


def test_memories_are_recalled(old: Path) -> None:
    with Memory(open_store(old, writable=True), FakeModel()) as memory:
        assert memory.check() == []
        (recalled,) = memory.recall("allergic to peanuts", 1)
        assert recalled.item.text == "Emma is allergic to peanuts."
        insight, first = memory.items(where="id IN (1, 3)")
        assert (first.times, first.wordings) == (2, ("EMMA is allergic to peanuts.",))
        assert (insight.kind, insight.sources) == (MemoryKind.INSIGHT, (1,))
        memory.remember("Emma is allergic to peanuts.")
        assert memory.items(where="id = 1")[0].times == 3


def test_documents_are_brought_up_to_date(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    report = run_index(old, write_documents(Path("docs")))
    assert (report.added, report.changed + report.unchanged, report.removed) == (0, 3, 1)
    assert report.embedded == 0, "chunks keep their vectors, also where readers changed"
    assert contents_of(old)


def test_rebuild_keeps_memories(old: Path) -> None:
    with pytest.raises(IndexFileError, match="would be lost"):
        open_index(old, FakeModel(weights_sha256="c" * 64), rebuild=True)
    open_index(old, FakeModel(), rebuild=True).close()
    with Memory(open_store(old)) as memory:
        assert len(memory) == 3


def add_chunk(old: Path, text: str) -> None:
    """Add a document to a file of version 1, as minnow 0.1.0 did."""
    with closing(sqlite3.connect(old)) as database:
        (vector,) = database.execute("SELECT vector FROM vectors LIMIT 1").fetchone()
        (chunk,) = database.execute(
            "INSERT INTO chunks (document, body, start, text) VALUES (99, 0, 0, ?) RETURNING id",
            (text,),
        ).fetchone()
        database.execute("INSERT INTO vectors VALUES (?, ?)", (chunk, vector))
        database.execute("INSERT INTO files VALUES (99, 'old.txt', x'')")
        values = (99, 99, "", b"", chunk, 1, None)
        database.execute("INSERT INTO documents VALUES (?, ?, ?, ?, ?, ?, ?)", values)
        database.commit()


def test_words_of_old_texts_are_found(old: Path) -> None:
    add_chunk(old, "遥控器上的童锁键按住三秒。Stra\u00dfe")
    with open_fake(old) as index:
        for word in ("童锁", "锁", "STRASSE"):
            assert [hit.source for hit in index.search(word, 5, mode="keyword")] == ["old.txt"]
    store = open_store(old, writable=True)
    assert store.check() == []
    with store.writing() as database:
        database.execute("DELETE FROM files WHERE id = 99")
    assert store.check() == []
    store.close()


def test_a_migration_that_ends_early_leaves_the_old_file(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_chunk(old, "童锁")
    before = schema_of(old)
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "count_rows", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            open_store(old)
    assert schema_of(old) == before
    with open_fake(old) as index:
        assert index.search("童锁", 5, mode="keyword")[0].source == "old.txt"
