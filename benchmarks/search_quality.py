"""Compare what an index finds with exact evaluation, and measure the gain of hybrid search.

    python benchmarks/search_quality.py BUNDLE DATASET...

A DATASET is a directory in BEIR's layout. Every document is one chunk, truncated at the model's
limit as in `minnow evaluate`, so that the vectors are the same; `exact` is the result of
`minnow.evaluate` in float32. The data sets' ids become names of documents.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from minnow import Bundle, Embedder
from minnow.chunks import Chunk
from minnow.datasets import read_beir
from minnow.evaluate import rank, score, to_rankings
from minnow.search import (
    BundleModel,
    Fingerprint,
    Index,
    IndexSettings,
    VectorEncoding,
    make_store,
    open_store,
)
from minnow.search.writer import DocumentKey, Entry, Writer, digest_of

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from minnow.datasets import Dataset

    Floats = NDArray[np.float32]

DEPTH = 100
WAYS = (
    ("vector", {"mode": "vector"}),
    ("keyword", {"mode": "keyword"}),
    ("hybrid", {"mode": "hybrid"}),
    ("hybrid, rrf", {"mode": "hybrid", "fusion": "rrf"}),
)


def write(file: Path, bundle: Bundle, dataset: Dataset, vectors: Floats, kind: str) -> None:
    """Write an index of the data set with one chunk for each document."""
    settings = IndexSettings(bundle.manifest.embedding.max_tokens, encoding=VectorEncoding(kind))
    store = make_store(file, Fingerprint.of(bundle.manifest), settings)
    writer = Writer(store)
    rows = writer.rows(vectors)
    writer.put(
        (
            Entry(DocumentKey("corpus.jsonl", key), digest_of(key.encode())),
            [(Chunk(key, 1, (), text, 0, len(text)), row)],
        )
        for (key, text), row in zip(dataset.documents.items(), rows, strict=True)
    )
    store.compact()
    store.close()


def main() -> None:
    """Print nDCG@10 and Recall@10 of each search mode for each data set."""
    bundle = Bundle.open(sys.argv[1])
    embedder = Embedder.open(bundle, on_truncate="ignore")
    for folder in map(Path, sys.argv[2:]):
        dataset = read_beir(folder)
        documents = embedder.encode_document(list(dataset.documents.values()))
        queries = embedder.encode_query(list(dataset.queries.values()))
        indices, _ = rank(queries, documents, DEPTH)
        print_row(dataset, "exact evaluation", to_rankings(dataset, indices))
        for kind in ("float16", "int8"):
            with tempfile.TemporaryDirectory() as name:
                file = Path(name, "quality.index")
                write(file, bundle, dataset, documents, kind)
                index = Index(open_store(file), BundleModel(bundle, embedder))
                for way, options in WAYS if kind == "float16" else WAYS[:1]:
                    started = time.perf_counter()
                    answers = index.search_many(dataset.queries.values(), DEPTH, **options)  # type: ignore[arg-type]
                    took = (time.perf_counter() - started) / len(answers) * 1e3
                    found = {
                        query: [hit.source.split("#", 1)[1] for hit in hits]
                        for query, hits in zip(dataset.queries, answers, strict=True)
                    }
                    print_row(dataset, f"index, {kind}, {way} ({took:.0f} ms a query)", found)
                index.close()


def print_row(dataset: Dataset, what: str, found: dict[str, list[str]]) -> None:
    """Print a row."""
    scores = score(dataset, found).means
    ndcg, recall = scores["nDCG@10"], scores["Recall@10"]
    print(f"{dataset.name}: {what}: nDCG@10 {ndcg:.4f}, Recall@10 {recall:.4f}", flush=True)


if __name__ == "__main__":
    main()
