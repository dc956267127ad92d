"""Records of programs in an index: added, replaced, removed, and untouched by indexing."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.searching import FakeModel, contents_of, run_index, write_documents

from minnow.errors import IndexFileError, InputError, OutputError
from minnow.indexfile import codes, schema
from minnow.search import (
    Collection,
    Record,
    open_index,
    put_records,
    remove_paths,
    remove_records,
)
from minnow.vectors import normalize

FISH = Record("fish", "Fish sleep with open eyes.", {"topic": "animals", "year": 2020})
KETTLE = Record("kettle", "Boil vinegar to descale a kettle.", {"topic": "home", "tags": ["a"]})
TRAIN = Record("train", "The night train leaves from platform nine.")
RECORDS = [FISH, KETTLE, TRAIN]


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "a.index"


def ids(collection: Collection, query: str, **options: Any) -> list[str]:
    return [collection.id_of(hit) for hit in collection.search(query, 9, **options)]


class TestPutting:
    def test_they_are_found_and_come_back_as_they_were(self, file: Path) -> None:
        with Collection(file, FakeModel()) as collection:
            assert collection.put(RECORDS) == 3
            for mode in ("vector", "keyword", "hybrid"):
                hit = collection.search("descale a kettle", 1, mode=mode)[0]
                assert (collection.id_of(hit), hit.text) == ("kettle", KETTLE.text)
                assert hit.metadata == KETTLE.metadata
                assert (hit.headings, hit.number, hit.start) == ((), 1, 0)
            assert hit.source == "collection://records#kettle"
        assert len(contents_of(file)) == 3

    def test_the_vector_is_the_models(self, file: Path) -> None:
        model = FakeModel()
        with Collection(file, model) as collection:
            collection.put(RECORDS)
            (hit,) = collection.get(["fish"])
            expected = model.encode_documents([FISH.text])
            np.testing.assert_allclose(collection.index.vectors([hit.id]), expected, atol=1e-3)

    def test_the_same_id_replaces(self, file: Path) -> None:
        with Collection(file, FakeModel()) as collection:
            collection.put(RECORDS)
            collection.put([Record("fish", "Whales sing.", {"new": True})])
            (hit,) = collection.get(["fish"])
            assert (hit.text, hit.metadata) == ("Whales sing.", {"new": True})
            assert ids(collection, "open eyes", mode="keyword") == []
            assert len(collection.index) == 3
        contents_of(file)

    def test_the_same_text_keeps_its_vector(self, file: Path) -> None:
        model = FakeModel()
        with Collection(file, model) as collection:
            collection.put(RECORDS)
            assert collection.put([Record("fish", FISH.text, {"other": 1}), TRAIN]) == 0
            assert len(model.embedded) == 3
            assert collection.get(["fish"])[0].metadata == {"other": 1}

    def test_a_given_vector_is_not_taken_for_the_models(self, file: Path) -> None:
        model = FakeModel()
        with Collection(file, model) as collection:
            collection.put([Record("fish", FISH.text, vector=[1.0] * 24)])
            assert collection.put([FISH]) == 1

    def test_given_vectors_are_scaled(self, file: Path) -> None:
        vector = np.random.default_rng(0).normal(size=24).astype(np.float32)
        with Collection(file, FakeModel()) as collection:
            collection.put([Record("a", "x", vector=5 * vector), Record("b", "y", vector=-vector)])
            hits = collection.search_vector(vector, 2)
            assert [collection.id_of(hit) for hit in hits] == ["a", "b"]
            np.testing.assert_allclose([hit.score for hit in hits], [1, -1], atol=1e-3)
            stored = collection.index.vectors([hits[0].id])
            np.testing.assert_allclose(stored[0], normalize(vector), atol=1e-3)

    def test_the_working_folder_may_change(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with Collection(file.name, FakeModel()) as collection:
            (file.parent / "elsewhere").mkdir()
            monkeypatch.chdir(file.parent / "elsewhere")
            collection.put([FISH])
            assert len(collection.get(["fish"])) == 1
        assert list(Path().iterdir()) == []

    def test_an_empty_text_and_none_at_all(self, file: Path) -> None:
        with Collection(file, FakeModel()) as collection:
            assert collection.put([]) == 0
            collection.put([Record("empty", "")])
            assert collection.get(["empty"])[0].text == ""

    def test_a_text_has_the_whole_room(self, file: Path) -> None:
        model = FakeModel()
        with Collection(file, model) as collection:
            collection.put([Record("full", "word " * (model.room - 2))])
            assert len(collection.index) == 1


BAD = [
    (
        Record("long", "word " * 63),
        r"'long' \('word .*word'...\) has 65 tokens, and made/words .*64. S",
    ),
    (Record("", "x"), "An id should be"),
    (Record("a\0", "x"), "An id should be"),
    (Record(7, "x"), "An id should be"),  # type: ignore[arg-type]
    (Record("fish", "x"), "Two records have the id 'fish'"),
    (Record("a", None), "'a' is NoneType, not a string"),  # type: ignore[arg-type]
    (Record("a", 5, label="texts[2], source 'b.pdf',"), "of texts.2., source 'b.pdf', is int"),  # type: ignore[arg-type]
    (Record("a", "x", None), "is NoneType, not a mapping"),  # type: ignore[arg-type]
    (Record("a", "x", {"when": object()}), "'when' is no JSON .*object is not JSON"),
    (Record("a", "x", {"n": float("nan")}), "'n' is no JSON"),
    (Record("a", "x", {"n": np.float32(1)}), "'n' is no JSON"),
    (Record("a", "x", {"pair": (1, 2)}), "'pair' would be read back as something else"),
    (Record("a", "x", {3: "x"}), "3 would be read back as something else"),  # type: ignore[dict-item]
    (Record("a", "x", vector=[1.0] * 23), "'a' should be 24 finite numbers, as made/words"),
    (Record("a", "x", vector=[float("inf")] * 24), "24 finite numbers"),
    (Record("a", "x", vector=[1e300] * 24), "24 finite numbers"),
    (Record("a", "x", vector=["x"] * 24), "24 finite numbers"),  # type: ignore[list-item]
]


def test_characters_that_no_file_can_hold_cost_no_record(file: Path) -> None:
    """PDF readers give U+0000 for ligatures, and halves of pairs for mathematical letters."""
    model = FakeModel()
    bad = Record("page", "The o\0ce \ud835", {"ti\0tle": ["a\ud835", "b\0"], "page": 2})
    with Collection(file, model) as collection:
        collection.put([FISH, bad])
        (hit,) = collection.get(["page"])
        assert hit.text == "The oce \ufffd"
        assert hit.metadata == {"title": ["a\ufffd", "b"], "page": 2}
        assert collection.put([bad]) == 0
    assert model.embedded[:2] == [FISH.text, "The oce \ufffd"]


class TestWhatIsNotTaken:
    @pytest.mark.parametrize(("record", "message"), BAD)
    def test_nothing_is_written(self, file: Path, record: Record, message: str) -> None:
        model = FakeModel()
        with Collection(file, model) as collection:
            collection.put([TRAIN])
            before = contents_of(file)
            with pytest.raises(InputError, match=message):
                collection.put([FISH, KETTLE, record])
            assert contents_of(file) == before
            assert model.embedded == [TRAIN.text]

    @pytest.mark.parametrize("depth", [1100, 5000])
    def test_metadata_too_deep_for_sqlite(self, file: Path, depth: int) -> None:
        value: object = 1
        for _ in range(depth):
            value = [value]
        with Collection(file, FakeModel()) as collection:
            with pytest.raises(InputError, match="'a' is nested too deep"):
                collection.put([Record("deep", "x", {"a": value})])
            collection.put([FISH])
            assert ids(collection, "fish", where="metadata->>'topic' = 'animals'") == ["fish"]

    @pytest.mark.parametrize("name", ["", "a#b", "a\0", 3])
    def test_names_of_collections(self, file: Path, name: Any) -> None:
        with pytest.raises(InputError, match="collection cannot be called"):
            Collection(file, FakeModel(), name)
        assert not file.exists()

    def test_a_model_that_fails_midway(self, file: Path) -> None:
        class Failing(FakeModel):
            def encode_documents(self, texts: Any) -> Any:
                raise InputError("no")

        with Collection(file, FakeModel()) as collection:
            collection.put([FISH])
            before = contents_of(file)
            with pytest.raises(InputError), Collection(file, Failing()) as failing:
                failing.put([KETTLE])
            assert contents_of(file) == before

    def test_another_model(self, file: Path) -> None:
        Collection(file, FakeModel()).close()
        with pytest.raises(IndexFileError, match=r"made with another model.*the pooling"):
            Collection(file, FakeModel(pooling="cls"))

    def test_a_file_of_something_else(self, file: Path, tmp_path: Path) -> None:
        file.write_bytes(b"something else" * 99)
        with pytest.raises(IndexFileError, match="no SQLite file"):
            Collection(file, FakeModel())
        with pytest.raises(OutputError, match="not a folder"):
            Collection(tmp_path / "no/a.index", FakeModel())


class TestRemoving:
    @pytest.fixture
    def collection(self, file: Path) -> Any:
        with Collection(file, FakeModel()) as collection:
            collection.put(RECORDS)
            yield collection

    def left(self, collection: Collection) -> set[str]:
        return {collection.id_of(hit) for hit in collection.select()}

    def test_by_id(self, collection: Collection) -> None:
        assert collection.remove(["fish", "unknown", "fish"]) == 1
        assert self.left(collection) == {"kettle", "train"}
        assert collection.remove([]) == 0

    def test_by_condition(self, collection: Collection, file: Path) -> None:
        assert collection.remove(where="metadata->>'topic' = ?", params=["home"]) == 1
        assert self.left(collection) == {"fish", "train"}
        assert collection.remove(["train"], where="metadata->>'topic' = 'animals'") == 0
        contents_of(file)

    def test_all(self, collection: Collection) -> None:
        assert collection.remove() == 3
        assert collection.select() == []

    def test_one_string_is_no_list(self, collection: Collection) -> None:
        with pytest.raises(InputError, match="one string"):
            collection.remove("fish")

    @pytest.mark.parametrize(
        ("where", "reason"),
        [
            ("name = 'fish", "a quotation mark has no partner"),
            ('name = "fish', "a quotation mark has no partner"),
            ("name =", "it ends too early"),
            ("(name = 'fish'", "it ends too early"),
        ],
    )
    def test_half_a_condition(self, collection: Collection, where: str, reason: str) -> None:
        """SQLite's own words name what minnow puts around the condition."""
        with pytest.raises(InputError, match=rf"cannot be used: {reason}\. Columns are"):
            collection.select(where)

    def test_a_bad_condition_removes_nothing(self, collection: Collection) -> None:
        with pytest.raises(InputError, match="filter 'nonsense' cannot be used"):
            collection.remove(where="nonsense")
        assert len(self.left(collection)) == 3


class TestBesideFiles:
    @pytest.fixture
    def both(self, file: Path) -> Any:
        """Files and records in one index."""
        write_documents(Path("docs"))
        run_index(file, Path("docs"))
        with Collection(file, FakeModel()) as collection:
            collection.put(RECORDS)
            yield collection

    def test_all_of_the_file_is_found(self, both: Collection) -> None:
        found = ids(both, "descale a kettle")
        assert {"kettle", "docs/kitchen/kettle.md#1"} <= set(found)
        assert len(found) == len(RECORDS) + 4

    def test_what_is_found_can_be_read_by_its_id(self, both: Collection) -> None:
        found = both.search("fish", 9)
        read = both.get([both.id_of(hit) for hit in found])
        assert [hit.id for hit in read] == [hit.id for hit in found]
        assert both.get(["docs/fish.md#9", "no", "a#b", "docs/fish.md#2"])[0].number == 2

    def test_one_string_is_no_list_of_ids(self, both: Collection) -> None:
        """Its characters were: "10" returned the records "1" and "0"."""
        both.put([Record("1", "one"), Record("0", "nought"), Record("10", "ten")])
        for act in (both.get, both.remove):
            with pytest.raises(InputError, match="ids is one string"):
                act("10")
        assert [hit.text for hit in both.get(["10"])] == ["ten"]

    def test_a_records_id_wins_over_a_files(self, both: Collection) -> None:
        both.put([Record("docs/fish.md#1", "mine")])
        texts = [hit.piece for hit in both.get(["docs/fish.md#1", "docs/fish.md#2"])]
        assert texts == ["mine", "Minnows live in schools."]

    def test_a_named_collection_is_on_its_own(self, both: Collection, file: Path) -> None:
        with Collection(file, FakeModel(), "mine") as mine:
            assert mine.search("fish", 9) == mine.get(["fish", "docs/fish.md#1"]) == []
            mine.put([Record("fish", "My fish.")])
            for where, params in ((None, ()), ("number = ?", [1]), ("number = :n", {"n": 1})):
                assert ids(mine, "fish", where=where, params=params) == ["fish"]
            assert [hit.text for hit in mine.select()] == ["My fish."]
            assert mine.remove() == 1
        assert len(both.select()) == len(RECORDS) + 4

    @pytest.mark.parametrize("path", [".", "docs", "collection:", "collection:/records"])
    def test_indexing_again_leaves_records_alone(
        self, both: Collection, file: Path, path: str
    ) -> None:
        Path(path).mkdir(exist_ok=True, parents=True)
        run_index(file, Path(path))
        assert len(both.get(["fish", "kettle", "train"])) == 3
        store = open_index(file, FakeModel())
        remove_paths([Path(path)], store)
        store.close()
        assert len(both.get(["fish", "kettle", "train"])) == 3

    def test_files_are_not_removed_as_records(self, both: Collection) -> None:
        assert both.remove(["docs/fish.md#1"]) == 0
        assert both.remove(where="source LIKE 'docs/%'") == 0
        assert len(both.select("file NOT LIKE 'collection:%'")) == 4

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
    def test_a_file_that_can_only_be_read(self, file: Path, both: Collection) -> None:
        both.close()
        file.chmod(0o400)
        file.parent.chmod(0o500)
        try:
            with Collection(file, FakeModel()) as collection:
                assert ids(collection, "descale a kettle", mode="keyword")
                with pytest.raises(OutputError, match="Copy it to where it can be written"):
                    collection.put([FISH])
        finally:
            file.parent.chmod(0o700)


def put_many(file: Path, first: int) -> None:
    with Collection(file, FakeModel()) as collection:
        for i in range(first, first + 20):
            collection.put([Record(str(i), f"number {i}"), Record(f"{i}b", "another")])


class TestTogether:
    def test_several_processes(self, file: Path) -> None:
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=put_many, args=(file, first)) for first in (0, 20, 40)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0, 0]
        assert len(contents_of(file)) == 120

    def test_a_table_that_another_makes_while_the_file_is_opened(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        Collection(file, FakeModel()).close()
        with sqlite3.connect(file) as other:
            other.execute("DROP TABLE IF EXISTS codes")
        other.close()
        owners_in = schema.owners_in

        def make_codes(database: sqlite3.Connection) -> Any:
            with sqlite3.connect(file) as other:
                other.execute(codes.CODES_SCHEMA)
            other.close()
            return owners_in(database)

        monkeypatch.setattr(schema, "owners_in", make_codes)
        with Collection(file, FakeModel()) as collection:
            collection.put(RECORDS)
        assert len(contents_of(file)) == 3

    def test_an_unfinished_file_is_completed(self, file: Path) -> None:
        """As another process leaves it for a moment: a page, and no tables."""
        database = sqlite3.connect(file)
        database.execute("PRAGMA journal_mode = WAL")
        database.close()
        assert file.stat().st_size
        with Collection(file, FakeModel()) as collection:
            collection.put(RECORDS)
        assert len(contents_of(file)) == 3

    def test_several_threads(self, file: Path) -> None:
        faults: list[BaseException] = []
        with Collection(file, FakeModel()) as collection:

            def work(first: int) -> None:
                try:
                    for i in range(first, first + 10):
                        collection.put([Record(str(i), f"number {i}")])
                        assert collection.get([str(i)])[0].text == f"number {i}"
                        assert collection.search(f"number {i}", 1)
                        if i % 2:
                            assert collection.remove([str(i)]) == 1
                except BaseException as error:
                    faults.append(error)

            threads = [threading.Thread(target=work, args=(10 * i,)) for i in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert faults == []
            assert len(collection.index) == 20
        contents_of(file)

    def test_functions_on_an_open_store(self, file: Path) -> None:
        model = FakeModel()
        store = open_index(file, model)
        assert put_records(store, model, RECORDS, collection="notes") == 3
        assert remove_records(store, ["fish"], collection="notes") == 1
        assert remove_records(store, ["kettle"]) == 0
        store.close()
        with Collection(file, model, "notes") as notes:
            assert {notes.id_of(hit) for hit in notes.select()} == {"kettle", "train"}
