"""Measures as BEIR and MTEB publish them, computed here by trec_eval directly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minnow.datasets import Dataset
from minnow.datasets.dataset import join
from minnow.evaluate.metrics import score
from minnow.evaluate.ranking import search, to_rankings

pytrec_eval = pytest.importorskip("pytrec_eval")
pytestmark = pytest.mark.extra("evaluate")

OURS = {"nDCG@10": "ndcg_cut_10", "Recall@5": "recall_5", "Recall@10": "recall_10"}


@st.composite
def datasets(draw: st.DrawFn) -> Dataset:
    """Draw a data set with missing documents, scores of 0 and -1, and queries that are documents.

    More than 30 documents, so that no ranking holds all of them.
    """
    documents = {f"d{i}": f"text {i}" for i in range(30)}
    names = [*documents, "gone", "lost"]
    judged = st.dictionaries(st.sampled_from(names), st.integers(-1, 3), min_size=1, max_size=6)
    qrels = {f"d{i}": draw(judged) for i in range(draw(st.integers(1, 5)))} | {"q": {"d7": 1}}
    own = frozenset(query for query in qrels if query != "q" and qrels[query].get(query, 0) <= 0)
    queries = {query: f"query {query}" for query in qrels}
    return Dataset("drawn", documents, queries, qrels, own if draw(st.booleans()) else frozenset())


@settings(max_examples=40, deadline=None)
@given(datasets(), st.integers(0, 2**32 - 1))
def test_measures_are_those_of_trec_eval_over_all_results(dataset: Dataset, seed: int) -> None:
    """BEIR gives trec_eval every score, without the query's own document, and takes the mean."""
    random = np.random.default_rng(seed)
    queries = random.normal(size=(len(dataset.queries), 8)).astype(np.float32)
    documents = random.normal(size=(len(dataset.documents), 8)).astype(np.float32)
    found = score(dataset, to_rankings(dataset, search(dataset, queries, documents, k=20)))

    run = {
        query: {
            name: float(value)
            for name, value in zip(dataset.documents, row, strict=True)
            if not (name == query and query in dataset.own_documents)
        }
        for query, row in zip(dataset.queries, queries @ documents.T, strict=True)
    }
    judged = {query: dict(scores) for query, scores in dataset.qrels.items()}
    evaluator = pytrec_eval.RelevanceEvaluator(judged, {"ndcg_cut.10", "recall.5,10"})
    expected = evaluator.evaluate(run)
    assert list(found.queries) == list(dataset.queries)
    for ours, theirs in OURS.items():
        each = [expected[query][theirs] for query in dataset.queries]
        np.testing.assert_allclose(found.table[ours], each, atol=1e-12)
        assert found.means[ours] == pytest.approx(np.mean(each), abs=1e-12)


def test_a_common_factor_of_the_scores_changes_no_measure() -> None:
    documents = {f"d{i}": f"text {i}" for i in range(12)}
    ranking = {"q": [f"d{i}" for i in range(12)]}
    tables = [
        score(Dataset("d", documents, {"q": "?"}, {"q": gains}), ranking).table
        for gains in ({"d3": 1, "d1": 2, "gone": 4}, {"d3": 25, "d1": 50, "gone": 100})
    ]
    assert all(np.array_equal(tables[0][name], tables[1][name]) for name in tables[0])
    # by hand: (2 / log2(3) + 1 / log2(5)) / (4 + 2 / log2(3) + 1 / log2(4))
    gain = 2 / np.log2(3) + 1 / np.log2(5)
    ideal = 4 + 2 / np.log2(3) + 0.5
    assert tables[0]["nDCG@10"][0] == pytest.approx(gain / ideal)


def test_a_querys_own_document_leaves_the_next_one_its_place() -> None:
    documents = {"a": "x", "b": "y", "c": "z"}
    dataset = Dataset("d", documents, {"a": "x", "q": "x"}, {"a": {"b": 1}, "q": {"a": 1}},
                      frozenset({"a"}))  # fmt: skip
    vectors = np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32)
    found = search(dataset, vectors[[0, 0]], vectors, k=2)
    assert to_rankings(dataset, found) == {"a": ["b", "c"], "q": ["a", "b"]}


def test_parts_are_searched_alone_and_their_means_are_averaged() -> None:
    """CQADupStack's figure is the mean of twelve forums, whatever their numbers of queries."""
    documents = {"a": "x", "b": "y", "c": "z"}
    one = Dataset("one", documents, {"q": "?"}, {"q": {"c": 1}})
    two = Dataset("two", documents, {"q": "?", "r": "?", "a": "x"},
                  {"q": {"a": 1}, "r": {"b": 1, "c": 1}, "a": {"b": 1}},
                  frozenset({"a"}))  # fmt: skip
    random = np.random.default_rng(5)
    vectors = {name: random.normal(size=(len(part.queries) + 3, 4)).astype(np.float32)
               for name, part in (("one", one), ("two", two))}  # fmt: skip
    each = [
        score(part, to_rankings(part, search(part, found[3:], found[:3], k=9)))
        for part, found in ((one, vectors["one"]), (two, vectors["two"]))
    ]
    whole = join("both", {"one": one, "two": two}, ())
    queries = np.concatenate([found[3:] for found in vectors.values()])
    rows = np.concatenate([found[:3] for found in vectors.values()])
    found = score(whole, to_rankings(whole, search(whole, queries, rows, k=9)))
    for measure, mean in found.means.items():
        assert mean == pytest.approx(np.mean([scores.means[measure] for scores in each]))
    assert whole.own_documents == {"two/a"}
    assert found.means["Recall@1"] != pytest.approx(found.table["Recall@1"].mean())
