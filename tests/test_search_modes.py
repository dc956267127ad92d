"""The ways of searching an index, compared on questions about it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from fakes.searching import FakeModel, open_fake, run_index, write_documents

from minnow.errors import InputError
from minnow.search_modes import compare_modes, read_index_questions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

COUNT = 30


class Backwards(FakeModel):
    """A model whose vectors of questions are those of no text."""

    def encode_queries(self, texts: Sequence[str]) -> NDArray:  # type: ignore[type-arg]
        return -super().encode_queries(texts)


class Oracle:
    """A reranker that knows the answer: the text with the last word of the question."""

    def rank(self, query: str, documents: list[str]) -> list[dict[str, float]]:
        scores = [float(query.split()[-1] in text.split()) for text in documents]
        order = sorted(range(len(documents)), key=lambda i: -scores[i])
        return [{"corpus_id": i, "score": scores[i]} for i in order]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Thirty documents of three chunks each; each chunk has a word of its own."""
    folder = tmp_path_factory.mktemp("modes")
    texts = {
        f"{n}.md": "\n".join(
            f"# {part}\n\nThe {part} of it is called w{part}{n} now.\n" for part in "abc"
        )
        for n in range(COUNT)
    }
    run_index(folder / "a.index", write_documents(folder / "docs", texts))
    return folder / "a.index"


def write_questions(folder: Path, *rows: dict[str, str]) -> Path:
    path = folder / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.fixture
def questions(file: Path, tmp_path: Path) -> Path:
    docs = file.parent / "docs"
    rows = [
        {"text": f"What is called wb{n}", "document": f"{docs}/{n}.md", "heading": "b"}
        for n in range(COUNT)
    ]
    return write_questions(tmp_path, *rows)


class TestQuestions:
    def test_places_are_those_of_the_index(self, file: Path, tmp_path: Path) -> None:
        docs = file.parent / "docs"
        path = write_questions(
            tmp_path,
            {"text": "one", "document": f"{docs}/3.md", "heading": "B"},
            {"text": "two", "passage": "is called wa7 now. The b of it"},
            {"text": "three", "document": f"{docs}/4.md"},
        )
        with open_fake(file) as index:
            found = read_index_questions(index, path)
        names = {key: set(row) for key, row in found.qrels.items()}
        assert names["q1"] == {f"{docs}/3.md#2"}
        assert names["q2"] <= {f"{docs}/7.md#1", f"{docs}/7.md#2"}
        assert names["q3"] == {f"{docs}/4.md#{n}" for n in (1, 2, 3)}
        assert len(found.documents) == 3 * COUNT

    def test_a_quotation_over_a_cut_with_overlap(self, tmp_path: Path) -> None:
        words = " ".join(f"stone{n}" for n in range(100))
        docs = write_documents(tmp_path / "docs", {"a.txt": words})
        run_index(tmp_path / "a.index", docs, max_tokens=20, overlap=5)
        path = write_questions(
            tmp_path,
            *({"text": "?", "passage": f"stone{n} stone{n + 1} stone{n + 2}"} for n in range(98)),
        )
        with open_fake(tmp_path / "a.index") as index:
            found = read_index_questions(index, path)
        for n, row in enumerate(found.qrels.values()):
            assert all(f"stone{n + 1}" in found.documents[name].split() for name in row)

    def test_a_wrong_place_is_named(self, file: Path, tmp_path: Path) -> None:
        path = write_questions(tmp_path, {"text": "one", "document": "3.md"})
        with open_fake(file) as index, pytest.raises(InputError, match=r"Line 1 .* does not exist"):
            read_index_questions(index, path)


@pytest.mark.extra("evaluate")
class TestVerdicts:
    def test_none_is_better(self, file: Path, questions: Path) -> None:
        with open_fake(file) as index:
            found = compare_modes(index, read_index_questions(index, questions))
        assert [result.choice.mode for result in found.results] == ["hybrid", "vector", "keyword"]
        assert found.questions == COUNT
        assert found.best is None
        assert found.facts()["best"] is None

    def test_keywords_are_better_where_vectors_mislead(self, file: Path, questions: Path) -> None:
        index = open_fake(file)
        index._model = Backwards()
        with index:
            found = compare_modes(index, read_index_questions(index, questions))
        assert found.best is not None
        assert found.best.choice.mode == "keyword"
        assert found.best.choice.questions == COUNT
        vector = found.results[1]
        assert vector.verdict == "worse"
        assert vector.interval is not None
        hybrid, keyword = (found.results[i].scores.means["nDCG@10"] for i in (0, 2))
        assert found.best.interval is not None
        assert found.best.interval.difference == pytest.approx(keyword - hybrid)

    def test_few_questions_decide_nothing(self, file: Path, tmp_path: Path) -> None:
        docs = file.parent / "docs"
        path = write_questions(
            tmp_path, {"text": "What is called wb1", "document": f"{docs}/1.md", "heading": "b"}
        )
        index = open_fake(file)
        index._model = Backwards()
        with index:
            found = compare_modes(index, read_index_questions(index, path))
        assert found.best is None
        assert {r.verdict for r in found.results[1:]} == {"too few queries to tell"}

    def test_the_reranker_is_a_way_more(self, file: Path, questions: Path) -> None:
        index = open_fake(file)
        index._model = Backwards()
        with index:
            found = compare_modes(
                index, read_index_questions(index, questions), reranker=Oracle(),  # type: ignore[arg-type]
                reranker_name="oracle", candidates=90,
            )  # fmt: skip
        assert str(found.results[3].choice) == "hybrid, reranked by oracle"
        assert found.results[3].scores.means["nDCG@10"] == 1
        assert found.results[3].verdict == "better"
