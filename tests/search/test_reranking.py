"""Search with a reranker: which hits it reads, what of them, and what comes out."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes.rerankers import FakeReranker
from fakes.searching import FakeModel, open_fake, run_index, write_documents

from minnow.errors import EngineError, InputError
from minnow.search import Collection, Index, Record
from minnow.search.results import json_of, print_hits

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from minnow.bundle import Bundle

COUNT = 12


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An index of twelve records; record n says "river" n times, and "fish" stands in its title."""
    folder = tmp_path_factory.mktemp("reranking")
    rows = (
        {"id": str(n), "title": f"Fish {n}", "text": "river " * n, "metadata": {"odd": n % 2}}
        for n in range(1, COUNT + 1)
    )
    docs = write_documents(folder / "docs", {"rows.jsonl": "\n".join(map(json.dumps, rows))})
    run_index(folder / "a.index", docs)
    return folder / "a.index"


class TestOrder:
    @pytest.mark.parametrize("mode", ["vector", "keyword", "hybrid"])
    def test_the_rerankers_order_and_the_place_before(self, file: Path, mode: Any) -> None:
        reranker = FakeReranker()
        with open_fake(file) as index:
            first = index.search("river", COUNT, mode=mode)
            found = index.search("river", 3, mode=mode, reranker=reranker)
        assert [hit.score for hit in found] == [12, 11, 10]
        assert [hit.rank for hit in found] == [1, 2, 3]
        for hit in found:
            assert hit.rerank_score == hit.score
            before = first[hit.first_rank - 1]  # type: ignore[operator]
            assert (before.id, before.vector_score) == (hit.id, hit.vector_score)
            assert (before.keyword_score, before.passage) == (hit.keyword_score, hit.passage)
            assert (before.rerank_score, before.first_rank) == (None, None)

    def test_it_reads_the_embedded_text_with_its_headings(self, file: Path) -> None:
        reranker = FakeReranker()
        with open_fake(file) as index:
            expected = [hit.text for hit in index.search("river", COUNT)]
            index.search("river", 1, reranker=reranker)
        assert reranker.asked == [("river", expected)]
        assert all(text.startswith("Fish ") for text in expected)

    def test_equal_scores_keep_the_first_order(self, file: Path) -> None:
        with open_fake(file) as index:
            first = index.search("river fish", 5)
            found = index.search("zebra", 5, mode="vector", reranker=FakeReranker())
            same = index.search("fish", 5, reranker=FakeReranker())
        assert len(first) == 5
        assert [hit.first_rank for hit in found] == [1, 2, 3, 4, 5]
        assert [hit.first_rank for hit in same] == [1, 2, 3, 4, 5]

    def test_only_candidates_are_read(self, file: Path) -> None:
        reranker = FakeReranker()
        with open_fake(file) as index:
            first = index.search("river", 4)
            found = index.search("river", 2, reranker=reranker, candidates=4)
        assert [len(texts) for _, texts in reranker.asked] == [4]
        assert {hit.id for hit in found} <= {hit.id for hit in first}
        assert [hit.score for hit in found] == sorted(
            (float(hit.text.count("river")) for hit in first), reverse=True
        )[:2]

    def test_fifty_are_read_unless_more_are_wanted(self, tmp_path: Path) -> None:
        lines = "\n".join(json.dumps({"text": f"river {n}"}) for n in range(70))
        run_index(tmp_path / "a.index", write_documents(tmp_path / "docs", {"a.jsonl": lines}))
        reranker = FakeReranker()
        with open_fake(tmp_path / "a.index") as index:
            index.search("river", 5, reranker=reranker)
            assert len(index.search("river", 60, reranker=reranker)) == 60
        assert [len(texts) for _, texts in reranker.asked] == [50, 60]

    def test_with_a_filter(self, file: Path) -> None:
        reranker = FakeReranker()
        condition: Any = {"where": "metadata->>'odd' = ?", "params": [1]}
        with open_fake(file) as index:
            found = index.search("river", 2, reranker=reranker, candidates=3, **condition)
        assert [hit.metadata["odd"] for hit in found] == [1, 1]
        assert len(reranker.asked[0][1]) == 3

    def test_within_a_collection(self, file: Path, tmp_path: Path) -> None:
        with Collection(tmp_path / "a.index", FakeModel(), "notes") as notes:
            notes.put([Record("1", "red fish"), Record("2", "fish fish fish")])
            with Collection(tmp_path / "a.index", FakeModel(), "other") as other:
                other.put([Record("1", "fish fish fish fish")])
            found = notes.search("fish", 5, reranker=FakeReranker(), fusion="rrf")
            assert [(notes.id_of(hit), hit.score) for hit in found] == [("2", 3), ("1", 1)]

    def test_several_questions_have_the_hits_of_each_alone(self, file: Path) -> None:
        queries, reranker = ["river", "fish 3", "river 7"], FakeReranker()
        with open_fake(file) as index:
            many = index.search_many(queries, 4, reranker=reranker, candidates=6)
            assert many == [
                index.search(query, 4, reranker=FakeReranker(), candidates=6) for query in queries
            ]
            assert [query for query, _ in reranker.asked] == queries
            assert index.search_many([], reranker=reranker) == []

    def test_nothing_found_is_nothing_read(self, file: Path) -> None:
        reranker = FakeReranker()
        with open_fake(file) as index:
            assert index.search("zebra", mode="keyword", reranker=reranker) == []
        assert reranker.asked == []

    def test_half_of_a_surrogate_pair(self, file: Path) -> None:
        reranker = FakeReranker()
        with open_fake(file) as index:
            index.search("river \ud83d", 1, mode="keyword", reranker=reranker)
        assert reranker.asked[0][0] == "river \ufffd"

    def test_other_threads_may_search_meanwhile(self, file: Path) -> None:
        """The reranker runs outside the file's lock: it may search the same index itself."""
        from concurrent.futures import ThreadPoolExecutor

        with open_fake(file) as index, ThreadPoolExecutor(1) as thread:

            def search(rows: list[Any]) -> list[Any]:
                assert thread.submit(index.search, "river", 1).result(timeout=60)
                return rows

            assert index.search("river", 2, reranker=FakeReranker(search))


class TestShown:
    def test_as_json_and_for_people(self, file: Path) -> None:
        with open_fake(file) as index:
            hits = index.search("river", 2, reranker=FakeReranker())
        answer = json.loads(json_of("river", "hybrid", hits))
        assert [hit["rerank_score"] for hit in answer["hits"]] == [12, 11]
        assert [hit["first_rank"] for hit in answer["hits"]] == [hit.first_rank for hit in hits]
        stream = io.StringIO()
        print_hits(hits, stream)
        first = stream.getvalue().splitlines()[0]
        assert first.startswith(" 1.  12.000  ")
        assert first.endswith(f", rank {hits[0].first_rank} before)")


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"candidates": 20}, "`candidates=` is how many hits.*give `reranker=`"),
            ({"reranker": "ms.minnow"}, r"`reranker=` is str, which has no rank\(\)"),
            ({"reranker": FakeReranker(), "candidates": 4}, "from 5, the number of hits, to 1000"),
            ({"reranker": FakeReranker(), "candidates": 1001}, "to 1000, not 1001"),
            ({"reranker": FakeReranker(), "candidates": True}, "not True"),
            ({"reranker": FakeReranker(), "candidates": 7.5}, "not 7.5"),
            ({"reranker": FakeReranker(), "mode": "magic"}, "mode should be"),
        ],
    )
    def test_arguments(self, file: Path, options: Any, message: str) -> None:
        with open_fake(file) as index, pytest.raises(InputError, match=message):
            index.search("fish", 5, **options)

    def test_a_numpy_integer_is_a_number(self, file: Path) -> None:
        with open_fake(file) as index:
            index.search("fish", 5, reranker=FakeReranker(), candidates=np.int64(6))  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda rows: rows[1:],
            lambda rows: [*rows[1:], rows[1]],
            lambda rows: [{**rows[0], "score": float("nan")}, *rows[1:]],
            lambda rows: [{**rows[0], "corpus_id": 99}, *rows[1:]],
        ],
    )
    def test_rankings_with_holes(self, file: Path, spoil: Callable[[list[Any]], Any]) -> None:
        with open_fake(file) as index, pytest.raises(EngineError, match="one finite score"):
            index.search("fish", 5, reranker=FakeReranker(spoil))


@pytest.mark.extra("convert")
def test_a_real_reranker(file: Path, ranker: Bundle) -> None:
    from minnow import Reranker

    with Reranker.open(ranker, on_truncate="ignore") as reranker, open_fake(file) as index:
        first = index.search("small fish", COUNT)
        found = index.search("small fish", 4, reranker=reranker, candidates=COUNT)
        scores = reranker.predict([("small fish", hit.text) for hit in first])
    best = np.argsort(-scores, kind="stable")[:4]
    assert [hit.first_rank for hit in found] == [i + 1 for i in best]
    assert np.allclose([hit.score for hit in found], scores[best], atol=1e-5)
    assert isinstance(index, Index)
