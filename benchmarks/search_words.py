"""Measure keyword search in some language: what it finds, its time, and the size of the index.

    python benchmarks/search_words.py FILE.json|FOLDER...

A FILE is in SQuAD's JSON, as those of XQuAD, JSQuAD and KorQuAD: each paragraph is a chunk, and
answers the questions asked about it. A FOLDER is a data set in BEIR's layout. The vectors are
random, of 384 dimensions in float16, so that no model is needed.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from minnow.chunks import Chunk
from minnow.datasets import Dataset, read_beir
from minnow.evaluate import score
from minnow.search import Fingerprint, Index, IndexSettings, make_store, open_store
from minnow.search.writer import DocumentKey, Entry, Writer, digest_of
from minnow.vectors import normalize

WIDTH = 384
DEPTH = 10
SHADOWS = "SELECT sum(pgsize) FROM dbstat WHERE name LIKE 'chunks_fts%'"
ROWS = "SELECT sum(pgsize) FROM dbstat WHERE name = 'chunks'"
TEXT = "SELECT sum(length(CAST(text AS BLOB))) FROM chunks"


def read_squad(file: Path) -> Dataset:
    """Read paragraphs and their questions."""
    documents: dict[str, str] = {}
    queries: dict[str, str] = {}
    judgements: dict[str, dict[str, int]] = {}
    for article in json.loads(file.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            key = digest_of(paragraph["context"].encode()).hex()
            documents[key] = paragraph["context"]
            for asked in paragraph["qas"]:
                name = str(len(queries))
                queries[name], judgements[name] = asked["question"], {key: 1}
    return Dataset(file.stem, documents, queries, judgements)


def write(file: Path, dataset: Dataset) -> float:
    """Write an index with one chunk for each document; return the seconds."""
    fingerprint = Fingerprint(
        "made", None, None, "0" * 64, "0" * 64, "mean", True, "", "", False, 256, WIDTH,
        "cosine", "fp32", "last_hidden_state", 1.0,
    )  # fmt: skip
    store = make_store(file, fingerprint, IndexSettings(256))
    writer = Writer(store)
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(len(dataset.documents), WIDTH)).astype(np.float32)
    rows = writer.rows(normalize(vectors))
    started = time.perf_counter()
    writer.put(
        (
            Entry(DocumentKey("corpus", key), digest_of(key.encode())),
            [(Chunk(key, 1, (), text, 0, len(text)), row)],
        )
        for (key, text), row in zip(dataset.documents.items(), rows, strict=True)
    )
    took = time.perf_counter() - started
    store.compact()
    store.close()
    return took


def main() -> None:
    """Print a line for each data set."""
    for source in map(Path, sys.argv[1:]):
        dataset = read_beir(source) if source.is_dir() else read_squad(source)
        with tempfile.TemporaryDirectory() as name:
            file = Path(name, "words.index")
            wrote = write(file, dataset)
            index = Index(open_store(file))
            started = time.perf_counter()
            answers = index.search_many(dataset.queries.values(), DEPTH, mode="keyword")
            took = (time.perf_counter() - started) / len(answers) * 1e3
            found = {
                query: [hit.source.split("#", 1)[1] for hit in hits]
                for query, hits in zip(dataset.queries, answers, strict=True)
            }
            with index.store.reading() as database:
                sizes = [database.execute(sql).fetchone()[0] for sql in (TEXT, ROWS, SHADOWS)]
            index.close()
            count = len(dataset.documents)
            text, rows, words = (size / count for size in sizes)
            ndcg = score(dataset, found).means["nDCG@10"]
            print(
                f"{dataset.name}: nDCG@10 {ndcg:.4f}, {took:.1f} ms a query; per chunk: text "
                f"{text:.0f}, rows of texts {rows:.0f}, keyword index {words:.0f}, file "
                f"{file.stat().st_size / count:.0f} bytes; written in {wrote / count * 1e3:.2f} ms",
                flush=True,
            )


if __name__ == "__main__":
    main()
