"""Records that the library in C++ writes: Python finds in them what it finds in its own."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from fakes.native_api import Library, NativeError, NativeIndex, NativeModel
from fakes.searching import FakeModel, contents_of, open_fake

from minnow.search import Collection, Record

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [
    pytest.mark.tool("cmake", "g++"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

RECORDS: tuple[dict[str, Any], ...] = (
    {"id": "1", "text": "Fish sleep with open eyes.", "metadata": {"lang": "en", "stars": 4.5}},
    {"id": "鱼", "text": "冷冻室里有鱼。"},
    {"id": "3", "text": "Ёлка, smørrebrød & ﬁsh ½", "metadata": {"tags": ["a", None, True]}},
    {"id": "4", "text": ""},
    {"id": "5", "text": "the night train"},
)
AFTERWARDS: tuple[dict[str, Any], ...] = (RECORDS[0], {"id": "5", "text": "the day train"})
QUESTIONS = ("how do fish sleep?", "鱼", "елка smorrebrod", "train", "fish")


def put(index: NativeIndex, records: object, collection: str | None = None) -> int:
    return index.put(json.dumps(records, ensure_ascii=False), collection)


def rows_of(file: Path) -> list[tuple[Any, ...]]:
    """Return the contents of a file, in which metadata may be spelled in more than one way."""
    rows = contents_of(file)
    return [(*row[:8], json.loads(row[8]), *row[9:]) for row in rows]


def test_both_write_the_same(core_library: Library, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "python.index", tmp_path / "native.index"
    with Collection(ours, FakeModel()) as collection:
        for rows in (RECORDS, AFTERWARDS):
            collection.put([Record(**row) for row in rows])
        assert collection.remove(["4", "none"]) == 1
    model = FakeModel()
    with (
        NativeModel(core_library, model) as embedder,
        NativeIndex(core_library, theirs, embedder, makes=True) as index,
    ):
        assert (put(index, RECORDS), put(index, AFTERWARDS)) == (5, 1)
        assert model.embedded == [row["text"] for row in (*RECORDS, AFTERWARDS[1])]
        assert index.remove(["4", "none"]) == 1
        assert len(index) == 4
        assert rows_of(theirs) == rows_of(ours)
        with open_fake(theirs) as python, open_fake(ours) as expected:
            for query in QUESTIONS:
                hits = [(hit.source, hit.score, hit.metadata) for hit in expected.search(query)]
                assert [(h.source, h.score, h.metadata) for h in python.search(query)] == hits
                found = index.search(query)  # the index that was open while it was written
                assert [hit["source"] for hit in found] == [source for source, _, _ in hits]
                assert [hit["score"] for hit in found] == pytest.approx([s for _, s, _ in hits])


@pytest.mark.parametrize(
    ("where", "reason"),
    [("name = 'fish", "a quotation mark has no partner"), ("name =", "it ends too early")],
)
def test_half_a_condition(core_library: Library, tmp_path: Path, where: str, reason: str) -> None:
    file = tmp_path / "a.index"
    with Collection(file, FakeModel()) as collection:
        collection.put([Record("1", "fish")])
    with (
        NativeIndex(core_library, file) as index,
        pytest.raises(NativeError, match=rf"cannot be used: {reason}\. "),
    ):
        index.search("fish", options={"mode": "keyword", "where": where})


@pytest.mark.parametrize("mode", ["vector", "hybrid"])
@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_vector_that_is_not_finite_is_refused(
    core_library: Library, tmp_path: Path, mode: str, number: float
) -> None:
    """As in Python; compared with it, no chunk has a score, and nothing would be found."""
    file = tmp_path / "a.index"
    with Collection(file, FakeModel()) as collection:
        collection.put([Record("1", "fish")])
        vector = FakeModel().encode_queries(["fish"])[0].tolist()
    with NativeIndex(core_library, file) as index:
        assert len(index.search("fish", options={"mode": mode}, vector=vector)) == 1
        with pytest.raises(NativeError, match="vector holds NaN or infinity"):
            index.search("fish", options={"mode": mode}, vector=[number, *vector[1:]])


def test_both_write_one_file(core_library: Library, tmp_path: Path) -> None:
    file = tmp_path / "a.index"
    with Collection(file, FakeModel(), "notes") as collection:
        collection.put([Record("1", "fish"), Record("2", "train")])
    model = FakeModel()
    with (
        NativeModel(core_library, model) as embedder,
        NativeIndex(core_library, file, embedder, makes=True) as index,
    ):
        assert put(index, [{"id": "1", "text": "fish"}, {"id": "3", "text": "tea"}], "notes") == 1
        assert put(index, [{"id": "1", "text": "a kettle"}]) == 1  # of another collection
        assert model.embedded == ["tea", "a kettle"]
        assert index.remove(None, "notes") == 3
    with Collection(file, FakeModel()) as everything:
        assert [everything.id_of(hit) for hit in everything.select()] == ["1"]
    assert len(contents_of(file)) == 1


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([{"id": "", "text": "a"}], "An id should be a string that is not empty"),
        ([{"id": "a", "text": "a"}, {"id": "a", "text": "b"}], "Two records have the id 'a'."),
        ([{"id": "a"}, {"id": "b", "text": "b", "texts": 1}], "no field texts of a record"),
        ([{"id": "a", "text": 1}], 'its "text" is missing or of another kind'),
        ([{"id": "a", "text": "a", "metadata": [1]}], 'its "metadata" is missing'),
        ([{"id": "a", "text": "a", "metadata": {"n": [2**53 + 2]}}], "above 2^53"),
        ({"id": "a", "text": "a"}, "another kind"),
        ([{"id": "new", "text": "fish " * 100}], "The app's encoder failed."),
    ],
)
def test_refused_records_change_nothing(
    core_library: Library, tmp_path: Path, records: object, message: str
) -> None:
    with (
        NativeModel(core_library, FakeModel()) as embedder,
        NativeIndex(core_library, tmp_path / "a.index", embedder, makes=True) as index,
    ):
        put(index, [{"id": "kept", "text": "fish"}])
        before = contents_of(tmp_path / "a.index")
        with pytest.raises(NativeError, match=re.escape(message)):
            put(index, records)
        assert contents_of(tmp_path / "a.index") == before


def test_other_refusals(core_library: Library, tmp_path: Path) -> None:
    file = tmp_path / "a.index"
    with NativeModel(core_library, FakeModel()) as embedder:
        with NativeIndex(core_library, file, embedder, makes=True) as index:
            for name in ("", "a#b"):
                with pytest.raises(NativeError, match="A collection cannot be called"):
                    put(index, [], name)
        with NativeIndex(core_library, file) as index:
            with pytest.raises(NativeError, match="needs the bundle"):
                put(index, [{"id": "a", "text": "a"}])
            assert index.remove(["a"]) == 0
    with (
        NativeModel(core_library, FakeModel(width=12)) as other,
        pytest.raises(NativeError, match=r"a\.index"),
    ):
        NativeIndex(core_library, file, other, makes=True)
