"""Measures of rankings, against cases done by hand and a plain second implementation."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.datasets import Dataset
from minnow.errors import InputError, MissingExtraError
from minnow.evaluate import MEASURES, score

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

needs_library = pytest.mark.extra("evaluate")


def dataset(
    qrels: dict[str, dict[str, int]], documents: Sequence[str] = "abcdefghijklmnop"
) -> Dataset:
    texts = {document: f"text of {document}" for document in documents}
    return Dataset("letters", texts, {query: f"{query}?" for query in qrels}, qrels)


def plain(judged: Mapping[str, int], ranking: Sequence[str]) -> dict[str, float]:
    """Return the measures of one query as textbooks define them."""
    relevant = {document for document, gain in judged.items() if gain > 0}

    def recall(k: int) -> float:
        return len(relevant & set(ranking[:k])) / len(relevant)

    def dcg(gains: Sequence[int]) -> float:
        return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains[:10]))

    gains = [max(0, judged.get(document, 0)) for document in ranking]
    ideal = sorted((gain for gain in judged.values() if gain > 0), reverse=True)
    places = [place for place, gain in enumerate(gains[:10], start=1) if gain > 0]
    return {
        **{f"Recall@{k}": recall(k) for k in (1, 3, 5, 10)},
        "MRR@10": 1 / places[0] if places else 0.0,
        "nDCG@10": dcg(gains) / dcg(ideal),
    }


@needs_library
class TestByHand:
    @pytest.mark.parametrize(
        ("judged", "ranking", "expected"),
        [
            ({"a": 1}, "abc", (1, 1, 1, 1, 1, 1)),
            ({"a": 1}, "bac", (0, 1, 1, 1, 1 / 2, 1 / math.log2(3))),
            ({"a": 1}, "bcdea", (0, 0, 1, 1, 1 / 5, 1 / math.log2(6))),
            ({"a": 1}, "bcdefghija", (0, 0, 0, 1, 1 / 10, 1 / math.log2(11))),
            ({"a": 1}, "bcdefghijka", (0, 0, 0, 0, 0, 0)),
            ({"a": 1}, "", (0, 0, 0, 0, 0, 0)),
            ({"a": 1, "b": 1}, "ab", (1 / 2, 1, 1, 1, 1, 1)),
            ({"a": 1, "b": 1}, "cb", (0, 1 / 2, 1 / 2, 1 / 2, 1 / 2,
                                      (1 / math.log2(3)) / (1 + 1 / math.log2(3)))),
            ({"a": 3, "b": 1}, "ba", (1 / 2, 1, 1, 1, 1,
                                      (1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3)))),
            ({"a": 1, "b": 0, "c": -1}, "cba", (0, 1, 1, 1, 1 / 3, 1 / 2)),
            ({"a": 1, "b": -(10**30)}, "ba", (0, 1, 1, 1, 1 / 2, 1 / math.log2(3))),
        ],
    )  # fmt: skip
    def test_one_query(
        self, judged: dict[str, int], ranking: str, expected: tuple[float, ...]
    ) -> None:
        scores = score(dataset({"q": judged}), {"q": list(ranking)})
        assert list(scores.table) == list(MEASURES)
        values = [float(scores.table[name][0]) for name in MEASURES]
        assert values == pytest.approx(expected, abs=1e-12)

    def test_values_stand_in_the_order_of_the_queries(self) -> None:
        data = dataset({"z": {"a": 1}, "10": {"a": 1}, "9": {"b": 1}})
        scores = score(data, {"9": ["a", "b"], "10": ["a"], "z": ["c"]})
        assert scores.queries == ("z", "10", "9")
        assert scores.table["MRR@10"].tolist() == [0, 1, 0.5]
        assert scores.table["MRR@10"].dtype == np.float64
        assert scores.means["MRR@10"] == pytest.approx(0.5)
        assert list(scores.means) == list(MEASURES)


@st.composite
def searches(draw: st.DrawFn) -> tuple[Dataset, dict[str, list[str]]]:
    """Any ids, graded judgements, rankings of any length."""
    ids = st.text(st.characters(), max_size=3)  # half surrogate pairs too
    documents = draw(st.lists(ids, min_size=1, max_size=15, unique=True))
    queries = draw(st.lists(ids, min_size=1, max_size=4, unique=True))
    some = st.dictionaries(st.sampled_from(documents), st.integers(-1, 4))
    sure = st.dictionaries(st.sampled_from(documents), st.integers(1, 4), min_size=1, max_size=3)
    qrels = {query: {**draw(some), **draw(sure)} for query in queries}
    rankings = {
        query: draw(st.permutations(documents))[: draw(st.integers(0, 15))] for query in queries
    }
    return dataset(qrels, documents), rankings


@needs_library
@given(searches())
def test_it_is_what_the_plain_implementation_gives(
    search: tuple[Dataset, dict[str, list[str]]],
) -> None:
    data, rankings = search
    scores = score(data, rankings)
    for row, query in enumerate(data.queries):
        expected = plain(data.qrels[query], rankings[query])
        values = {name: float(scores.table[name][row]) for name in MEASURES}
        assert values == pytest.approx(expected, abs=1e-12)


@needs_library
class TestRefusals:
    DATA = dataset({"p": {"a": 1}, "q": {"b": 1}}, "abc")

    @pytest.mark.parametrize(
        ("rankings", "reason"),
        [
            ({"p": ["a"]}, "no ranking for the query 'q' of letters"),
            ({"p": ["a"], "q": [], "r": []}, "for 'r', which is not a query of letters"),
            ({"p": ["a", "b", "a"], "q": []}, "ranking for 'p' repeats a document"),
            ({"p": ["x"], "q": []}, "for 'p' names 'x', which is not a document of letters"),
        ],
    )
    def test_rankings_that_do_not_fit(self, rankings: dict[str, list[str]], reason: str) -> None:
        with pytest.raises(InputError, match=reason):
            score(self.DATA, rankings)

    def test_the_highest_judgement(self) -> None:
        scores = score(dataset({"q": {"a": 10**6}}), {"q": ["a"]})
        assert scores.means["nDCG@10"] == 1
        with pytest.raises(InputError, match="'a' for 'q' with 1000001; the largest score"):
            score(dataset({"q": {"a": 10**6 + 1}}), {"q": ["a"]})


def test_the_extra_is_named_where_it_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ir_measures", None)
    with pytest.raises(MissingExtraError, match=r"^Evaluation .*minnow-embed\[evaluate\]"):
        score(dataset({"q": {"a": 1}}), {"q": ["a"]})


@needs_library
def test_the_library_is_imported_when_it_is_needed() -> None:
    code = "import sys, minnow.evaluate; print('ir_measures' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"
