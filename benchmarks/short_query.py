"""Measure where the time of one short query goes, beside llama.cpp.

    python benchmarks/short_query.py BUNDLE[:MEMORY] ... GGUF ... [--rounds 5] [--calls 60]

Prints medians over rounds of one system after the other, in milliseconds: the whole call, and of a
bundle on MNN its parts, each called alone. MNN writes over its inputs, so each run is given them
again. "weights" is the time in which NumPy adds up as many bytes as the matrices of the layers take
in float32, which MNN reads for every query.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np

from minnow import Embedder
from minnow.bundle import Bundle
from minnow.engines.base import MemoryMode, TokenBatch
from minnow.engines.llama_cpp import LlamaCppEmbedder
from minnow.engines.mnn import MnnEngine

QUERY = "how long do small fish sleep at night in cold and shallow water"

Work = Callable[[], object]


def works_of_bundle(place: str) -> dict[str, Work]:
    """Return the whole call of a bundle, and its parts."""
    folder, _, memory = place.partition(":")
    embedder = Embedder.open(folder, engine="mnn", memory=MemoryMode(memory or "normal"))
    engine, tokenizer = embedder.pipeline.engine, embedder.text_tokenizer
    embedder.encode_query(QUERY)
    assert isinstance(engine, MnnEngine)
    session = engine._session
    assert session is not None
    encoder = Bundle.open(folder).manifest.encoder
    batch = TokenBatch.pad([tokenizer.tokenize([QUERY])[0].ids], encoder.pad_token_id)
    layer = 4 * encoder.width**2 + 2 * encoder.width * encoder.inner_width
    weights = np.ones(encoder.layers * layer, np.float32)

    def feed() -> None:
        for name in session._inputs:
            session._feed(name, getattr(batch, name))

    return {
        f"{place}": lambda: embedder.encode_query(QUERY),
        "  tokenizer": lambda: tokenizer.tokenize([QUERY]),
        "  inputs": feed,
        "  output": session._read,
        "  inputs, MNN's run, output": lambda: session.run(batch),
        "  weights": weights.sum,
    }


def works_of_gguf(path: str) -> dict[str, Work]:
    """Return the whole call of llama.cpp."""
    model = LlamaCppEmbedder(Path(path))
    return {path: lambda: model.encode_query([QUERY])}


def main() -> None:
    """Print a line for each system and part."""
    parser = argparse.ArgumentParser()
    parser.add_argument("systems", nargs="+")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=60)
    options = parser.parse_args()
    works: dict[tuple[str, str], Work] = {}
    for system in options.systems:
        found = works_of_gguf(system) if system.endswith(".gguf") else works_of_bundle(system)
        works |= {(system, part): work for part, work in found.items()}
    seconds: dict[tuple[str, str], list[float]] = {key: [] for key in works}
    for _ in range(options.rounds):
        for key, work in works.items():
            work()
            taken = []
            for _ in range(options.calls):
                started = time.perf_counter()
                work()
                taken.append(time.perf_counter() - started)
            seconds[key].append(median(taken))
    for (_, part), rounds in seconds.items():
        print(f"{part:40} {median(rounds) * 1e3:.3f}  (best round {min(rounds) * 1e3:.3f})")


if __name__ == "__main__":
    main()
