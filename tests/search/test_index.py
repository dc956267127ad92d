"""Opening an index, searching it, and the contents of a hit."""

from __future__ import annotations

import io
import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.searching import (
    DOCUMENTS,
    FINGERPRINT,
    FakeModel,
    open_fake,
    run_index,
    write_documents,
)

from minnow.errors import IndexFileError, InputError
from minnow.search import Index, VectorEncoding, open_store
from minnow.search.results import beginning, json_of, print_hits


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An index of three documents in docs/."""
    monkeypatch.chdir(tmp_path)
    write_documents(Path("docs"))
    run_index(Path("a.index"), Path("docs"))
    return tmp_path / "a.index"


class TestHits:
    def test_what_one_says(self, file: Path) -> None:
        with open_fake(file) as index:
            hit = index.search("minnows schools", 1)[0]
        assert (hit.rank, hit.source, hit.number) == (1, "docs/fish.md", 2)
        assert hit.headings == ("Fish", "Minnows")
        assert hit.text == "Fish > Minnows\nMinnows live in schools."
        assert hit.piece == hit.passage == "Minnows live in schools."
        assert hit.metadata == {"modified": "2001-09-09T01:46:40Z"}
        assert hit.vector_score is not None
        assert hit.keyword_score is not None
        assert hit.vector_score <= 1.001
        assert hit.score <= 1.0001

    def test_scores_of_each_mode(self, file: Path) -> None:
        with open_fake(file) as index:
            near = index.search("kettle", 1, mode="vector")[0]
            worded = index.search("kettle", 1, mode="keyword")[0]
            fused = index.search("Boil vinegar and water to descale a kettle", 1, fusion="rrf")[0]
        assert (near.score, near.keyword_score) == (near.vector_score, None)
        assert (worded.score, worded.vector_score) == (worded.keyword_score, None)
        assert fused.score == pytest.approx(2 / 61)

    def test_a_start_is_a_place_in_the_document(self, file: Path) -> None:
        from minnow.chunks import read_document

        text = read_document(Path("docs/fish.md"), "x").text
        with open_fake(file) as index:
            for hit in index.search("fish", 9, where="file = 'docs/fish.md'"):
                assert text[hit.start :].startswith(hit.piece)

    def test_as_json_and_for_people(self, file: Path) -> None:
        with open_fake(file) as index:
            hits = index.search("Boil vinegar and water to descale a kettle", 2)
        answer = json.loads(json_of("kettle", "hybrid", hits))
        assert answer["hits"][0]["source"] == "docs/kitchen/kettle.md"
        assert answer["hits"][0]["headings"] == ["Kettle"]
        stream = io.StringIO()
        print_hits(hits, stream)
        lines = stream.getvalue().splitlines()
        assert lines[0].startswith(" 1.  1.000  docs/kitchen/kettle.md, part 1  (vector 0.")
        assert lines[1:3] == ["    Kettle", "      Boil vinegar and water to descale a kettle."]

    def test_control_characters_are_removed(self, tmp_path: Path) -> None:
        texts = {"a\nb\x1b[2J.md": "# Red \x1b[31m\n\nfish \x1b]0;title\x07 sleep\n"}
        run_index(tmp_path / "x.index", write_documents(tmp_path / "docs", texts))
        stream = io.StringIO()
        with open_fake(tmp_path / "x.index") as index:
            print_hits(index.search("fish"), stream)
        assert len(stream.getvalue().splitlines()) == 4
        assert all(character.isprintable() or character == "\n" for character in stream.getvalue())

    @pytest.mark.parametrize(
        ("text", "shown"),
        [
            ("", ""),
            ("a\n  b", "a b"),
            ("ab " * 200, "ab " * 79 + "ab…"),
            ("x" * 500, "x" * 240 + "…"),
        ],
    )
    def test_the_beginning_of_a_text(self, text: str, shown: str) -> None:
        assert beginning(text) == shown


class TestSearching:
    @pytest.mark.parametrize("mode", ["vector", "keyword", "hybrid"])
    @pytest.mark.parametrize("encoding", list(VectorEncoding))
    def test_it_finds(self, file: Path, mode: Any, encoding: VectorEncoding) -> None:
        run_index(file, Path("docs"), encoding=encoding, rebuild=True)
        with open_fake(file) as index:
            for name, text in DOCUMENTS.items():
                query = text.strip().splitlines()[-1]
                assert index.search(query, 1, mode=mode)[0].source == f"docs/{name}"

    def test_several_queries_at_once(self, file: Path) -> None:
        queries = ["kettle", "night train", "minnows"]
        with open_fake(file) as index:
            for mode in ("vector", "keyword", "hybrid"):
                many = index.search_many(queries, 2, mode=mode)
                assert many == [index.search(query, 2, mode=mode) for query in queries]
            assert index.search_many([]) == []

    def test_an_empty_question(self, file: Path) -> None:
        """Programs that list documents by a condition ask one."""
        with open_fake(file) as index:
            assert index.search("", mode="keyword") == []
            (near,) = index.search_vectors(FakeModel().encode_queries([""]), 3)
            assert [hit.id for hit in index.search("", 3)] == [hit.id for hit in near]

    def test_given_vectors(self, file: Path) -> None:
        with open_fake(file) as index:
            vector = FakeModel().encode_queries(["night train"])[0]
            (alone,) = index.search_vectors(7 * vector, 3)  # cosines do not see lengths
            near = index.search("night train", 3, mode="vector")
            assert [hit.id for hit in alone] == [hit.id for hit in near]
            assert np.allclose([h.score for h in alone], [h.score for h in near], atol=1e-5)
            assert len(index.search_vectors(np.stack([vector, vector]), 1)) == 2

    def test_without_a_bundle(self, file: Path) -> None:
        with Index.open(file) as index:
            assert index.search("kettle", mode="keyword")[0].source == "docs/kitchen/kettle.md"
            assert index.search_vectors(np.ones(24, np.float32))
            with pytest.raises(InputError, match=r"give the bundle it was made with \(made/words"):
                index.search("kettle")

    def test_another_model_is_refused(self, file: Path) -> None:
        store = open_store(file)
        other = FakeModel()
        other.fingerprint = replace(FINGERPRINT, pooling="cls")
        with pytest.raises(IndexFileError, match="the pooling"):
            Index(store, other)
        store.close()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"k": 0}, "k should be from 1 to 1000"),
            ({"k": 1001}, "k should be from 1 to 1000"),
            ({"mode": "magic"}, "mode should be"),
            ({"fusion": "magic"}, "fusion should be"),
        ],
    )
    def test_arguments_out_of_range(self, file: Path, options: Any, message: str) -> None:
        with open_fake(file) as index, pytest.raises(InputError, match=message):
            index.search("fish", **options)

    @pytest.mark.parametrize("bad", [np.ones(5), np.full(24, np.nan), np.ones((1, 1, 24))])
    def test_vectors_of_another_kind(self, file: Path, bad: np.ndarray) -> None:
        with open_fake(file) as index, pytest.raises(InputError, match="vectors should be"):
            index.search_vectors(bad)

    @pytest.mark.parametrize("wrong", [None, 5, b"fish", ["fish"]])
    def test_a_question_that_is_no_string(self, file: Path, wrong: Any) -> None:
        with open_fake(file) as index, pytest.raises(InputError, match="should be a string, not"):
            index.search_many(["fish", wrong])

    def test_one_string_is_not_several(self, file: Path) -> None:
        with open_fake(file) as index, pytest.raises(InputError, match="search_many several"):
            index.search_many("fish")

    def test_an_empty_index(self, tmp_path: Path) -> None:
        run_index(tmp_path / "a.index", write_documents(tmp_path / "docs", {}))
        with open_fake(tmp_path / "a.index") as index:
            assert len(index) == 0
            for mode in ("vector", "keyword", "hybrid"):
                assert index.search("fish", mode=mode) == []
            assert index.search("fish", where="number = 1") == []

    def test_it_follows_what_others_write(self, file: Path) -> None:
        with open_fake(file) as index:
            assert index.search("zebra", mode="keyword") == []
            Path("docs/zebra.txt").write_text("A zebra.")
            Path("docs/fish.md").unlink()
            run_index(file, Path("docs"))
            for mode in ("vector", "keyword", "hybrid"):
                assert index.search("zebra", mode=mode)[0].source == "docs/zebra.txt"
            assert all(hit.source != "docs/fish.md" for hit in index.search("fish sleep"))
            assert len(index) == 3

    def test_from_several_threads(self, file: Path) -> None:
        faults: list[BaseException] = []
        with open_fake(file) as index:

            def ask() -> None:
                try:
                    for _ in range(20):
                        assert index.search("kettle")[0].source == "docs/kitchen/kettle.md"
                except BaseException as error:
                    faults.append(error)

            threads = [threading.Thread(target=ask) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert faults == []

    def test_it_checks_itself(self, file: Path) -> None:
        with open_fake(file) as index:
            assert index.check() == []
