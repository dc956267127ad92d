"""Conditions in SQL: the chunks that they select, and what they are not allowed to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fakes.searching import contents_of, open_fake, run_index, write_documents
from hypothesis import given
from hypothesis import strategies as st

from minnow.errors import IndexFileError, InputError
from minnow.search.chunk_ids import allowed_ids, ids_of_ranges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from minnow.search import Index

ROWS = [
    {"id": "a", "text": "Fish sleep.", "title": "Fish", "metadata": {"lang": "en", "year": 1999}},
    {"id": "b", "text": "Fische schlafen.", "title": "Fische", "metadata": {"lang": "de"}},
    {"id": "c", "text": "Les poissons dorment.", "lang": "fr", "year": 2020},
]


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    monkeypatch.chdir(tmp_path)
    documents = {"rows.jsonl": "\n".join(map(json.dumps, ROWS)), "a'b.txt": "A quoted name."}
    write_documents(tmp_path / "docs", documents)
    run_index(tmp_path / "a.index", Path("docs"))
    with open_fake(tmp_path / "a.index") as index:
        yield index


def sources(index: Index, where: str, *values: Any) -> set[str]:
    """Return the sources that a search for everything finds with a filter, in every mode."""
    near = index.search("fish", 9, mode="vector", where=where, params=values)
    found = {hit.source for hit in near}
    both = {hit.source for hit in index.search("fish", 9, where=where, params=values)}
    assert both == found
    assert len(allowed_ids(index.store, where, values)) == len(found)
    return found


@pytest.mark.parametrize(
    ("where", "values", "names"),
    [
        ("metadata->>'lang' = 'de'", (), {"b"}),
        ("metadata->>'lang' = ?", ("fr",), {"c"}),
        ("metadata->>'year' > 2000", (), {"c"}),
        ("source LIKE 'docs/rows%'", (), {"a", "b", "c"}),
        ("name IN ('a', 'c') AND file = 'docs/rows.jsonl'", (), {"a", "c"}),
        ("heading = 'Fische'", (), {"b"}),
        ("text LIKE '%poissons%' OR metadata->>'lang' = 'en'", (), {"a", "c"}),
        ("number = 1 -- a comment", (), {"a", "b", "c", ""}),
        ("file = 'docs/a''b.txt'", (), {""}),
        ('"heading" = \'Fische\'', (), {"b"}),
        ('"text" NOT LIKE \'%Fisch%\' AND [name] != "heading" -- "a"', (), {"a", "c"}),
        ("`name` = 'a' OR passages.name = 'b'", (), {"a", "b"}),
        ("metadata->>'$.\"lang\"' = 'fr' AND source != '\"x\"'", (), {"c"}),
        ("0", (), set()),
        ("NULL", (), set()),
    ],
)  # fmt: skip
def test_what_is_allowed(
    index: Index, where: str, values: tuple[str, ...], names: set[str]
) -> None:
    expected = {f"docs/rows.jsonl#{name}" if name else "docs/a'b.txt" for name in names}
    assert sources(index, where, *values) == expected


def test_named_values(index: Index) -> None:
    hits = index.search("fish", where="metadata->>'lang' = :lang", params={"lang": "de"})
    assert [hit.source for hit in hits] == ["docs/rows.jsonl#b"]


def test_an_id_is_that_of_a_chunk(index: Index) -> None:
    """Documents have ids too, and a document of more than one chunk comes first here."""
    Path("docs/a'b.txt").write_text("\n\n".join(f"{n} fish. " * 40 for n in range(9)))
    run_index(index.store.path, Path("docs"))
    every = index.select("1")
    assert [hit.number for hit in every] != [1] * len(every)
    for hit in every:
        (alone,) = index.select("id = ?", (hit.id,))
        assert (alone.source, alone.number) == (hit.source, hit.number)
    last = "id = (SELECT max(id) FROM passages WHERE heading != '')"
    assert index.select(last)[0].headings == ("Fische",)


@pytest.mark.parametrize(
    "where", ["\"lang\" = 'de'", 'source LIKE "docs/%"', "\"txet\" NOT LIKE 'a'"]
)
def test_marks_of_a_name_hold_no_text(index: Index, where: str) -> None:
    """SQLite would take it for a text: a filter for nothing, or for all that is to be removed."""
    with pytest.raises(InputError, match=r"no such column.*single quotation marks.*Columns are"):
        index.select(where)


@pytest.mark.parametrize(
    "where",
    [
        "",
        "  ",
        "nonsense",
        "lang = 'de'",
        "1) OR (1",
        "1); DELETE FROM chunks; --",
        "1) UNION SELECT name, value FROM meta --",
        "0) UNION SELECT 'x', 1 FROM files /*",
        "0) UNION SELECT 1, 100000000000 FROM files /*",
        "1 THEN 1 END FROM files /*",
        "(SELECT count(*) FROM meta) > 0",
        "(SELECT sql FROM sqlite_master) != ''",
        "load_extension('x')",
        "printf('%1000000000d', 1) > ''",
        "id IN (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n)",
        "source = ?",
        "metadata->>'x' = 'a\0b'",
        "json('{') = 1",
        "source LIKE '%' ESCAPE 'two'",
    ],
)
def test_what_is_refused(index: Index, where: str) -> None:
    before = contents_of(index.store.path)
    with pytest.raises(InputError, match="filter"):
        index.search("fish", where=where)
    assert contents_of(index.store.path) == before
    assert index.search("fish")  # the connection works as before


def test_damage_is_not_the_filter_s_fault(index: Index) -> None:
    """A page of documents that is read by the filter first."""
    path = index.store.path
    (page,) = index.store.database.execute(
        "SELECT rootpage FROM sqlite_master WHERE name = 'documents'"
    ).fetchone()
    (size,) = index.store.database.execute("PRAGMA page_size").fetchone()
    index.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * size : page * size] = bytes(size)
    path.write_bytes(content)
    with open_fake(path) as damaged, pytest.raises(IndexFileError, match="is damaged"):
        allowed_ids(damaged.store, "name = 'a'")


def test_an_endless_condition_is_stopped(index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("minnow.indexfile.filters._TIMEOUT", 0.0)
    slow = "(SELECT count(*) FROM passages a, passages b, passages c, passages d, passages e) > 0"
    with pytest.raises(InputError, match="takes longer than"):
        index.search("fish", where=slow)
    assert index.search("fish")


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), max_size=8))
def test_ranges(gaps: list[tuple[int, int]]) -> None:
    ranges, start = [], 1
    for gap, count in gaps:
        ranges.append((start + gap, count))
        start += gap + count
    expected = [first + i for first, count in ranges for i in range(count)]
    assert ids_of_ranges(ranges[::-1]).tolist() == expected
