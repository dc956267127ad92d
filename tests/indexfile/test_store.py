"""An index file: made, opened, refused, migrated, written in transactions."""

from __future__ import annotations

import os
import sqlite3
import struct
import threading
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING
from unittest.mock import Mock

import pytest
from fakes.sealed import small_disk
from fakes.searching import (
    DOCUMENTS,
    FINGERPRINT,
    FakeModel,
    contents_of,
    open_fake,
    run_index,
    write_documents,
)

from minnow.errors import IndexFileError, InputError, OutputError
from minnow.indexfile import opening, schema
from minnow.indexfile.checks import is_unicode
from minnow.search import (
    Index,
    IndexSettings,
    VectorEncoding,
    index_paths,
    make_store,
    open_index,
    open_store,
)

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = IndexSettings(32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An index of three documents."""
    run_index(tmp_path / "a.index", write_documents(tmp_path / "docs"))
    return tmp_path / "a.index"


class TestMaking:
    def test_it_says_what_it_is(self, tmp_path: Path) -> None:
        store = make_store(tmp_path / "a.index", FINGERPRINT, SETTINGS)
        assert store.fingerprint == FINGERPRINT
        assert store.settings == SETTINGS
        assert store.check() == []
        store.close()
        head = (tmp_path / "a.index").read_bytes()[:100]
        assert head.startswith(b"SQLite format 3\0")
        assert struct.unpack_from(">I", head, 68) == (schema.APPLICATION_ID,)
        assert struct.unpack_from(">I", head, 60) == (schema.VERSION,)

    def test_one_that_is_there_stays_as_it_is(self, file: Path) -> None:
        before = contents_of(file)
        make_store(file, replace(FINGERPRINT, width=5), SETTINGS).close()
        assert contents_of(file) == before
        store = open_store(file)
        assert store.fingerprint == FINGERPRINT
        store.close()

    def test_nothing_is_left_beside_it(self, file: Path) -> None:
        assert sorted(path.name for path in file.parent.iterdir()) == ["a.index", "docs"]

    def test_an_empty_file_becomes_one(self, tmp_path: Path) -> None:
        """A process that is killed right after it opened a file leaves that."""
        (tmp_path / "a.index").touch()
        with pytest.raises(IndexFileError, match="is empty: indexing was stopped"):
            open_store(tmp_path / "a.index")
        make_store(tmp_path / "a.index", FINGERPRINT, SETTINGS).close()
        open_store(tmp_path / "a.index").close()

    def test_one_that_was_stopped_while_it_was_made(self, tmp_path: Path) -> None:
        database = sqlite3.connect(tmp_path / "a.index")
        database.execute("PRAGMA page_size = 16384")
        database.execute("PRAGMA journal_mode = WAL")
        database.close()
        make_store(tmp_path / "a.index", FINGERPRINT, SETTINGS).close()

    def test_where_there_is_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="is not a folder"):
            make_store(tmp_path / "no/a.index", FINGERPRINT, SETTINGS)

    def test_in_place_of_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match="is a folder"):
            make_store(tmp_path, FINGERPRINT, SETTINGS)

    @pytest.mark.parametrize("name", ["a b?c#d%20.index", "fünf 鱼.index", "it's.index"])
    def test_strange_names(self, tmp_path: Path, name: str) -> None:
        make_store(tmp_path / name, FINGERPRINT, SETTINGS).close()
        open_store(tmp_path / name).close()
        assert [path.name for path in tmp_path.iterdir()] == [name]

    @pytest.mark.parametrize("encoding", list(VectorEncoding))
    def test_its_pages_fit_its_vectors(self, tmp_path: Path, encoding: VectorEncoding) -> None:
        model = replace(FINGERPRINT, width=384)
        store = make_store(tmp_path / "a.index", model, replace(SETTINGS, encoding=encoding))
        assert store.database.execute("PRAGMA page_size").fetchone() == (16384,)
        store.close()


class TestWhatIsNoIndex:
    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"^There is no file .*a\.index"):
            open_store(tmp_path / "a.index")
        assert not (tmp_path / "a.index").exists()

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="is a folder, not an index"):
            open_store(tmp_path)

    @pytest.mark.parametrize("content", [b"hello", b"\x00" * 5000, os.urandom(5000)])
    def test_a_file_of_another_kind(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "a.index"
        path.write_bytes(content)
        for open_ in (open_store, lambda path: make_store(path, FINGERPRINT, SETTINGS)):
            with pytest.raises(IndexFileError, match="is not an index: it is no SQLite file"):
                open_(path)
        assert path.read_bytes() == content

    def test_a_database_of_somebody_else(self, tmp_path: Path) -> None:
        path = tmp_path / "a.index"
        database = sqlite3.connect(path)
        database.execute("CREATE TABLE bookmarks (url TEXT)")
        database.commit()
        database.close()
        content = path.read_bytes()
        for open_ in (open_store, lambda path: make_store(path, FINGERPRINT, SETTINGS)):
            with pytest.raises(IndexFileError, match="a SQLite file, but not an index of minnow"):
                open_(path)
        assert path.read_bytes() == content

    def test_a_loop_of_links_and_a_name_that_is_too_long(self, tmp_path: Path) -> None:
        (tmp_path / "loop").symlink_to("loop")
        with pytest.raises(InputError, match="There is no file"):
            open_store(tmp_path / "loop")
        with pytest.raises(OutputError, match="Cannot use"):
            make_store(tmp_path / "loop", FINGERPRINT, SETTINGS)
        with pytest.raises(InputError, match=r"File name too long|There is no file"):
            open_store(tmp_path / ("x" * 300))
        with pytest.raises(OutputError, match=r"File name too long|Cannot use"):
            make_store(tmp_path / ("x" * 300), FINGERPRINT, SETTINGS)

    @pytest.mark.parametrize(
        "change",
        [
            "UPDATE documents SET metadata = '{'",
            "UPDATE documents SET metadata = '[]'",
            "UPDATE documents SET chunks = -1 WHERE id = 1",
            "UPDATE documents SET chunks = 1000000000000 WHERE id = 1",
            "UPDATE documents SET chunks = 'many' WHERE id = 1",
            "UPDATE chunks SET text = x'ff'",
            "UPDATE chunks SET text = CAST(x'ff' AS TEXT)",
            "UPDATE chunks SET body = 'x'",
            "UPDATE chunks SET headings = 'x'",
            "UPDATE vectors SET vector = 5",
            "UPDATE vectors SET vector = x'007e' || substr(vector, 3)",  # the half NaN
            "UPDATE vectors SET id = 50 WHERE id = 1",
            "UPDATE meta SET value = '{' WHERE name = 'model'",
            "UPDATE meta SET value = 'x' WHERE name = 'changes'",
            "DELETE FROM chunks_fts_data WHERE id = 10",
            "DROP TABLE chunks_fts_config",
            "DROP TABLE chunks",
        ],
    )
    def test_values_that_minnow_never_writes(self, file: Path, change: str) -> None:
        with closing(sqlite3.connect(file, isolation_level=None)) as database:
            (trigger,) = database.execute(
                "SELECT sql FROM sqlite_master WHERE name = 'chunks_removed'"
            ).fetchone()
            database.execute("DROP TRIGGER chunks_removed")
            database.execute(change)
            if change != "DROP TABLE chunks":
                database.execute(trigger)
        with (
            pytest.raises(IndexFileError, match=r"damaged|cannot be read"),
            closing(open_store(file)) as store,
        ):
            Index(store, FakeModel()).search("fish sleep boil train")

    def test_half_of_one(self, file: Path) -> None:
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
        with pytest.raises(IndexFileError, match=r"is damaged .*Restore a copy of it"):
            open_fake(file).search("fish", mode="vector")

    def test_a_damaged_file_raises_only_our_errors(self, file: Path) -> None:
        content = file.read_bytes()
        for start in range(100, len(content) - 700, 4001):
            file.write_bytes(content[:start] + b"\xa5" * 600 + content[start + 600 :])
            try:
                index = open_fake(file)
                try:
                    index.search("fish sleep")
                    index.check()
                finally:
                    index.close()
            except (IndexFileError, OutputError):
                pass


class TestVersions:
    def test_a_newer_one_is_refused(self, file: Path) -> None:
        database = sqlite3.connect(file)
        database.execute(f"PRAGMA user_version = {schema.VERSION + 1}")
        database.close()
        with pytest.raises(IndexFileError, match=r"has version 3; .* reads up to 2. Update minnow"):
            open_store(file)

    @pytest.fixture
    def old(self, file: Path) -> Path:
        database = sqlite3.connect(file)
        database.execute("PRAGMA user_version = 0")
        database.execute("ALTER TABLE documents RENAME COLUMN metadata TO facts")
        database.close()
        return file

    def test_an_older_one_is_migrated(self, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        rename = "ALTER TABLE documents RENAME COLUMN facts TO metadata"
        steps = {0: lambda database: database.execute(rename), 1: lambda _: None}
        monkeypatch.setattr(opening, "MIGRATIONS", steps)
        index = open_fake(old)
        assert index.search("fish")[0].source.endswith("fish.md")
        index.close()
        database = sqlite3.connect(old)
        assert database.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        database.close()

    def test_a_migration_that_fails_changes_nothing(
        self, old: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def half(database: sqlite3.Connection) -> None:
            database.execute("DELETE FROM chunks")
            raise OutputError("no more")

        monkeypatch.setattr(opening, "MIGRATIONS", {0: half})
        with pytest.raises(OutputError, match="no more"):
            open_store(old)
        database = sqlite3.connect(old)
        assert database.execute("PRAGMA user_version").fetchone() == (0,)
        assert database.execute("SELECT count(*) FROM chunks").fetchone() != (0,)
        database.close()

    def test_one_that_is_too_old_is_refused(self, old: Path) -> None:
        with pytest.raises(IndexFileError, match="has version 0, which this minnow cannot migrate"):
            open_store(old)


class TestRebuiltMeanwhile:
    """What is open goes by the model that the file had; it mixes nothing with another's."""

    def test_it_is_not_searched_on(self, file: Path) -> None:
        with open_fake(file) as index:
            assert index.search("fish")
            other = FakeModel(weights_sha256="c" * 64)
            run_index(file, file.parent / "docs", model=other, rebuild=True)
            with pytest.raises(IndexFileError, match=r"was rebuilt meanwhile.*Open it again"):
                index.search("fish")
        with open_fake(file, weights_sha256="c" * 64) as index:
            assert index.search("fish")

    def test_it_is_not_written_on(self, file: Path) -> None:
        model = FakeModel()
        store = open_index(file, model)
        run_index(file, file.parent / "docs", rebuild=True, max_tokens=20)
        before = contents_of(file)
        with pytest.raises(IndexFileError, match="was rebuilt meanwhile"):
            index_paths([file.parent / "docs"], store, model)
        store.close()
        assert contents_of(file) == before

    def test_with_the_same_model_it_is(self, file: Path) -> None:
        with open_fake(file) as index:
            before = index.search("fish")
            run_index(file, file.parent / "docs", rebuild=True)
            assert [hit.text for hit in index.search("fish")] == [hit.text for hit in before]


class TestWriting:
    def test_one_that_is_closed_is_not_damaged(self, file: Path) -> None:
        index = open_fake(file)
        index.close()
        with pytest.raises(InputError, match=r"a\.index is closed\. Open it again"):
            index.search("fish")

    def test_all_or_nothing(self, file: Path) -> None:
        store, before = open_store(file, writable=True), contents_of(file)
        changes = store.changes

        def stopped() -> None:
            with store.writing() as database:
                database.execute("DELETE FROM documents")
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            stopped()
        assert store.changes == changes
        store.close()
        assert contents_of(file) == before

    def test_every_transaction_counts(self, file: Path) -> None:
        store = open_store(file, writable=True)
        changes = store.changes
        store.put_fact("colour", "red")
        with store.writing():
            store.put_fact("colour", "blue")
        assert store.changes == changes + 2
        assert store.fact("colour") == "blue"
        store.close()

    def test_one_that_was_opened_for_reading_is_not_written(self, file: Path) -> None:
        store = open_store(file)
        with pytest.raises(OutputError, match="was opened for reading only"):
            store.put_fact("a", "b")
        store.close()

    def test_a_full_file(self, file: Path) -> None:
        """SQLite's own limit of pages is reported like a full disk."""
        store, before = open_store(file, writable=True), contents_of(file)
        store.database.execute("PRAGMA max_page_count = 1")
        with pytest.raises(OutputError, match="What was written until then is in it"):
            store.put_fact("large", "x" * 1_000_000)
        store.close()
        assert contents_of(file) == before

    def test_a_full_disk(self, tmp_path: Path) -> None:
        with small_disk(tmp_path / "disk"):
            file = tmp_path / "disk/a.index"
            docs = {f"{n}.txt": f"{n} " * 2000 for n in range(60)}
            with pytest.raises(OutputError, match="free some space and run the same command again"):
                run_index(file, write_documents(tmp_path / "docs", docs))
            rows = contents_of(file)
            assert {row[0] for row in rows} < {f"{tmp_path}/docs/{name}" for name in docs}

    def test_on_a_full_disk_it_is_read_and_space_is_asked_for(self, tmp_path: Path) -> None:
        """Not a place to copy the file to: it was said to be read-only."""
        with small_disk(tmp_path / "disk"):
            file = tmp_path / "disk" / "a.index"
            run_index(file, write_documents(tmp_path / "docs"))
            with (tmp_path / "disk" / "fill").open("wb", buffering=0) as fill, suppress(OSError):
                while fill.write(bytes(4096)):
                    pass
            with open_fake(file) as index:
                assert index.search("fish sleep")[0].source.endswith("fish.md")
            with pytest.raises(OutputError, match="free some space"):
                open_store(file, writable=True)

    def test_compacting_waits_for_another_writer(self, file: Path) -> None:
        """It waits as any transaction does, not for half a second."""
        store, other = open_store(file, writable=True), open_store(file, writable=True)
        begun, ends = threading.Event(), threading.Timer(1.0, lambda: None)

        def write() -> None:
            with other.writing():
                begun.set()
                ends.start()
                ends.join()

        writer = threading.Thread(target=write)
        vacuum, database = "PRAGMA incremental_vacuum", store.database
        store.database = Mock(wraps=database)

        def wait_and_vacuum(statement: str) -> object:
            if not begun.is_set():
                assert statement == vacuum
                writer.start()
                assert begun.wait(10)
            return database.executescript(statement)

        store.database.executescript = wait_and_vacuum
        try:
            store.compact()
        finally:
            writer.join()
            store.database = database
            store.close()
            other.close()
        assert begun.is_set()

    def test_a_file_that_lost_a_chunk_is_reported(self, file: Path) -> None:
        store = open_store(file, writable=True)
        with store.writing() as database:
            database.execute("DELETE FROM vectors WHERE id = 1")
            database.execute("UPDATE documents SET chunks = chunks + 1 WHERE id = 2")
        assert [fault.split(" ", 1)[1] for fault in store.check()] == [
            "rows of documents have changed (2)",
            "documents lack chunks",
            "chunks have no vector",
            "count of chunks is wrong",
        ]
        store.close()

    def test_keywords_of_other_texts_are_reported(self, file: Path) -> None:
        store = open_store(file, writable=True)
        with store.writing() as database:
            database.execute("UPDATE chunks SET text = 'something else' WHERE id = 1")
        changed, unfit = store.check()
        assert changed == "1 rows of chunks have changed (1)"
        assert unfit.startswith("the keywords do not fit the texts (")
        store.close()

    def test_a_file_without_its_id_is_damaged(self, file: Path) -> None:
        store = open_store(file, writable=True)
        with store.writing() as database:
            database.execute("DELETE FROM meta WHERE name = 'id'")
        store.close()
        store = open_store(file)
        with pytest.raises(IndexFileError, match="has no id: the file is damaged"):
            store.id  # noqa: B018
        store.close()

    def test_files_that_were_read_whole_are_marked(self, file: Path) -> None:
        with closing(sqlite3.connect(file)) as database:
            rows = database.execute("SELECT length(sha256) FROM files").fetchall()
        assert rows == [(32,)] * len(DOCUMENTS)


def test_a_text_with_a_lone_surrogate_is_not_unicode() -> None:
    assert [is_unicode(text) for text in ("fish 鱼 🐟", "a\ud800b")] == [True, False]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written(file: Path) -> None:
    file.parent.chmod(0o500)
    file.chmod(0o400)
    try:
        index = open_fake(file)
        assert index.search("fish sleep")[0].source.endswith("fish.md")
        index.close()
        with pytest.raises(OutputError, match="Copy it to where it can be written"):
            run_index(file, file.parent / "docs")
    finally:
        file.parent.chmod(0o700)


def test_a_file_without_its_log_is_read_where_nothing_may_be_written(file: Path) -> None:
    """What `open_store` falls back to where SQLite may not make a log."""
    from minnow.indexfile.opening import _connect

    database = _connect(file, "immutable")
    assert database.execute("SELECT count(*) FROM documents").fetchone() == (len(DOCUMENTS),)
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        database.execute("DELETE FROM documents")
    database.close()
