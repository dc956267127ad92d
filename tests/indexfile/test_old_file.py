"""A file of minnow 0.1.0 opens, is searched, recalls, and passes all checks."""

from __future__ import annotations

import gzip
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from fakes.searching import FakeModel, contents_of, open_fake, run_index, write_documents

from minnow.errors import IndexFileError
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
