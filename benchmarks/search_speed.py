"""Measure how fast search in a large index is, how much it finds, and what it takes.

    minnow embed BUNDLE --role document --input documents.txt --output documents.npy
    minnow embed BUNDLE --role query --input queries.txt --output queries.npy
    python benchmarks/search_speed.py FOLDER documents.npy queries.npy CHUNKS [--resample]
        [--sidecar] [--faiss] [--sqlite-vec]

Vectors are synthetic: each lies between a real one and one of its ten nearest, with noise of the
real vectors' covariance. With --resample they are the real ones, and then real ones with such
noise. The queries are real. The time is that of `Index.search_vectors` for one query and ten hits,
from the call to the texts, in rounds of one system after the other; the first calls, which read
vectors or codes, do not count.

faiss-cpu's binary index ranks by distance, then by the vectors in memory; sqlite-vec compares with
all vectors. Neither reads a text. faiss-cpu, sqlite-vec and pysqlite3-binary have to be
installed by hand.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minnow.chunks import Chunk
from minnow.indexfile.codes import update_codes
from minnow.search import Fingerprint, Index, IndexSettings, make_store, open_store
from minnow.search.writer import DocumentKey, Entry, Writer, digest_of
from minnow.vectors import normalize

if TYPE_CHECKING:
    from collections.abc import Iterator

Floats = NDArray[np.float32]

BLOCK = 20_000
NEAREST = 10
NOISE = 0.5
RESAMPLED_NOISE = 0.6
TIMED = 150
ROUNDS = 5
NEAR = 7250
FAISS_CANDIDATES = 300

Search = Callable[[Floats], list[int]]


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


def resampled(real: Floats, count: int) -> Iterator[Floats]:
    """Yield blocks of real vectors, and then of real ones with noise of their covariance."""
    generator = np.random.default_rng(0)
    sample = real[:BLOCK]
    _, spread, directions = np.linalg.svd(sample - sample.mean(0), full_matrices=False)
    spread = RESAMPLED_NOISE * spread / np.sqrt(len(sample))
    for start in range(0, count, BLOCK):
        rows = min(BLOCK, count - start)
        block = real[start : start + rows]
        chosen = real[generator.integers(0, len(real), rows - len(block))]
        noise = generator.normal(size=(len(chosen), len(spread))).astype(np.float32) * spread
        yield np.concatenate([block, normalize((chosen + noise @ directions).astype(np.float32))])


def make_index(file: Path, blocks: Iterator[Floats], width: int) -> None:
    """Write an index of vectors with a hundred chunks per document."""
    fingerprint = Fingerprint(
        "made", None, None, "0" * 64, "0" * 64, "mean", True, "", "", False, 256, width,
        "cosine", "fp32", "last_hidden_state", 1.0,
    )  # fmt: skip
    store = make_store(file, fingerprint, IndexSettings(256))
    writer, done = Writer(store), 0
    for vectors in blocks:
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


def search_with(index: Index) -> Search:
    """Return the search of an index as a function from a query to the ids of ten hits."""
    return lambda query: [hit.id for hit in index.search_vectors(query)[0]]


def faiss_search(vectors: Floats) -> Search:
    """Return a search by faiss: signs of centred vectors, then the vectors themselves."""
    import faiss

    centre = vectors.mean(axis=0)
    index = faiss.IndexBinaryFlat(vectors.shape[1])
    index.add(np.packbits(vectors > centre, axis=1))

    def search(query: Floats) -> list[int]:
        _, found = index.search(np.packbits(query > centre)[None], FAISS_CANDIDATES)
        near = found[0]
        return [int(i) + 1 for i in near[np.argsort(-(vectors[near] @ query))[:10]]]

    return search


def sqlite_vec_search(vectors: Floats) -> Search:
    """Return a search by sqlite-vec, which compares with all vectors, in a database in memory."""
    import pysqlite3  # Python's own sqlite3 is often built without extensions
    import sqlite_vec

    database = pysqlite3.connect(":memory:")
    database.enable_load_extension(True)
    sqlite_vec.load(database)
    database.execute(
        f"CREATE VIRTUAL TABLE v USING vec0(e float[{vectors.shape[1]}] distance_metric=cosine)"
    )
    rows = ((i + 1, row.tobytes()) for i, row in enumerate(vectors))
    database.executemany("INSERT INTO v (rowid, e) VALUES (?, ?)", rows)
    question = "SELECT rowid FROM v WHERE e MATCH ? AND k = 10 ORDER BY distance"
    return lambda query: [row[0] for row in database.execute(question, (query.tobytes(),))]


def compare(systems: dict[str, Search], queries: Floats, exact: list[list[int]]) -> None:
    """Print the time and recall of each system, in rounds of one after the other."""
    seconds: dict[str, list[float]] = {name: [] for name in systems}
    shares: dict[str, list[float]] = {name: [] for name in systems}
    for part in range(ROUNDS):
        for name, search in systems.items():
            some = range(part, len(queries), ROUNDS)
            if "sqlite-vec" in name:
                some = some[:4]
            search(queries[0])
            for i in some:
                started = time.perf_counter()
                found = search(queries[i])
                seconds[name].append(time.perf_counter() - started)
                shares[name].append(len(set(found) & set(exact[i])) / len(exact[i]))
    for name in systems:
        p50, p95 = np.percentile(seconds[name], (50, 95)) * 1e3
        print(f"{name}: p50 {p50:.1f} ms, p95 {p95:.1f} ms, recall@10 {np.mean(shares[name]):.4f}")


def measure_codes(file: Path, queries: Floats) -> None:
    """Print what codes take: room, time to make, memory and time of a first search."""
    store = open_store(file, writable=True)
    with store.reading() as database:
        (size,) = database.execute("SELECT sum(pgsize) FROM dbstat WHERE name = 'codes'").fetchone()
    whole = file.stat().st_size
    started = time.monotonic()
    with store.writing() as database:
        update_codes(database, queries.shape[1], store.settings.encoding, anew=True)
    made = time.monotonic() - started
    store.close()
    print(
        f"codes: {size / 1e6:.1f} MB, {size / (whole - size):.1%} of the rest; made in {made:.0f} s"
    )
    code = (
        "import sys, time, numpy as np\n"
        "from minnow.processes import peak_memory\nfrom minnow.search import Index\n"
        "query = np.load(sys.argv[2])[0]\nbefore = peak_memory()\nstarted = time.monotonic()\n"
        "index = Index.open(sys.argv[1])\n"
        "index.search('made 7', mode='keyword')\nwords = time.monotonic() - started\n"
        "started = time.monotonic()\nindex.search_vectors(query)\n"
        "print(f'opened, first search by words: {words:.2f} s; first by codes: '\n"
        "      f'{time.monotonic() - started:.2f} s; peak {peak_memory() / 1e6:.0f} MB, '\n"
        "      f'{before / 1e6:.0f} of them before')"
    )
    subprocess.run([sys.executable, "-c", code, str(file), sys.argv[3]], check=True)


def main() -> None:
    """Print what codes take, and a row for each way of searching."""
    folder, real, asked = Path(sys.argv[1]), np.load(sys.argv[2]), np.load(sys.argv[3])
    count, resample = int(sys.argv[4]), "--resample" in sys.argv
    file = folder / f"{'resampled' if resample else 'made'}-{count}.index"
    if not file.exists():
        started = time.monotonic()
        blocks = resampled(real, count) if resample else made_vectors(real[:NEAR], count)
        make_index(file, blocks, real.shape[1])
        print(f"{count} chunks written in {time.monotonic() - started:.0f} s", flush=True)
    queries = asked[np.random.default_rng(1).permutation(len(asked))[:TIMED]]
    measure_codes(file, queries)
    exact = Index.open(file, sidecar="never")
    truth = [search_with(exact)(query) for query in queries]
    systems = {"codes": search_with(Index.open(file, sidecar="codes")), "exact": search_with(exact)}
    if "--sidecar" in sys.argv:
        sidecar = Index.open(file, sidecar="always")
        sidecar.build_sidecar()
        systems["sidecar"] = search_with(sidecar)
    others = {"--faiss": faiss_search, "--sqlite-vec": sqlite_vec_search}
    if asked_for := sorted(others.keys() & set(sys.argv)):
        vectors = np.ascontiguousarray(exact._vectors.matrix.columns.T)
        systems |= {name.removeprefix("--"): others[name](vectors) for name in asked_for}
    compare(systems, queries, truth)


if __name__ == "__main__":
    main()
