"""Measure a query end to end in the library in C++ and in Python: CPU times, in interleaved rounds.

    PYTHONPATH=src:tests python benchmarks/native_query.py BUNDLE CORPUS LIBRARY [CHUNKS]

CORPUS is a JSONL file of BEIR, LIBRARY a libminnow.so with MNN. The index has CHUNKS (10 000)
pieces of its texts with random vectors, which cost a search as much as the bundle's. Prints the
medians of a hybrid query and of its parts in C++ (embed, vectors, words), and their ratios.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from fakes.native_api import Library, NativeBundle, NativeIndex

from minnow.bundle import Bundle
from minnow.indexfile.models import open_model
from minnow.search import Collection, Index, Record
from minnow.vectors import normalize

if TYPE_CHECKING:
    from collections.abc import Callable

ROUNDS, WORDS = 60, 60


def write_index(file: Path, bundle: Bundle, corpus: Path, count: int) -> list[str]:
    """Write an index; return questions of words of its texts."""
    rows = [json.loads(line) for line in corpus.read_text(encoding="utf-8").splitlines()]
    pieces: list[str] = []
    for row in rows * 20:
        words = f"{row.get('title', '')} {row['text']}".split()
        start = len(pieces) % 7
        pieces += [" ".join(words[i : i + WORDS]) for i in range(start, len(words), WORDS)]
    vectors = np.random.default_rng(7).normal(size=(count, bundle.manifest.width))
    rows_of = normalize(vectors.astype(np.float32))
    with open_model(bundle) as model, Collection(file, model, "pieces") as collection:
        texts = zip(pieces[:count], rows_of, strict=True)
        collection.put([Record(str(n), text, vector=row) for n, (text, row) in enumerate(texts)])
    return [" ".join(pieces[i * 131 % count].split()[5:13]) for i in range(ROUNDS)]


def main() -> None:
    """Print the medians."""
    bundle, count = Bundle.open(sys.argv[1]), int((sys.argv[4:] or ["10000"])[0])
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "a.index"
        questions = write_index(file, bundle, Path(sys.argv[2]), count)
        library = Library(Path(sys.argv[3]))
        with (
            NativeBundle(library, bundle.folder) as opened,
            NativeIndex(library, file, opened) as index,
            Index.open(file, bundle, engine="mnn") as python,
        ):
            vectors = {q: opened.encode(q).tolist() for q in questions}
            ways: dict[str, Callable[[str], object]] = {
                "C++, hybrid": index.search,
                "C++, embed": opened.encode,
                "C++, vectors": lambda q: index.search(
                    q, options={"mode": "vector"}, vector=vectors[q]
                ),
                "C++, words": lambda q: index.search(q, options={"mode": "keyword"}),
                "Python, hybrid": python.search,
            }
            chance = random.Random(3)  # so that none is always the first to read a question's words
            times: dict[str, list[float]] = {way: [] for way in ways}
            for question in questions[:2] + questions:
                for way, search in sorted(ways.items(), key=lambda _: chance.random()):
                    start = time.process_time()
                    search(question)
                    times[way].append(time.process_time() - start)
    medians = {way: 1000 * statistics.median(some[2:]) for way, some in times.items()}
    for way, median in medians.items():
        print(f"{way:16} {median:7.2f} ms CPU")
    whole = medians["C++, hybrid"]
    parts = sum(medians[way] for way in ("C++, embed", "C++, vectors", "C++, words"))
    faster = medians["Python, hybrid"] / whole
    print(f"C++: {whole / parts:.2f} of its parts, {faster:.2f} times faster than Python")


if __name__ == "__main__":
    main()
