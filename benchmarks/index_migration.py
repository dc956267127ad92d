"""Measure what search finds while an index is migrated to another model, and what it costs.

    python benchmarks/index_migration.py find OLD_BUNDLE NEW_BUNDLE DATASET... [--cache FOLDER]
    python benchmarks/index_migration.py cost BUNDLE CHUNKS

`find` measures both directions on data sets in BEIR's layout. Every document is one chunk,
truncated at the shorter limit of both models. For each share of new vectors, with predictions for
the rest, it prints nDCG@10 by vectors and by both. The prediction for a text comes from a map that
was fitted on up to 2048 other texts, as `minnow index migrate` fits it; so at 0 % none of the new
vectors plays a part for its own text. Vectors are rounded to float16 as in an index, BM25 comes
from an index of the texts, and both are fused as `Index` fuses them. With `--cache`, vectors are
kept there for the next run.

`cost` migrates records with models that cost nothing, and prints the time beside that of indexing.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from search_quality import write

from minnow import Bundle, Embedder
from minnow.datasets import read_beir
from minnow.evaluate import paired_bootstrap, score
from minnow.indexfile.fingerprint import Fingerprint
from minnow.indexfile.fusion import DEPTH, fuse_scores
from minnow.indexfile.keyword import MOST_SCORED, Keywords
from minnow.indexfile.matrix import best
from minnow.migration import migrate_store
from minnow.migration.fitting import fit
from minnow.migration.running import SAMPLE
from minnow.search import BundleModel, Record, open_index, open_store
from minnow.search.hits import scores_of
from minnow.search.records import put_records
from minnow.vectors import Similarity, normalize, similarity

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from minnow.datasets import Dataset
    from minnow.indexfile.matrix import Ranking

    Floats = NDArray[np.float32]

SHARES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
WIDTHS = (384, 768)


@dataclass(frozen=True)
class Embedded:
    """The vectors of a data set: a model's name, how it compares, documents and questions."""

    model: str
    kind: Similarity
    documents: Floats
    queries: Floats


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


def search_words(dataset: Dataset, bundle: Bundle, vectors: Floats) -> list[Ranking]:
    """Rank the documents by keywords for each question; ids are their places, from 1."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "words.index")
        width = Fingerprint.of(bundle.manifest).width
        write(
            file, bundle, dataset, np.eye(len(dataset.documents), width, dtype=np.float32), "int8"
        )
        store = open_store(file)
        keywords = Keywords(store.database)
        found = [keywords.search(text, MOST_SCORED) for text in dataset.queries.values()]
        store.close()
    return found


def measure(
    dataset: Dataset, worded: Sequence[Ranking], embedded: Embedded, vectors: Floats
) -> list[NDArray[np.float64]]:
    """Return nDCG@10 of every question, by vectors and by both."""
    stored = vectors.astype(np.float16).astype(np.float32)
    names = list(dataset.documents)
    found: tuple[dict[str, list[str]], ...] = {}, {}
    for name, question, words in zip(dataset.queries, embedded.queries, worded, strict=True):
        near = similarity(question[None], stored, embedded.kind)[0].astype(np.float64)
        nearest = best(np.arange(1, len(near) + 1), near, DEPTH)
        ids = np.union1d(nearest.ids, words.ids[:DEPTH])
        both = fuse_scores(ids, near[ids - 1], scores_of(words, ids), embedded.kind, 10)
        for rows, ranking in zip(found, (nearest.ids[:10], both.ids), strict=True):
            rows[name] = [names[id_ - 1] for id_ in ranking]
    return [score(dataset, rows).weighted("nDCG@10") for rows in found]


def embed(dataset: Dataset, bundle: Bundle, cache: Path | None, limit: int) -> Embedded:
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
        fingerprint = Fingerprint.of(bundle.manifest)
        return Embedded(fingerprint.shown, Similarity(fingerprint.similarity), documents, queries)


def find(bundles: Sequence[Bundle], dataset: Dataset, cache: Path | None) -> None:
    """Print what is found in both directions."""
    limit = min(bundle.manifest.embedding.max_tokens for bundle in bundles)
    embedded = [embed(dataset, bundle, cache, limit) for bundle in bundles]
    worded = search_words(dataset, bundles[0], embedded[0].documents)
    ends = [measure(dataset, worded, one, one.documents) for one in embedded]
    for old, new in ((0, 1), (1, 0)):
        print(f"{embedded[old].model} -> {embedded[new].model}, nDCG@10 by vectors and by both")
        print(f"   old  {ends[old][0].mean():.4f}  {ends[old][1].mean():.4f}")
        vectors = embedded[new].documents
        predicted = predict(embedded[old].documents, vectors, embedded[new].kind)
        order = np.random.default_rng(2).permutation(len(vectors)) / len(vectors)
        for share in SHARES:
            mixed = np.where(order[:, None] < share, vectors, predicted)
            rows = measure(dataset, worded, embedded[new], mixed)
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
