"""Measure what a reranker adds to hybrid search, by the number of hits that it reads.

    python benchmarks/search_reranked.py BUNDLE RERANKER DATASET [--questions 100] [--index FILE]

DATASET is a directory in BEIR's layout; its corpus.jsonl is indexed as `minnow index` does it, with
titles as headings. Questions are drawn from its own, the same each time. The reranker reads the
first 50 hits once with their headings, as a search does, and the first 20 once more without.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minnow import Reranker
from minnow.datasets import read_beir
from minnow.evaluate.bootstrap import paired_bootstrap
from minnow.evaluate.metrics import score
from minnow.search import Index, index_paths, open_index, open_model

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from minnow.datasets import Dataset
    from minnow.search import Hit

    Floats = NDArray[np.float64]

CANDIDATES = (10, 20, 30, 50)
WITHOUT_HEADINGS = 20


def main() -> None:
    """Print nDCG@10 and Recall@1 of each way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle")
    parser.add_argument("reranker")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--index", type=Path, help="keep the index in this file")
    given = parser.parse_args()
    dataset = read_beir(given.dataset)
    drawn = random.Random(0).sample(list(dataset.queries), given.questions)
    queries = {query: dataset.queries[query] for query in drawn}
    qrels = {query: dataset.qrels[query] for query in queries}
    dataset = replace(dataset, queries=queries, qrels=qrels)

    with tempfile.TemporaryDirectory() as folder:
        file = given.index or Path(folder, "a.index")
        with open_model(given.bundle) as model:
            store = open_index(file, model)
            index_paths([given.dataset / "corpus.jsonl"], store, model)
            store.close()
        with Index.open(file, given.bundle) as index:
            started = time.perf_counter()
            first = index.search_many(queries.values(), max(CANDIDATES))
            seconds = (time.perf_counter() - started) / len(queries)
    found = dict(zip(queries, first, strict=True))
    plain = print_row(dataset, f"hybrid ({1e3 * seconds:.0f} ms a question)", found, None)
    with Reranker.open(given.reranker, on_truncate="ignore") as reranker:
        started = time.perf_counter()
        scores = {q: scores_of(reranker, queries[q], [hit.text for hit in found[q]]) for q in found}
        seconds = (time.perf_counter() - started) / len(queries)
        for count in CANDIDATES:
            ranked = {q: reranked(found[q], scores[q][:count]) for q in found}
            print_row(dataset, f"the first {count} reranked", ranked, plain)
        print(f"{max(CANDIDATES)} hits are read in {1e3 * seconds:.0f} ms")
        ranked = {
            q: reranked(
                found[q],
                scores_of(reranker, queries[q], [h.piece for h in found[q][:WITHOUT_HEADINGS]]),
            )
            for q in found
        }
        print_row(dataset, f"the first {WITHOUT_HEADINGS} without their headings", ranked, plain)


def scores_of(reranker: Reranker, query: str, texts: list[str]) -> NDArray[np.float32]:
    """Return the logits of texts."""
    return reranker.predict([(query, text) for text in texts], activation_fn="identity")


def reranked(hits: list[Hit], scores: NDArray[np.float32]) -> list[Hit]:
    """Return hits in the order of scores that the first of them have."""
    return [hits[i] for i in np.argsort(-scores, kind="stable")]


def print_row(
    dataset: Dataset, what: str, found: dict[str, list[Hit]], plain: Floats | None
) -> Floats:
    """Print a row, with the gain over plain search; return nDCG@10 of each question."""
    rankings = {
        query: list(dict.fromkeys(hit.source.split("#", 1)[1] for hit in hits))
        for query, hits in found.items()
    }
    table = score(dataset, rankings).table
    each = table["nDCG@10"]
    line = f"{what}: nDCG@10 {each.mean():.4f}, Recall@1 {table['Recall@1'].mean():.4f}"
    if plain is not None:
        gain = paired_bootstrap(each, plain)
        line += f", gain {gain.difference:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
    print(line, flush=True)
    return each


if __name__ == "__main__":
    main()
