"""Embed many texts from a generator, and print the memory on the way.

    python benchmarks/stream_memory.py BUNDLE DATASET [TEXTS]

DATASET is a directory in BEIR's layout; its documents repeat, each cut to another length, until
there are TEXTS of them (100 000 by default).
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from minnow import Embedder
from minnow.datasets import read_beir
from minnow.processes import peak_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

WORDS = (6, 12, 24, 9, 48, 15, 7, 30)


def texts(folder: Path, count: int) -> Iterator[str]:
    """Yield documents repeatedly, each cut after some words."""
    documents = [text.split() for text in read_beir(folder).documents.values()]
    for i in range(count):
        words = documents[i % len(documents)]
        start = i // len(documents) % max(1, len(words) - 4)
        yield " ".join(words[start : start + WORDS[i % len(WORDS)]])


def main() -> None:
    """Print a row for the first block and then for each tenth of the texts."""
    bundle, folder = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 100_000
    started, done, printed = time.monotonic(), 0, 0
    with Embedder.open(bundle) as embedder:
        print(f"open: peak {peak_memory() / 1e6:.0f} MB")
        for block, _ in embedder.encode_stream(texts(Path(folder), count), on_truncate="ignore"):
            done += len(block)
            if done >= printed:
                seconds = time.monotonic() - started
                peak = peak_memory() / 1e6
                print(
                    f"{done:7} texts: peak {peak:.0f} MB, {done / seconds:.0f} texts/s", flush=True
                )
                printed += count // 10
    print(f"{done:7} texts: peak {peak_memory() / 1e6:.0f} MB")


if __name__ == "__main__":
    main()
