"""Measure what search finds while an index is migrated to another model, and what it costs.

    python benchmarks/index_migration.py find OLD_BUNDLE NEW_BUNDLE DATASET... [--cache FOLDER]
    python benchmarks/index_migration.py cost BUNDLE CHUNKS

`find` measures both directions on data sets in BEIR's layout. Every document is one chunk,
truncated at the shorter limit of both models. For each share of new vectors it writes an index of
them, with predictions for the rest, and prints nDCG@10 by vectors and by both. The prediction for a
text comes from a map that was fitted on up to 2048 other texts, as `minnow index migrate` fits it;
so at 0 % none of the new vectors plays a part for its own text. With `--cache`, vectors are kept
there for the next run.

`cost` migrates records with models that cost nothing, and prints the time beside that of indexing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from search_quality import write

from minnow import Bundle, Embedder
from minnow.datasets import read_beir
from minnow.evaluate import paired_bootstrap, score
from minnow.migration import migrate_store
from minnow.migration.fitting import fit
from minnow.migration.running import SAMPLE
from minnow.search import BundleModel, Index, Record, open_index, open_store
from minnow.search.records import put_records
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from minnow.datasets import Dataset

    Floats = NDArray[np.float32]

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
MODES = ("vector", "hybrid")
WIDTHS = (384, 768)


def predict(old: Floats, new: Floats, kind: Similarity) -> Floats:
    """Predict every new vector by a map that was fitted on other texts."""
    folds = np.random.default_rng(1).permutation(len(old)) % 5
    predicted = np.empty(new.shape, np.float32)
    for fold in range(5):
        others = np.random.default_rng(fold).permutation(np.flatnonzero(folds != fold))[:SAMPLE]
        found = fit(old[others], new[others], kind)
        print(f"  {found.method}, mean cosine {found.cosine:.3f}, {len(others)} texts", flush=True)
        predicted[folds == fold] = found.alignment.predict(old[folds == fold])
    return predicted


class Known:
    """A model whose vectors of questions are known."""

    def __init__(self, model: BundleModel, queries: dict[str, Floats]) -> None:
        self.fingerprint, self.tokenizer, self.room = model.fingerprint, model.tokenizer, model.room
        self._queries = queries

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        """Fail: the index has them."""
        raise NotImplementedError

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        """Return the vectors of questions."""
        return np.array([self._queries[text] for text in texts])


def measure(
    dataset: Dataset, bundle: Bundle, model: Known, vectors: Floats, modes: Sequence[str] = MODES
) -> list[NDArray[np.float64]]:
    """Return nDCG@10 of every question in each mode, in an index of vectors."""
    measured = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "migration.index")
        write(file, bundle, dataset, vectors, "float16")
        with Index(open_store(file), model) as index:
            for mode in modes:
                answers = index.search_many(dataset.queries.values(), 10, mode=mode)  # type: ignore[arg-type]
                found = {
                    query: [hit.source.split("#", 1)[1] for hit in hits]
                    for query, hits in zip(dataset.queries, answers, strict=True)
                }
                measured.append(score(dataset, found).weighted("nDCG@10"))
    return measured


def embed(dataset: Dataset, bundle: Bundle, cache: Path | None, limit: int) -> tuple[Known, Floats]:
    """Embed documents and questions, or read their vectors."""
    file = (
        cache
        and cache
        / f"{dataset.name.replace('/', '-')}-{bundle.manifest.source.weights_sha256[:12]}.npz"
    )
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        if file and file.exists():
            found = np.load(file)
            documents, queries = found["documents"], found["queries"]
        else:
            model = BundleModel(bundle, embedder)
            model.tokenizer.enable_truncation(limit)
            texts = [
                text[: model.tokenizer.encode(text).offsets[-2][1]]
                for text in dataset.documents.values()
            ]
            documents = normalize(embedder.encode_document(texts))
            queries = normalize(embedder.encode_query(list(dataset.queries.values())))
            if file:
                np.savez(file, documents=documents, queries=queries)
        known = dict(zip(dataset.queries.values(), queries, strict=True))
        return Known(BundleModel(bundle, embedder), known), documents


def find(bundles: Sequence[Bundle], dataset: Dataset, cache: Path | None) -> None:
    """Print what is found in both directions."""
    limit = min(bundle.manifest.embedding.max_tokens for bundle in bundles)
    embedded = [embed(dataset, bundle, cache, limit) for bundle in bundles]
    modes = (*MODES, "keyword")
    ends = [
        measure(dataset, bundle, *made, modes)
        for bundle, made in zip(bundles, embedded, strict=True)
    ]
    for old, new in ((0, 1), (1, 0)):
        names = [embedded[i][0].fingerprint.shown for i in (old, new)]
        print(f"{dataset.name}: {names[0]} -> {names[1]}, nDCG@10 by vectors and by both")
        print(f"  old {[round(float(row.mean()), 4) for row in ends[old]]} (last: keywords)")
        model, vectors = embedded[new]
        kind = Similarity(model.fingerprint.similarity)
        predicted = predict(embedded[old][1], vectors, kind)
        order = np.random.default_rng(2).permutation(len(vectors)) / len(vectors)
        for share in SHARES:
            mixed = np.where(order[:, None] < share, vectors, predicted)
            rows = measure(dataset, bundles[new], model, mixed)
            gap = paired_bootstrap(rows[1], ends[new][1])
            print(
                f"  {share:4.0%}  {rows[0].mean():.4f}  {rows[1].mean():.4f}, "
                f"{rows[1].mean() / ends[new][1].mean():.1%} of the end "
                f"({gap.difference:+.4f}, {gap.low:+.4f} to {gap.high:+.4f})",
                flush=True,
            )


class Instant:
    """A model that costs nothing: random vectors."""

    def __init__(self, model: BundleModel, width: int) -> None:
        self.fingerprint = replace(model.fingerprint, width=width, weights_sha256=f"{width:064}")
        self.tokenizer, self.room = model.tokenizer, model.room

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        """Return random vectors."""
        rows = np.random.default_rng(len(texts)).normal(size=(len(texts), self.fingerprint.width))
        return normalize(rows)

    encode_queries = encode_documents


def cost(bundle: Bundle, count: int) -> None:
    """Print the time beside embedding of indexing and of migrating."""
    chance = np.random.default_rng(0)
    words = np.array([f"word{i}" for i in range(20_000)])
    drawn = words[chance.integers(len(words), size=(count, 4, 10))]
    texts = [". ".join(map(" ".join, rows)) for rows in drawn]
    with tempfile.TemporaryDirectory() as folder, Embedder.open(bundle) as embedder:
        old, new = (Instant(BundleModel(bundle, embedder), width) for width in WIDTHS)
        store = open_index(Path(folder, "cost.index"), old)
        for what in ("indexing", "migrating"):
            started, cpu = time.perf_counter(), time.process_time()
            if what == "indexing":
                for start in range(0, count, 256):
                    rows = enumerate(texts[start : start + 256], start)
                    put_records(store, old, [Record(str(i), text) for i, text in rows])
                store.compact()
            else:
                assert migrate_store(store, new).is_finished
            cpu, took = time.process_time() - cpu, time.perf_counter() - started
            print(
                f"{what} {count} chunks beside embedding: {cpu:.1f} s of CPU, {took:.1f} s; "
                f"{cpu / count * 1e3:.2f} ms a chunk",
                flush=True,
            )
        store.close()


def main() -> None:
    """Run one of both."""
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    finding = commands.add_parser("find")
    finding.add_argument("bundles", nargs=2)
    finding.add_argument("datasets", nargs="+", type=Path)
    finding.add_argument("--cache", type=Path)
    costing = commands.add_parser("cost")
    costing.add_argument("bundle")
    costing.add_argument("chunks", type=int)
    options = parser.parse_args()
    if options.command == "cost":
        cost(Bundle.open(options.bundle), options.chunks)
        return
    bundles = [Bundle.open(folder) for folder in options.bundles]
    for folder in options.datasets:
        find(bundles, read_beir(folder), options.cache)


if __name__ == "__main__":
    main()
