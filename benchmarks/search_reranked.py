"""Measure what a reranker adds to a search, by the number of hits that it reads.

    python benchmarks/search_reranked.py BUNDLE RERANKER DATASET [--questions 100] [--index FILE]
        [--engine openvino-bf16]

DATASET is a directory in BEIR's layout; its corpus.jsonl is indexed as `minnow index` does it, with
titles as headings. Questions are drawn from its own, the same each time; 0 takes all. The reranker
reads the first 50 hits by vectors and by hybrid search with their headings, as a search does, and
the first 20 by vectors once more without.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from minnow import Reranker
from minnow.datasets import read_beir
from minnow.evaluate.bootstrap import paired_bootstrap
from minnow.evaluate.metrics import score
from minnow.search import Index, index_paths, open_index, open_model

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from minnow.datasets import Dataset
    from minnow.options import SearchMode
    from minnow.search import Hit

    Found = dict[str, list[Hit]]
    Floats = NDArray[np.float64]

MODES: tuple[SearchMode, ...] = ("vector", "hybrid")
CANDIDATES = (10, 20, 50)
WITHOUT_HEADINGS = 20


def main() -> None:
    """Print nDCG@10 and Recall@1 of each way."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle")
    parser.add_argument("reranker")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--questions", type=int, default=100)
    parser.add_argument("--index", type=Path, help="keep the index in this file")
    parser.add_argument("--engine", default="mnn", help="what runs the reranker")
    given = parser.parse_args()
    dataset = read_beir(given.dataset)
    count = given.questions or len(dataset.queries)
    drawn = random.Random(0).sample(list(dataset.queries), count)
    queries = {query: dataset.queries[query] for query in drawn}
    qrels = {query: dataset.qrels[query] for query in queries}
    dataset = replace(dataset, queries=queries, qrels=qrels)

    with tempfile.TemporaryDirectory() as folder:
        file = given.index or Path(folder, "a.index")
        with open_model(given.bundle) as model:
            store = open_index(file, model)
            index_paths([given.dataset / "corpus.jsonl"], store, model)
            store.close()
        found: dict[SearchMode, Found] = {}
        with Index.open(file, given.bundle) as index:
            for mode in MODES:
                answers = index.search_many(queries.values(), max(CANDIDATES), mode=mode)
                found[mode] = dict(zip(queries, answers, strict=True))
    plain = {mode: print_row(dataset, mode, found[mode]) for mode in MODES}

    with Reranker.open(
        given.reranker, engine=given.engine, agreement=0.98, on_truncate="ignore"
    ) as reranker:
        print(reranker.engine_reason)
        scores = {query: read(reranker, query, found, dataset) for query in queries}
        for mode in MODES:
            for count in CANDIDATES:
                ranked = {
                    query: sorted(hits[:count], key=lambda hit: -scores[query][hit.id])
                    for query, hits in found[mode].items()
                }
                print_row(dataset, f"{mode}, {count} reranked", ranked, plain[mode])
        ranked = {}
        for query, hits in found["vector"].items():
            some = hits[:WITHOUT_HEADINGS]
            rows = reranker.rank(queries[query], [hit.piece for hit in some])
            ranked[query] = [some[row["corpus_id"]] for row in rows]
        what = f"vector, {WITHOUT_HEADINGS} reranked without headings"
        print_row(dataset, what, ranked, plain["vector"])


def read(
    reranker: Reranker, query: str, found: dict[SearchMode, Found], dataset: Dataset
) -> dict[int, float]:
    """Return the logit of each chunk that a search found for a question."""
    hits = {hit.id: hit for mode in MODES for hit in found[mode][query]}
    pairs = [(dataset.queries[query], hit.text) for hit in hits.values()]
    started = time.perf_counter()
    logits = reranker.predict(pairs, activation_fn="identity").tolist()
    seconds = time.perf_counter() - started
    print(f"{len(pairs)} hits read, {1e3 * seconds / len(pairs):.1f} ms each", flush=True)
    return dict(zip(hits, logits, strict=True))


def print_row(dataset: Dataset, what: str, found: Found, plain: Floats | None = None) -> Floats:
    """Print a row, with the gain over plain search; return nDCG@10 of each question."""
    table = scores_of_ranking(dataset, found)
    each = table["nDCG@10"]
    line = f"{what}: nDCG@10 {each.mean():.4f}, Recall@1 {table['Recall@1'].mean():.4f}"
    if plain is not None:
        gain = paired_bootstrap(each, plain)
        line += f", gain {gain.difference:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})"
    print(line, flush=True)
    return each


def scores_of_ranking(dataset: Dataset, found: Found) -> Mapping[str, Floats]:
    """Return every measure of each question, by documents: each counts where it is first."""
    rankings = {
        query: list(dict.fromkeys(hit.source.split("#", 1)[1] for hit in hits))
        for query, hits in found.items()
    }
    return score(dataset, rankings).table


if __name__ == "__main__":
    main()
