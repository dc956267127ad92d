"""Begun anew: what came from files goes, what programs put in stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.remembering import open_memory
from fakes.searching import FakeModel, contents_of, run_index, write_documents

from minnow.errors import IndexFileError
from minnow.search import Collection, Record, VectorEncoding, open_index

if TYPE_CHECKING:
    from pathlib import Path

OTHER = {"weights_sha256": "c" * 64}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """An index of files, with a record and a memory."""
    run_index(tmp_path / "a.index", write_documents(tmp_path / "docs"))
    with Collection(tmp_path / "a.index", FakeModel()) as collection:
        collection.put([Record("1", "eels swim")])
    with open_memory(tmp_path / "a.index") as memory:
        memory.remember("fish sleep")
    return tmp_path / "a.index"


def test_what_programs_put_in_stays(file: Path) -> None:
    before = contents_of(file)
    open_index(file, FakeModel(), max_tokens=32, rebuild=True).close()
    assert contents_of(file) == [row for row in before if row[0] == "collection://records"]
    with open_memory(file) as memory:
        assert [item.text for item in memory.items()] == ["fish sleep"]
    with Collection(file, FakeModel()) as collection:
        assert [hit.text for hit in collection.search("eels", 9)] == ["eels swim"]


def test_what_would_make_it_useless_is_refused(file: Path) -> None:
    before = contents_of(file)
    with pytest.raises(IndexFileError, match=r"holds records, which would be lost.*another model"):
        open_index(file, FakeModel(**OTHER), rebuild=True)
    with pytest.raises(IndexFileError, match=r"float16 vectors.*Give `encoding=float16`"):
        open_index(file, FakeModel(), encoding=VectorEncoding.INT8, rebuild=True)
    assert contents_of(file) == before
    with Collection(file, FakeModel()) as collection:
        collection.remove(["1"])
    with pytest.raises(IndexFileError, match="holds memories, which would be lost"):
        open_index(file, FakeModel(**OTHER), rebuild=True)


def test_without_any_all_may_be_other(file: Path) -> None:
    with Collection(file, FakeModel()) as collection:
        collection.remove(["1"])
    with open_memory(file) as memory:
        memory.forget(1)
    other = FakeModel(**OTHER)
    store = open_index(file, other, encoding=VectorEncoding.INT8, rebuild=True)
    assert (store.fingerprint, store.settings.encoding) == (other.fingerprint, VectorEncoding.INT8)
    assert store.fact("memory_background") is None  # it was the other model's
    store.close()
    assert contents_of(file) == []
