"""Long documents keep their vectors across changes and runs, also while another run goes on."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from fakes.searching import FakeModel, contents_of, run_index, write_documents

from minnow.chunks import Chunk, Document, Splitter
from minnow.errors import OutputError
from minnow.search import indexing as indexing_module
from minnow.search import open_store, staging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from minnow.indexfile.encodings import Floats

LINES = [" ".join(f"w{line}x{word}" for word in range(40)) for line in range(30)]
TEXT = "\n\n".join(LINES)


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexing_module, "_BATCH", 4)
    monkeypatch.setattr(indexing_module, "_QUICK", 0.0)
    monkeypatch.setattr(indexing_module, "_LONG", 10)


class MeanwhileModel(FakeModel):
    """Calls a function before some batch, as if another process ran then."""

    def __init__(self, meanwhile: Callable[[], object], *, at: int = 3) -> None:
        super().__init__()
        self.meanwhile, self.left = meanwhile, at

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        self.left -= 1
        if not self.left:
            self.meanwhile()
        return super().encode_documents(texts)


def is_staged(file: Path) -> bool:
    store = open_store(file)
    with store.reading() as database:
        names = {row[0] for row in database.execute("SELECT name FROM sqlite_master")}
    store.close()
    return "staged" in names


def test_what_did_not_change_in_a_long_document_is_not_embedded_again(tmp_path: Path) -> None:
    file, folder = tmp_path / "a.index", tmp_path / "docs"
    first = run_index(file, write_documents(folder, {"log.txt": TEXT}))
    assert first.embedded == 30
    after = run_index(file, write_documents(folder, {"log.txt": TEXT + "\n\nthe newest line"}))
    assert (after.changed, after.embedded, after.reused) == (
        1,
        1,
        29,
    )  # the last chunk has the line too
    whole = run_index(tmp_path / "b.index", folder)
    assert whole.embedded == 30
    assert contents_of(file) == contents_of(tmp_path / "b.index")
    assert not is_staged(file)


def test_a_run_that_ends_meanwhile_leaves_what_another_has_embedded(tmp_path: Path) -> None:
    file = tmp_path / "a.index"
    other = write_documents(tmp_path / "other", {"short.txt": "fish"})
    model = MeanwhileModel(lambda: run_index(file, other))
    report = run_index(file, write_documents(tmp_path / "docs", {"log.txt": TEXT}), model=model)
    assert (report.added, report.embedded) == (1, 30)
    assert len(contents_of(file)) == 31
    assert not is_staged(file)


def test_a_run_that_indexes_the_same_document_meanwhile_is_made_use_of(tmp_path: Path) -> None:
    file, folder = tmp_path / "a.index", write_documents(tmp_path / "docs", {"log.txt": TEXT})
    model = MeanwhileModel(lambda: run_index(file, folder))
    report = run_index(file, folder, model=model)
    assert report.skipped == []
    assert len(contents_of(file)) == 30
    assert not is_staged(file)


def test_another_process_can_write_while_a_long_document_is_divided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, chunks = tmp_path / "a.index", 0

    class WatchedSplitter(Splitter):
        def stream(self, document: Document) -> Iterator[Chunk]:
            nonlocal chunks
            for chunk in super().stream(document):
                other = sqlite3.connect(file, timeout=0, isolation_level=None)
                other.execute("BEGIN IMMEDIATE")
                other.close()
                chunks += 1
                yield chunk

    monkeypatch.setattr(indexing_module, "Splitter", WatchedSplitter)
    run_index(file, write_documents(tmp_path / "docs", {"log.txt": TEXT}))
    assert len(contents_of(file)) == 30 <= chunks


def test_vectors_that_vanish_again_and_again_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not a loop without end."""
    monkeypatch.setattr(staging.Staging, "save", lambda *_: None)
    with pytest.raises(OutputError, match="dropped by other runs, 3 times"):
        run_index(tmp_path / "a.index", write_documents(tmp_path / "docs", {"log.txt": TEXT}))


@pytest.mark.parametrize("later", [3601.0, -1.0])
def test_what_a_killed_run_left_goes_with_a_later_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: float
) -> None:
    """Also where the clock was set back meanwhile."""

    def stop() -> None:
        raise KeyboardInterrupt

    file, folder = tmp_path / "a.index", write_documents(tmp_path / "docs", {"log.txt": TEXT})
    monkeypatch.setattr("minnow.search.staging.time.time", lambda: 1e9)
    with pytest.raises(KeyboardInterrupt):
        run_index(file, folder, model=MeanwhileModel(stop))
    assert is_staged(file)
    write_documents(folder, {"log.txt": "short now"})
    run_index(file, folder)
    assert is_staged(file)
    monkeypatch.setattr("minnow.search.staging.time.time", lambda: 1e9 + later)
    run_index(file, folder)
    assert not is_staged(file)


def test_a_file_that_came_and_was_indexed_meanwhile_stays(tmp_path: Path) -> None:
    file, folder = tmp_path / "a.index", write_documents(tmp_path / "docs", {"log.txt": TEXT})
    run_index(file, folder)
    write_documents(folder, {"log.txt": TEXT + "\n\nmore"})

    def meanwhile() -> None:
        (folder / "new.txt").write_text("the newest fish")
        run_index(file, folder / "new.txt")

    report = run_index(file, folder, model=MeanwhileModel(meanwhile, at=1))
    assert report.removed == 0
    assert {Path(row[0]).name for row in contents_of(file)} == {"log.txt", "new.txt"}
