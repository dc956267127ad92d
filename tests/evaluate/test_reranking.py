"""Rankings in the order of a reranker: its own order, kept in the cache, never beyond its part."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from minnow import Embedder, Reranker
from minnow.bench import bench
from minnow.datasets import Dataset
from minnow.errors import BundleError, InputError
from minnow.evaluate import RunOptions, compare, evaluate
from minnow.evaluate.ranking import search
from minnow.evaluate.reranking import rerank
from minnow.evaluate.results import system_facts
from minnow.systems import find_system
from minnow.systems.rerankers import open_reranker, split_reranker

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from fakes.bundles import Tiny

    from minnow.bundle import Bundle

pytestmark = pytest.mark.extra("convert", "evaluate")

WORDS = "the small red fish sleep river big two how do".split()  # noqa: SIM905
DATASET = Dataset(
    name="made",
    documents={f"d{i}": " ".join(np.random.default_rng(i).choice(WORDS, 6)) for i in range(30)},
    queries={f"q{i}": " ".join(np.random.default_rng(90 + i).choice(WORDS, 4)) for i in range(4)},
    qrels={f"q{i}": {f"d{i}": 1, f"d{i + 9}": 1} for i in range(4)},
)


@pytest.fixture
def system(made: Tiny, ranker: Bundle) -> str:
    return f"{made.bundle.folder}+{ranker.folder}"


def options(folder: Path, candidates: int = 10) -> RunOptions:
    return RunOptions(threads=1, cache=folder, candidates=candidates)


def test_the_first_documents_stand_in_the_rerankers_order(
    system: str, made: Tiny, ranker: Bundle, tmp_path: Path
) -> None:
    texts, queries = list(DATASET.documents.values()), list(DATASET.queries.values())
    with Embedder.open(made.bundle) as embedder:
        found = search(
            DATASET, embedder.encode_query(queries), embedder.encode_document(texts), k=20
        )
    second = find_system(system).reranker
    assert second is not None

    rows, usage = rerank(
        second, DATASET, found, 10, cache=tmp_path, threads=1,
        progress=lambda _: nullcontext(lambda _: None),
    )  # fmt: skip

    with Reranker.open(ranker) as reranker:
        for query, before, after in zip(queries, found, rows, strict=True):
            order = reranker.rank(query, [texts[i] for i in before[:10]])
            assert after[:10].tolist() == [before[row["corpus_id"]] for row in order]
            assert after[10:].tolist() == before[10:].tolist()
    assert any(before.tolist() != after.tolist() for before, after in zip(found, rows, strict=True))
    assert usage.texts_per_second > 0


def test_a_second_run_scores_nothing_again(system: str, tmp_path: Path) -> None:
    totals: list[tuple[str, int]] = []

    def progress(label: str, total: int) -> AbstractContextManager[Callable[[int], None]]:
        totals.append((label.rpartition("/")[2], total))
        return nullcontext(lambda _: None)

    chosen = replace(options(tmp_path), progress=progress)
    first = evaluate(system, DATASET, chosen)
    assert [total for _, total in totals] == [34, 40]
    second = evaluate(system, DATASET, chosen)
    assert len(totals) == 2
    assert first.scores.means == second.scores.means
    evaluate(system, DATASET, replace(chosen, candidates=12))
    assert [total for _, total in totals[2:]] == [8]  # two more of each query


def test_a_comparison_names_both_stages(system: str, tmp_path: Path) -> None:
    alone = system.partition("+")[0]
    comparison = compare([alone, system], DATASET, options(tmp_path))
    first, second = comparison.systems
    assert first.reranking is None
    assert second.reranking is not None
    assert second.name == system
    assert second.label.startswith(f"{first.label}+")
    assert second.size > first.size
    assert second.against is not None
    assert second.against.documents is not None
    assert second.against.documents.minimum == pytest.approx(1.0)
    facts = system_facts(second)["reranking"]
    assert facts["candidates"] == 10
    assert facts["usage"]["pairs_per_second"] > 0


@pytest.mark.extra("sentence-transformers")
@pytest.mark.transformers_5
def test_sentence_transformers_reranks_as_the_bundle_does(
    system: str, ranker: Bundle, tmp_path: Path
) -> None:
    first, _, folder = system.partition("+")
    source = ranker.manifest.source.name
    comparison = compare([system, f"{first}+st:{source}"], DATASET, options(tmp_path))
    ours, peers = comparison.systems
    assert folder
    assert ours.scores.means == pytest.approx(peers.scores.means)
    pairs = [("how do fish sleep", text) for text in DATASET.documents.values()]
    np.testing.assert_allclose(
        open_reranker(folder, 1).score(pairs), open_reranker(f"st:{source}", 1).score(pairs),
        atol=1e-4,
    )  # fmt: skip


class TestNames:
    def test_a_name_is_divided_at_its_last_plus(self, tmp_path: Path) -> None:
        assert split_reranker("a.minnow") == ("a.minnow", None)
        assert split_reranker("gguf:a+b.gguf+c") == ("gguf:a+b.gguf", "c")
        assert split_reranker("a+st:b/c") == ("a", "st:b/c")
        (tmp_path / "a+b").mkdir()
        assert split_reranker(str(tmp_path / "a+b")) == (str(tmp_path / "a+b"), None)

    @pytest.mark.parametrize("name", ["+b", "a+"])
    def test_both_parts_are_needed(self, name: str) -> None:
        with pytest.raises(InputError, match="lacks a system before, or a reranker behind"):
            split_reranker(name)

    def test_an_embedder_is_no_reranker(self, made: Tiny) -> None:
        folder = made.bundle.folder
        with pytest.raises(BundleError, match="rerank"):
            find_system(f"{folder}+{folder}")

    def test_the_benchmark_of_embedding_takes_none(self, system: str) -> None:
        with pytest.raises(InputError, match="ends in a reranker"):
            bench([system], DATASET)

    def test_candidates_are_bounded_by_the_depth(self, system: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="candidates should be 1 to 100, not 101"):
            evaluate(system, DATASET, options(tmp_path, 101))
