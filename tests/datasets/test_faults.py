"""Faults of published benchmarks: each costs only the line that has it, and is noted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from minnow.datasets import read_beir
from minnow.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "query-id\tcorpus-id\tscore\n"
QRELS = HEADER + "q3\td2\t2\nq1\td1\t1\nq3\td1\t0\nq1\td4\t-1\n"
DOCUMENTS: list[dict[str, Any]] = [
    {"_id": f"d{i}", "title": "", "text": f"a fish called {i}"} for i in range(1, 5)
]
QUERIES: list[dict[str, Any]] = [
    {"_id": f"q{i}", "text": f"which fish is {i}?"} for i in range(1, 4)
]
COLUMNS = "does not have a query, a document and a number (line 4)"


def lines(rows: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def folder(
    place: Path,
    qrels: str = QRELS,
    documents: list[dict[str, Any]] = DOCUMENTS,
    queries: list[dict[str, Any]] = QUERIES,
) -> Path:
    """Write a data set; surrogates in the judgements stand for bytes that are not UTF-8."""
    (place / "qrels").mkdir(parents=True)
    (place / "corpus.jsonl").write_text(lines(documents), encoding="utf-8")
    (place / "queries.jsonl").write_text(lines(queries), encoding="utf-8")
    (place / "qrels" / "test.tsv").write_bytes(qrels.encode(errors="surrogateescape"))
    return place


@pytest.mark.parametrize(
    ("more", "changed", "note"),
    [
        ("q1\td9\t1", {"q1": {"d1": 1, "d9": 1}}, "lacks ('d9' for 'q1' in line 4). It counts"),
        ("q9\td1\t1", {}, "of a query that queries.jsonl lacks ('q9' in line 4). It is left out"),
        ("q3\td2\t2", {}, "A line of test.tsv repeats an earlier one (line 4: 'd2' for 'q3')"),
        ("q3\td2\t1", {"q3": {"d2": 1}}, "gives another score than an earlier one (line 4: 'd2'"),
        ("q2\td2\t0\nq2\td3\t-1", {"q2": {"d2": 0, "d3": -1}}, "The query 'q2' has no relevant"),
        ("q1\td2\t", {}, COLUMNS),
        ("q1\td2\tnan", {}, COLUMNS),
        ("q1\td2", {}, COLUMNS),
        ("q1\td2\t1\t1", {}, COLUMNS),
        ("q1\td\udce9\t1", {}, COLUMNS),
        ("q1\td9\t1\nq1\td8\t0", {"q1": {"d1": 1, "d9": 1, "d8": 0}}, "2 judgements in test.tsv"),
    ],
)
def test_a_judgement(
    tmp_path: Path, more: str, changed: dict[str, dict[str, int]], note: str
) -> None:
    dataset = read_beir(folder(tmp_path / "a", f"{HEADER}q3\td2\t2\nq1\td1\t1\n{more}\n"))
    assert dataset.qrels == {"q3": {"d2": 2}, "q1": {"d1": 1}} | changed
    assert list(dataset.queries) == sorted(dataset.qrels)
    (found,) = dataset.notes
    assert note in found


@pytest.mark.parametrize(
    ("scores", "expected", "factor"),
    [
        (["1.0", "2.0"], [1, 2], 1),
        (["0.5", "1"], [5, 10], 10),
        (["0.25", "-0.5"], [25, -50], 100),
        (["0.1", "0.7"], [1, 7], 10),
        (["0.33333333", "1"], [3333, 10000], 10000),
        (["0.000001", "1"], [1, 10000], 10000),
    ],
)
def test_scores_with_decimals_keep_their_proportions(
    tmp_path: Path, scores: list[str], expected: list[int], factor: int
) -> None:
    rows = "".join(f"q1\td{i}\t{score}\n" for i, score in enumerate(scores, start=1))
    dataset = read_beir(folder(tmp_path / "a", HEADER + rows))
    assert list(dataset.qrels["q1"].values()) == expected
    assert [f"multiplied by {factor}," in note for note in dataset.notes] == [True] * (factor > 1)


@pytest.mark.parametrize(
    "qrels",
    [
        QRELS.partition("\n")[2],
        QRELS.replace("\t", " "),
        QRELS.replace(HEADER, "Query_ID\tdocid\trelevance\n"),
        QRELS.replace(HEADER, "a\tb\tc\n"),
        "corpus-id\tmore\tquery-id\tscore\n"
        "d2\t-\tq3\t2\nd1\t-\tq1\t1\nd1\t-\tq3\t0\nd4\t-\tq1\t-1\n",
        "q3 0 d2 2\nq1 0 d1 1\nq3 0 d1 0\nq1 0 d4 -1\n",
        "\n".join('"' + line.replace("\t", '"\t"') + '"' for line in QRELS.split("\n")[:-1]),
        "q3\tQ0\td2\t2\nq1\tQ0\td1\t1\nq3\tQ0\td1\t0\nq1\tQ0\td4\t-1\n",
    ],
    ids=["bare", "spaces", "names", "any header", "order", "trec", "quotes", "trec with tabs"],
)
def test_columns_as_people_write_them(tmp_path: Path, qrels: str) -> None:
    expected = read_beir(folder(tmp_path / "plain" / "fish"))
    assert expected.qrels == {"q3": {"d2": 2, "d1": 0}, "q1": {"d1": 1, "d4": -1}}
    assert read_beir(folder(tmp_path / "odd" / "fish", qrels)) == expected


def test_ids_in_quotes_as_beirs_writer_puts_them(tmp_path: Path) -> None:
    """csv.writer puts an id with a quote in it into quotes, and doubles it."""
    rows = [{"_id": '"Weird_Al"', "text": "songs"}, {"_id": '"raw', "text": "fish"}]
    qrels = QRELS + 'q1\t"""Weird_Al"""\t1\nq1\t"raw\t1\n'
    dataset = read_beir(folder(tmp_path / "a", qrels, [*DOCUMENTS, *rows]))
    assert dataset.qrels["q1"] == {"d1": 1, "d4": -1, '"Weird_Al"': 1, '"raw': 1}
    assert dataset.notes == ()


def test_ids_that_are_numbers(tmp_path: Path) -> None:
    documents = [{"_id": i, "text": f"fish {i}"} for i in range(3)]
    queries = [{"_id": i, "text": "who?"} for i in range(2)]
    dataset = read_beir(folder(tmp_path / "a", HEADER + "0\t0\t1\n1\t2\t1\n", documents, queries))
    assert dataset.qrels == {"0": {"0": 1}, "1": {"2": 1}}
    assert (dataset.notes, dataset.own_documents) == ((), frozenset())


@pytest.mark.parametrize(
    ("row", "text", "note"),
    [
        ({"_id": "x", "text": " ", "title": "\n"}, "", "is empty ('x' in line 5). It stays in"),
        ({"_id": "x", "text": None}, "", "is empty ('x' in line 5). It stays in"),
        ({"_id": "d1", "text": "other"}, "other", "repeats an id with another text ('d1' in"),
        (DOCUMENTS[1], "a fish called 2", "A line of corpus.jsonl repeats an earlier one ('d2'"),
        ({"_id": "x", "text": "a\0b \ud83d"}, "ab \ufffd", ""),
        ({"_id": "x", "text": 7, "title": 1984}, "1984 7", ""),
        ({"_id": "x", "text": "a", "score": float("nan")}, "a", ""),
        ({"_id": "x", "text": "half \ud83d", "more": "\udc1f"}, "half \ufffd", ""),
    ],
)
def test_a_document(tmp_path: Path, row: dict[str, Any], text: str, note: str) -> None:
    dataset = read_beir(folder(tmp_path / "a", documents=[*DOCUMENTS, row]))
    assert dataset.documents[row["_id"]] == text
    assert list(dataset.documents) == list(dict.fromkeys(r["_id"] for r in [*DOCUMENTS, row]))
    assert [note in found for found in dataset.notes] == [True] * bool(note)


@pytest.mark.parametrize(
    ("qrels", "reason"),
    [
        ("", "holds no judgements"),
        (HEADER, "holds no judgements"),
        ("q1\td1\n", "^Line 1 of .* should have the columns query-id, corpus-id, score"),
        ("q8\td1\t1\nq9\td1\t1\n", "judges none of the queries .* names is 'q8' in line 1"),
        ("q1\td8\t1\n", "no document of corpus.jsonl relevant; .* 'd8' for 'q1' in line 1"),
        ("q1\td1\t0\n", "no score above 0"),
    ],
)
def test_what_leaves_nothing_to_measure_is_refused(tmp_path: Path, qrels: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        read_beir(folder(tmp_path / "a", qrels))
    assert "\n" not in str(caught.value)


def test_a_benchmark_of_several_data_sets(tmp_path: Path) -> None:
    for name in ("english", "android"):
        folder(tmp_path / "cqadupstack" / name)
    dataset = read_beir(tmp_path / "cqadupstack")
    assert (dataset.name, dataset.parts) == ("cqadupstack/test", ("android", "english"))
    assert list(dataset.queries) == ["android/q1", "android/q3", "english/q1", "english/q3"]
    assert dataset.qrels["english/q3"] == {"english/d2": 2, "english/d1": 0}
    assert len(dataset.documents) == 2 * len(DOCUMENTS)
    (note,) = dataset.notes
    assert "holds 2 data sets: android, english. Each is searched alone" in note
    (tmp_path / "cqadupstack" / "android" / "qrels" / "dev.tsv").write_text(QRELS)
    with pytest.raises(InputError, match=r"english.qrels has no file dev.tsv; it has test"):
        read_beir(tmp_path / "cqadupstack", "dev")


class TestOwnDocuments:
    """In ArguAna each query is an argument of the corpus, and only its counterargument counts."""

    ARGUMENTS = (
        ("for-a", "Zoos keep rare animals alive."),
        ("against-a", "Zoos make animals ill."),
        ("for-b", "Ferries should be free."),
        ("against-b", "Somebody has to pay for ferries."),
    )

    def test_they_are_left_out_of_their_own_results(self, tmp_path: Path) -> None:
        rows = [{"_id": name, "title": "a debate", "text": text} for name, text in self.ARGUMENTS]
        asked = [{"_id": rows[i]["_id"], "text": rows[i]["text"]} for i in (0, 2)]
        qrels = HEADER + "for-a\tagainst-a\t1\nfor-b\tagainst-b\t1\nq\tfor-a\t1\n"
        asked.append({"_id": "q", "text": "who pays?"})
        dataset = read_beir(folder(tmp_path / "args", qrels, rows, asked))
        assert dataset.own_documents == {"for-a", "for-b"}
        (note,) = dataset.notes
        assert note.startswith("2 queries are in the corpus too, under the same id.")

    def test_equal_numbers_of_other_texts_are_no_sign(self, tmp_path: Path) -> None:
        """Not even where each document has the words of the query with its number."""
        documents = [{"_id": i, "text": f"fish number {i} sleeps in the river"} for i in range(6)]
        queries = [{"_id": i, "text": "fish river"} for i in range(5)]
        qrels = "".join(f"{i}\t{i + 1}\t1\n" for i in range(5))
        dataset = read_beir(folder(tmp_path / "words", qrels, documents, queries))
        assert dataset.own_documents == frozenset()
        documents = [{"_id": i, "text": f"fish number {i} sleeps"} for i in range(6)]
        queries = [{"_id": i, "text": f"what is {i}?"} for i in range(5)]
        qrels = "".join(f"{i}\t{i + 1}\t1\n" for i in range(5))
        dataset = read_beir(folder(tmp_path / "n", qrels, documents, queries))
        assert (dataset.own_documents, dataset.notes) == (frozenset(), ())

    def test_a_document_that_answers_the_query_of_its_id_stays(self, tmp_path: Path) -> None:
        rows = [{"_id": i, "text": f"fish number {i}"} for i in range(3)]
        dataset = read_beir(folder(tmp_path / "n", "0\t0\t1\n1\t1\t1\n", rows, rows))
        assert dataset.own_documents == frozenset()


class TestAsMtebPublishes:
    """Data sets on the Hub have JSON lines or parquet in place of the .tsv."""

    JUDGED = (("q3", "d2", 2), ("q1", "d1", 1), ("q3", "d1", 0), ("q1", "d4", -1))

    def test_judgements_as_json_lines(self, tmp_path: Path) -> None:
        expected = read_beir(folder(tmp_path / "a" / "fish"))
        place = folder(tmp_path / "b" / "fish")
        (place / "qrels" / "test.tsv").unlink()
        rows = [{"query-id": q, "corpus-id": d, "score": float(s)} for q, d, s in self.JUDGED]
        (place / "qrels" / "test.jsonl").write_text(lines(rows))
        assert read_beir(place) == expected
        (place / "qrels" / "test.jsonl").write_text('{"query-id": "q1"}\n')
        with pytest.raises(InputError, match=r"^Line 1 of .*test\.jsonl .*`corpus-id`"):
            read_beir(place)

    def test_judgements_beside_the_corpus(self, tmp_path: Path) -> None:
        place = folder(tmp_path / "fish")
        (place / "qrels" / "test.tsv").rename(place / "test.tsv")
        (place / "qrels").rmdir()
        assert read_beir(place).name == "fish/test"

    @pytest.mark.parametrize("key", ["_id", "id"])
    def test_parquet(self, tmp_path: Path, key: str) -> None:
        pyarrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        expected = read_beir(folder(tmp_path / "a" / "fish"))
        place = tmp_path / "b" / "fish"

        def write(name: str, rows: list[dict[str, Any]]) -> None:
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(pyarrow.Table.from_pylist(rows), place / name)

        renamed = [{key: row["_id"], "title": row["title"], "text": row["text"], "image": b"\xff"}
                   for row in DOCUMENTS]  # fmt: skip
        write("corpus/test-00000-of-00002.parquet", renamed[:2])
        write("corpus/test-00001-of-00002.parquet", renamed[2:])
        write("corpus/dev-00000-of-00001.parquet", [{key: "x", "title": "", "text": "other"}])
        write("queries/test-00000-of-00001.parquet", QUERIES)
        rows = [{"query-id": q, "corpus-id": d, "score": s} for q, d, s in self.JUDGED]
        write("qrels/test-00000-of-00001.parquet", rows)
        assert read_beir(place) == expected
        (place / "queries" / "test-00000-of-00001.parquet").write_bytes(b"PAR1")
        with pytest.raises(InputError, match=r"Cannot read .*queries.*parquet"):
            read_beir(place)
