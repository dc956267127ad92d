"""Measure how fast search in a large index is, and how much the sidecar finds.

    minnow embed BUNDLE --role document --input documents.txt --output documents.npy
    minnow embed BUNDLE --role query --input queries.txt --output queries.npy
    python benchmarks/search_speed.py FOLDER documents.npy queries.npy CHUNKS [--sidecar]

The vectors are synthetic: each lies between a real one and one of its ten nearest, with noise of
the real vectors' covariance. The queries are real. The time is that of `Index.search_vectors` for
one query and ten hits, from the call to the texts; the first calls, which read the vectors, do not
count.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minnow.chunks import Chunk
from minnow.processes import peak_memory
from minnow.search import Fingerprint, Index, IndexSettings, make_store
from minnow.search.writer import DocumentKey, Entry, Writer, digest_of
from minnow.vectors import normalize

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

BLOCK = 20_000
NEAREST = 10
NOISE = 0.5
TIMED = 200


def made_vectors(real: Floats, count: int) -> Iterator[Floats]:
    """Yield blocks of vectors of length 1 that are distributed like real ones."""
    generator = np.random.default_rng(0)
    near = np.argsort(-(real @ real.T), axis=1)[:, 1 : NEAREST + 1]
    centred = real - real.mean(0)
    _, spread, directions = np.linalg.svd(centred, full_matrices=False)
    spread = spread / np.sqrt(len(real))
    gap = np.linalg.norm(real - real[near[:, 0]], axis=1).mean()
    scale = NOISE * gap / np.linalg.norm(spread)
    for start in range(0, count, BLOCK):
        rows = min(BLOCK, count - start)
        first = generator.integers(0, len(real), rows)
        second = near[first, generator.integers(0, NEAREST, rows)]
        share = generator.random((rows, 1)).astype(np.float32)
        noise = generator.normal(size=(rows, len(spread))).astype(np.float32) * (scale * spread)
        made = real[first] * (1 - share) + real[second] * share + noise @ directions
        yield normalize(made.astype(np.float32))


def make_index(file: Path, real: Floats, count: int) -> None:
    """Write an index of synthetic vectors with a hundred chunks per document."""
    width = real.shape[1]
    fingerprint = Fingerprint(
        "made", None, None, "0" * 64, "0" * 64, "mean", True, "", "", False, 256, width,
        "cosine", "fp32", "last_hidden_state", 1.0,
    )  # fmt: skip
    store = make_store(file, fingerprint, IndexSettings(256))
    writer, done = Writer(store), 0
    for vectors in made_vectors(real, count):
        rows = writer.rows(vectors)
        documents = []
        for start in range(0, len(rows), 100):
            name = f"{(done + start) // 100}.txt"
            chunks = [
                Chunk(name, i + 1, (), f"made {done + start + i}", 0, 0)
                for i in range(len(rows[start : start + 100]))
            ]
            documents.append(
                (
                    Entry(DocumentKey(name), digest_of(name.encode())),
                    zip(chunks, rows[start : start + 100], strict=True),
                )
            )
        writer.put(documents)
        done += len(rows)
    store.compact()
    store.close()


def timed(index: Index, queries: Floats) -> tuple[list[list[int]], str]:
    """Return the ids of ten hits for each query, and the time of each search."""
    index.search_vectors(queries[0])
    found, seconds = [], []
    for query in queries:
        started = time.perf_counter()
        (hits,) = index.search_vectors(query)
        seconds.append(time.perf_counter() - started)
        found.append([hit.id for hit in hits])
    p50, p95 = np.percentile(seconds, (50, 95)) * 1e3
    return found, f"p50 {p50:.1f} ms, p95 {p95:.1f} ms"


def main() -> None:
    """Print a row for exact search, and one for the sidecar."""
    folder, real, asked = Path(sys.argv[1]), np.load(sys.argv[2]), np.load(sys.argv[3])
    count = int(sys.argv[4])
    file = folder / f"made-{count}.index"
    if not file.exists():
        started = time.monotonic()
        make_index(file, real, count)
        print(f"{count} chunks written in {time.monotonic() - started:.0f} s", flush=True)
    queries = asked[np.random.default_rng(1).permutation(len(asked))[:TIMED]]
    with Index.open(file, sidecar="never") as index:
        started = time.monotonic()
        index.search_vectors(queries[0])
        print(f"first exact search, which reads all vectors: {time.monotonic() - started:.1f} s")
        exact, summary = timed(index, queries)
    print(f"exact, {count} chunks: {summary}; peak {peak_memory() / 1e6:.0f} MB", flush=True)
    if "--sidecar" not in sys.argv:
        return
    with Index.open(file, sidecar="always") as index:
        started = time.monotonic()
        index.build_sidecar()
        print(f"sidecar: {time.monotonic() - started:.0f} s", flush=True)
    with Index.open(file, sidecar="always") as index:
        near, summary = timed(index, queries)
    shares = [len(set(a) & set(b)) / len(b) for a, b in zip(near, exact, strict=True)]
    size = file.with_name(f"{file.name}.usearch").stat().st_size
    found = f"recall@10 {np.mean(shares):.4f}, {size / 1e6:.0f} MB"
    print(f"sidecar, {count} chunks: {summary}; {found}")


if __name__ == "__main__":
    main()
