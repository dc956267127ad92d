"""Measure what a reranker's logits and its ranking lose with fewer bits.

    python benchmarks/reranker_precision.py BUNDLE INDEX DATASET RERANKER... [--questions 150]

BUNDLE is the embedding model of INDEX, whose texts are DATASET's corpus.jsonl, as
`search_reranked.py` leaves it behind with `--index`. The rerankers are bundles of one model, that
in float32 first. Each orders the first 20 hits by vectors of the same questions, on
`engine=fastest`, which runs the numbers that a bundle stores.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
from search_reranked import scores_of_ranking

from minnow import Reranker
from minnow.datasets import read_beir
from minnow.evaluate.bootstrap import paired_bootstrap
from minnow.search import Index

CANDIDATES = 20


def main() -> None:
    """Print a row for each bundle."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle")
    parser.add_argument("index")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("rerankers", nargs="+")
    parser.add_argument("--questions", type=int, default=150)
    given = parser.parse_args()
    dataset = read_beir(given.dataset)
    drawn = random.Random(0).sample(list(dataset.queries), given.questions)
    queries = {query: dataset.queries[query] for query in drawn}
    qrels = {query: dataset.qrels[query] for query in queries}
    dataset = replace(dataset, queries=queries, qrels=qrels)
    with Index.open(given.index, given.bundle) as index:
        found = index.search_many(queries.values(), CANDIDATES, mode="vector")
    hits = dict(zip(queries, found, strict=True))
    pairs = [(queries[query], hit.text) for query in queries for hit in hits[query]]
    exact = plain = None
    for folder in given.rerankers:
        with Reranker.open(folder, engine="fastest", on_truncate="ignore") as reranker:
            logits = reranker.predict(pairs, activation_fn="identity")
        rest = iter(logits.tolist())
        scores = {query: {hit.id: next(rest) for hit in hits[query]} for query in queries}
        ranked = {
            query: sorted(some, key=lambda hit: -scores[query][hit.id])
            for query, some in hits.items()
        }
        each = scores_of_ranking(dataset, ranked)["nDCG@10"]
        if exact is None or plain is None:
            exact, plain = logits, each
        gain, off = paired_bootstrap(each, plain), np.abs(logits - exact)
        print(
            f"{folder}: nDCG@10 {each.mean():.4f}, "
            f"{gain.difference:+.4f} ({gain.low:+.4f} to {gain.high:+.4f}); logits differ by "
            f"{off.mean():.4f}, 99 % by less than {np.quantile(off, 0.99):.4f}, all by less than "
            f"{off.max():.4f}; the largest is {np.abs(exact).max():.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
