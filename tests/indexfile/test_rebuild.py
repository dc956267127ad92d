"""Rebuilds: rows from files are deleted, records of programs stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.programs import answer_of
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


def test_memories_are_known_to_a_program_that_did_not_import_them(file: Path) -> None:
    with Collection(file, FakeModel()) as collection:
        collection.remove(["1"])
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from fakes.searching import FakeModel\n"
        "from minnow.errors import IndexFileError\n"
        "from minnow.search import Index, open_index\n"
        "file = Path(sys.argv[1])\n"
        "for changes in ({'weights_sha256': 'c' * 64}, {}):\n"
        "    try:\n"
        "        open_index(file, FakeModel(**changes), rebuild=True).close()\n"
        "    except IndexFileError as error:\n"
        "        print(error)\n"
        "store = open_index(file, FakeModel())\n"
        "with store.writing() as database:\n"
        "    database.execute('DELETE FROM memory_vectors')\n"
        "print(store.check())\n"
        "store.close()\n"
        "with Index.open(file) as index:\n"
        "    where = 'EXISTS (SELECT 1 FROM memories)'\n"
        "    print(index.search('fish', mode='keyword', where=where))\n"
        "assert 'minnow.memory.memory' not in sys.modules\n"
    )
    refusal, faults, hits = answer_of(script, file).splitlines()
    assert "holds memories, which would be lost" in refusal
    assert faults == "['1 memories have no vector']"
    assert hits == "[]"


def test_rows_of_an_unknown_table_are_not_lost(file: Path) -> None:
    with Collection(file, FakeModel()) as collection:
        collection.remove(["1"])
    with open_memory(file) as memory:
        memory.forget(1)
        with memory.store.writing() as database:
            database.execute("CREATE TABLE others AS SELECT 1 AS id")
    with pytest.raises(IndexFileError, match="holds rows in the table 'others', which would"):
        open_index(file, FakeModel(**OTHER), rebuild=True)


def test_facts_of_the_old_model_are_dropped(file: Path) -> None:
    store = open_index(file, FakeModel())
    identity = store.id
    store.put_fact("memory_background", "0.5")
    store.put_fact("program", "its own")
    store.close()
    store = open_index(file, FakeModel(), rebuild=True)
    assert (store.id, store.fact("memory_background")) == (identity, None)
    assert store.fact("program") == "its own"
    store.close()
