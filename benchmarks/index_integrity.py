"""What the checks of an index file cost: adding rows, opening, and checking all of it.

    python benchmarks/index_integrity.py FOLDER [CHUNKS] [CHUNKS_PER_DOCUMENT]

It writes an index of random unit vectors of 384 numbers and made-up texts of 60 words, without a
model, 256 chunks in a transaction. Then it opens it in this process three times, and prints the
best time of each step.
"""

from __future__ import annotations

import random
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fakes.searching import FakeModel

from minnow.chunks import Chunk
from minnow.search import Index, IndexSettings, make_store, open_store
from minnow.search.writer import DocumentKey, Entry, Writer, digest_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from minnow.search import Store

WIDTH = 384
WORDS = [f"word{number}" for number in range(20_000)]


def main() -> None:
    """Print the figures."""
    file = Path(sys.argv[1]) / "integrity.index"
    chunks = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    each = int(sys.argv[3]) if len(sys.argv) > 3 else 4
    for path in file.parent.glob("integrity.index*"):
        path.unlink()
    model = FakeModel(width=WIDTH, max_tokens=256)
    fingerprint = replace(model.fingerprint)
    store = make_store(file, fingerprint, IndexSettings(256))
    print(f"{chunks} chunks, {each} a document")
    print(f"adding            {add(store, chunks, each):8.2f} s")
    started = time.process_time()
    store.compact()
    store.close()
    print(f"compacting        {time.process_time() - started:8.2f} s")
    print(f"file              {file.stat().st_size / 1e6:8.1f} MB")
    vector = np.random.default_rng(1).normal(size=WIDTH).astype(np.float32)
    steps = {
        "opening, vector search": lambda index: index.search_vectors(vector),
        "opening, keyword search": lambda index: index.search("word7 word9", mode="keyword"),
        "check()": lambda index: index.check(),
    }
    for name, step in steps.items():
        print(f"{name:<24}{min(timed(file, step) for _ in range(3)):6.3f} s")
    print(f"single records    {singly(file):8.2f} ms each")


def add(store: Store, chunks: int, each: int) -> float:
    """Write the documents, and return the seconds that writing took."""
    writer, rng, chance = Writer(store), np.random.default_rng(0), random.Random(0)
    spent, number = 0.0, 0
    while number * each < chunks:
        block: list[tuple[int, list[str], np.ndarray]] = []
        while len(block) * each < 256 and number * each < chunks:
            vectors = rng.normal(size=(each, WIDTH)).astype(np.float32)
            vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
            texts = [" ".join(chance.choices(WORDS, k=60)) for _ in range(each)]
            block.append((number, texts, vectors))
            number += 1
        started = time.process_time()
        writer.put(
            (
                Entry(DocumentKey(f"docs/{name}.txt"), digest_of(b"x"), {"number": name}),
                [
                    (Chunk("", i + 1, (), text, 0, len(text)), row)
                    for i, (text, row) in enumerate(zip(texts, writer.rows(vectors), strict=True))
                ],
            )
            for name, texts, vectors in block
        )
        spent += time.process_time() - started
    return spent


def singly(file: Path) -> float:
    """Add documents of one chunk in a transaction each, and return milliseconds for each."""
    store = open_store(file, writable=True)
    try:
        return min(add(store, 50, 1) for _ in range(3)) / 50 * 1000
    finally:
        store.close()


def timed(file: Path, step: Callable[[Index], object]) -> float:
    """Return the seconds of opening an index and one step."""
    started = time.process_time()
    index = Index(open_store(file))
    try:
        step(index)
        return time.process_time() - started
    finally:
        index.close()


if __name__ == "__main__":
    main()
