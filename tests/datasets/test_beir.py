"""Folders in BEIR's layout: what is read, and messages about broken ones."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.datasets import Dataset, read_beir
from minnow.errors import InputError

SHARED = Path(__file__).parents[3] / "shared" / "data"

DOCUMENTS: list[dict[str, Any]] = [
    {"_id": "d1", "title": "Pike", "text": "eats minnows"},
    {"_id": "d2", "title": "", "text": "a small fish"},
    {"_id": "d3", "text": "no title"},
    {"_id": "d4", "title": None, "text": "鱼 🐟"},
    {"_id": "d5", "title": "title alone", "text": ""},
]
QUERIES: list[dict[str, Any]] = [
    {"_id": "q1", "text": "who eats fish"},
    {"_id": "q2", "text": "not judged"},
    {"_id": "q3", "text": "which fish is small", "metadata": {"more": 1}},
]
QRELS = "query-id\tcorpus-id\tscore\nq3\td2\t2\nq1\td1\t1\nq3\td1\t0\nq1\td4\t-1\n"


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def folder(
    place: Path, corpus: str | None = None, queries: str | None = None, qrels: str = QRELS
) -> Path:
    """Write a data set like the one above, with these files in place of its own."""
    (place / "qrels").mkdir(parents=True)
    (place / "corpus.jsonl").write_text(corpus or lines(DOCUMENTS), encoding="utf-8")
    (place / "queries.jsonl").write_text(queries or lines(QUERIES), encoding="utf-8")
    (place / "qrels" / "test.tsv").write_text(qrels, encoding="utf-8")
    return place


class TestReading:
    def test_texts_titles_and_judgements(self, tmp_path: Path) -> None:
        dataset = read_beir(folder(tmp_path / "fish"))
        assert dataset == Dataset(
            name="fish/test",
            documents={
                "d1": "Pike eats minnows",
                "d2": "a small fish",
                "d3": "no title",
                "d4": "鱼 🐟",
                "d5": "title alone",
            },
            queries={"q1": "who eats fish", "q3": "which fish is small"},
            qrels={"q1": {"d1": 1, "d4": -1}, "q3": {"d2": 2, "d1": 0}},
        )

    def test_the_order_is_that_of_the_files(self, tmp_path: Path) -> None:
        dataset = read_beir(folder(tmp_path / "fish"))
        assert list(dataset.documents) == [row["_id"] for row in DOCUMENTS]
        assert list(dataset.queries) == list(dataset.qrels) == ["q1", "q3"]

    def test_compressed_files_are_the_same_data(self, tmp_path: Path) -> None:
        plain = folder(tmp_path / "fish")
        before = read_beir(plain)
        for path in [path for path in plain.rglob("*") if path.is_file()]:
            path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
            path.unlink()
        assert read_beir(plain) == before

    def test_a_byte_order_mark_windows_lines_and_blank_lines(self, tmp_path: Path) -> None:
        def as_windows(text: str) -> str:
            return "\ufeff" + text.replace("\n", "\r\n\r\n")

        plain = read_beir(folder(tmp_path / "plain" / "fish"))
        parts = (lines(DOCUMENTS), lines(QUERIES), QRELS)
        odd = folder(tmp_path / "odd" / "fish", *map(as_windows, parts))
        assert read_beir(odd) == plain

    def test_a_split_is_chosen_by_name(self, tmp_path: Path) -> None:
        place = folder(tmp_path / "fish")
        (place / "qrels" / "dev.tsv").write_text("query-id\tcorpus-id\tscore\nq2\td3\t1\n")
        dataset = read_beir(place, "dev")
        assert dataset.name == "fish/dev"
        assert dataset.qrels == {"q2": {"d3": 1}}
        assert dataset.queries == {"q2": "not judged"}

    def test_of_several_splits_test_is_taken_as_in_beir(self, tmp_path: Path) -> None:
        place = folder(tmp_path / "fish")
        (place / "qrels" / "dev.tsv.gz").write_bytes(gzip.compress(QRELS.encode()))
        dataset = read_beir(place)
        assert dataset.name == "fish/test"
        assert dataset.notes == ("qrels has the splits dev, test; test is taken, as in BEIR.",)

    def test_several_splits_without_test_need_a_choice(self, tmp_path: Path) -> None:
        place = folder(tmp_path / "fish")
        (place / "qrels" / "test.tsv").rename(place / "qrels" / "train.tsv")
        (place / "qrels" / "dev.tsv").write_text(QRELS)
        with pytest.raises(InputError, match=r"qrels has the splits dev, train: name one of them"):
            read_beir(place)

    def test_utf_16(self, tmp_path: Path) -> None:
        plain = read_beir(folder(tmp_path / "plain" / "fish"))
        odd = folder(tmp_path / "odd" / "fish")
        for path in [path for path in odd.rglob("*") if path.is_file()]:
            path.write_text(path.read_text(encoding="utf-8"), encoding="utf-16")
        assert read_beir(odd) == plain


class TestBrokenFolders:
    @pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
    def test_a_missing_file(self, tmp_path: Path, name: str) -> None:
        place = folder(tmp_path / "fish")
        (place / name).unlink()
        with pytest.raises(InputError, match=rf"fish has no file {name}, nor {name}\.gz"):
            read_beir(place)

    def test_a_missing_split(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"qrels has no file train\.tsv"):
            read_beir(folder(tmp_path / "fish"), "train")

    def test_no_split(self, tmp_path: Path) -> None:
        place = folder(tmp_path / "fish")
        (place / "qrels" / "test.tsv").rename(place / "qrels" / "test.tsv.bak")
        with pytest.raises(InputError, match=r"qrels has no \.tsv file"):
            read_beir(place)

    def test_no_folder(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"nowhere is not a folder"):
            read_beir(tmp_path / "nowhere")

    @pytest.mark.parametrize("cut", [5, -12])
    def test_a_cut_off_gzip_file(self, tmp_path: Path, cut: int) -> None:
        place = folder(tmp_path / "fish")
        content = gzip.compress((place / "corpus.jsonl").read_bytes())
        (place / "corpus.jsonl").unlink()
        (place / "corpus.jsonl.gz").write_bytes(content[:cut])
        with pytest.raises(InputError, match=r"Cannot read .*corpus\.jsonl\.gz"):
            read_beir(place)

    def test_something_else_that_is_called_gz(self, tmp_path: Path) -> None:
        place = folder(tmp_path / "fish")
        (place / "queries.jsonl").rename(place / "queries.jsonl.gz")
        with pytest.raises(InputError, match=r"Cannot read .*queries\.jsonl\.gz: Not a gzipped"):
            read_beir(place)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"_id": "x", "text": "cut', "truncated"),
        ('["x", "text"]', "Expected `object`, got `array`"),
        ('{"_id": "x"}', "missing required field `text`"),
        ('{"text": "no id"}', "has an empty id, or no .*_id"),
        ('{"_id": 7.5, "text": "t"}', r"got `float` - at `\$\._id`"),
        ('{"_id": "", "text": "t"}', "has an empty id"),
        ('{"_id": "x", "text": [5]}', r"got `array` - at `\$\.text`"),
        ('{"_id": "x", "text": "\udce9"}', "(can't decode byte 0xe9|Invalid UTF-8)"),
    ],
)
@pytest.mark.parametrize("name", ["corpus.jsonl", "queries.jsonl"])
def test_a_broken_text_is_named(tmp_path: Path, name: str, line: str, reason: str) -> None:
    place = folder(tmp_path / "fish")
    first = '{"_id": "d1", "text": "sound"}\n'
    (place / name).write_bytes((first + line + "\n").encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=rf"^Line 2 of .*{name} .*{reason}") as caught:
        read_beir(place)
    assert "\n" not in str(caught.value)


class TestDatasetByHand:
    @pytest.mark.parametrize(
        ("queries", "qrels", "reason"),
        [
            ({}, {}, "fish has no queries"),
            ({"q": "?"}, {}, "no judgement for the query 'q'"),
            ({"q": "?"}, {"q": {"d": 0}}, "no relevant document for any"),
            ({"q": "?"}, {"q": {"e": 1}}, "no relevant document for any"),
            ({"q": "?"}, {"q": {"d": 1}, "r": {"d": 1}}, "judges 'r', which is not one of its"),
        ],
    )
    def test_it_has_to_fit_together(
        self, queries: dict[str, str], qrels: dict[str, dict[str, int]], reason: str
    ) -> None:
        with pytest.raises(InputError, match=reason):
            Dataset("fish", {"d": "text"}, queries, qrels)


IDS = st.text(max_size=4)


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    documents = draw(st.dictionaries(IDS, st.text(max_size=6), min_size=1, max_size=4))
    queries = draw(st.dictionaries(IDS, st.text(max_size=6), min_size=1, max_size=3))
    gains = st.dictionaries(st.sampled_from(sorted(documents)), st.integers(1, 3), min_size=1)
    return Dataset("drawn", documents, queries, {query: draw(gains) for query in queries})


class TestFingerprint:
    def test_it_is_the_same_everywhere(self) -> None:
        dataset = Dataset("a", {"d": "text", "e": "鱼"}, {"q": "?"}, {"q": {"d": 1}})
        assert dataset.fingerprint == (
            "9dfb04e267cdade2387cf6920231a8f90d888c13497354f69b0a1e8ef46741b6"
        )

    def test_the_name_does_not_count(self) -> None:
        names = ("a", "other")
        one, other = (Dataset(name, {"d": "t"}, {"q": "?"}, {"q": {"d": 1}}) for name in names)
        assert other.fingerprint == one.fingerprint

    @given(datasets(), datasets())
    def test_all_else_counts_and_its_order(self, one: Dataset, other: Dataset) -> None:
        def content(dataset: Dataset) -> tuple[Any, ...]:
            judged = {query: list(scores.items()) for query, scores in dataset.qrels.items()}
            return (
                list(dataset.documents.items()),
                list(dataset.queries.items()),
                list(judged.items()),
            )

        assert (one.fingerprint == other.fingerprint) == (content(one) == content(other))

    def test_what_moves_between_its_parts_counts(self) -> None:
        base = Dataset("a", {"d": "t", "e": "u"}, {"q": "?"}, {"q": {"d": 1}})
        near = [
            Dataset("a", {"e": "u", "d": "t"}, {"q": "?"}, {"q": {"d": 1}}),
            Dataset("a", {"d": "t", "e": "u"}, {"q": "?"}, {"q": {"d": 2}}),
            Dataset("a", {"d": "t", "e": "u"}, {"q": "?"}, {"q": {"e": 1}}),
            Dataset("a", {"d": "t", "e": "v"}, {"q": "?"}, {"q": {"d": 1}}),
            Dataset("a", {"d": "t"}, {"e": "u", "q": "?"}, {"e": {"d": 1}, "q": {"d": 1}}),
            Dataset("a", {"d": "t"}, {"q": "?"}, {"q": {"d": 1}}),
        ]
        assert len({dataset.fingerprint for dataset in (base, *near)}) == 1 + len(near)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "documents", "queries", "judgements"),
    [("scifact", 5183, 300, 339), ("squad_dev", 2067, 2000, 2000)],
)
def test_real_data(name: str, documents: int, queries: int, judgements: int) -> None:
    dataset = read_beir(SHARED / name)
    assert dataset.name == f"{name}/test"
    assert len(dataset.documents) == documents
    assert len(dataset.queries) == len(dataset.qrels) == queries
    assert sum(map(len, dataset.qrels.values())) == judgements
