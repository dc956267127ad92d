"""Measure what static queries find in their teacher's index, and how fast they are.

    python benchmarks/static_queries.py BUNDLE QUERIES DATASET --index FILE

QUERIES is what `minnow distill` made of BUNDLE, DATASET a directory in BEIR's layout. FILE is the
index of its corpus.jsonl by BUNDLE; it is made where there is none. Printed are nDCG@10 by vectors
and by hybrid search, with the teacher's queries and with the static ones, the difference with its
95 % interval, and the median time of a query's vector.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.datasets import read_beir
from minnow.evaluate.bootstrap import paired_bootstrap
from minnow.evaluate.metrics import score
from minnow.indexfile.query_table import StaticQueries
from minnow.search import Index, index_paths, open_index, open_model, open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

    from minnow.datasets import Dataset
    from minnow.options import SearchMode
    from minnow.search import SearchModel

MODES: tuple[SearchMode, ...] = ("vector", "hybrid")
TIMED = 200


def main() -> None:
    """Print a line for each mode, and one for the time."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle")
    parser.add_argument("queries")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--index", type=Path, required=True)
    given = parser.parse_args()
    dataset = read_beir(given.dataset)
    static = StaticQueries.open(given.queries)
    with open_model(given.bundle) as teacher:
        if not given.index.exists():
            store = open_index(given.index, teacher)
            index_paths([given.dataset / "corpus.jsonl"], store, teacher)
            store.close()
        for mode in MODES:
            before, after = (
                measure(dataset, given.index, model, mode) for model in (teacher, static)
            )
            row = paired_bootstrap(after, before)
            print(
                f"{dataset.name}, {mode}: {before.mean():.4f}, static {after.mean():.4f}, "
                f"{after.mean() / before.mean():.1%}; {row.difference:+.4f} "
                f"({row.low:+.4f} to {row.high:+.4f})",
                flush=True,
            )
        texts = list(dataset.queries.values())[:TIMED]
        slow, fast = medians_ms((teacher, static), texts)
        print(
            f"a query's vector: {slow:.3f} ms, static {fast:.3f} ms, {slow / fast:.0f} times faster"
        )


def measure(
    dataset: Dataset, file: Path, model: SearchModel, mode: SearchMode
) -> NDArray[np.float64]:
    """Return the nDCG@10 of each question."""
    with Index(open_store(file), model) as index:
        answers = index.search_many(dataset.queries.values(), 10, mode=mode)
    found = {
        query: list(dict.fromkeys(hit.source.split("#", 1)[1] for hit in hits))
        for query, hits in zip(dataset.queries, answers, strict=True)
    }
    return score(dataset, found).table["nDCG@10"]


def medians_ms(models: Sequence[SearchModel], texts: Sequence[str]) -> list[float]:
    """Return the median milliseconds of one query of each model; they take turns."""
    took: list[list[float]] = [[] for _ in models]
    for text in texts:
        for model, own in zip(models, took, strict=True):
            start = time.perf_counter()
            model.encode_queries([text])
            own.append(1e3 * (time.perf_counter() - start))
    return [statistics.median(own) for own in took]


if __name__ == "__main__":
    main()
