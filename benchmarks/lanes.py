"""Measure bulk speed and memory by the number of sessions and the size of batches.

    python benchmarks/lanes.py BUNDLE DATASET [--texts 250] [--rounds 3]

"lanes" are as many sessions of one thread as there are threads; "one" is a session of all threads.
Each arrangement has a process of its own, for its peak memory; they take turns, and their tokens/s
are medians of the rounds, without the first.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from minnow import Embedder
from minnow.engines.mnn import MnnEngine
from minnow.processes import peak_memory

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

ARRANGEMENTS = (
    ("lanes", 512),
    ("lanes", 1024),
    ("lanes", 2048),
    ("one", 1024),
    ("one", 2048),
    ("one", 4096),
)


def serve(link: Connection, bundle: str, texts: list[str], sessions: str, tokens: int) -> None:
    """Embed the texts each time that the parent asks; answer seconds and peak bytes."""
    mock.patch("minnow.engines.base.TOKENS_PER_BATCH", tokens).start()
    if sessions == "one":
        mock.patch.object(MnnEngine, "lanes", lambda engine, _: (engine,)).start()
    embedder = Embedder.open(bundle, engine="mnn")
    while link.recv():
        started = time.perf_counter()
        embedder.encode(texts, batch_size=tokens // 32, on_truncate="ignore")
        link.send((time.perf_counter() - started, peak_memory()))


def main() -> None:
    """Print a row of a Markdown table for each arrangement."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle")
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--texts", type=int, default=250)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    lines = (options.dataset / "corpus.jsonl").read_text().splitlines()
    step = max(1, len(lines) // options.texts)
    texts = [json.loads(line)["text"] for line in lines[::step]][: options.texts]
    with Embedder.open(options.bundle) as embedder:
        count = sum(len(row) for row in embedder.text_tokenizer.tokenize(texts))
    context, links = get_context("spawn"), {}
    for arrangement in ARRANGEMENTS:
        links[arrangement], other = context.Pipe()
        given = (other, options.bundle, texts, *arrangement)
        context.Process(target=serve, args=given, daemon=True).start()
    found: dict[tuple[str, int], list[tuple[float, int]]] = {key: [] for key in ARRANGEMENTS}
    for _ in range(options.rounds + 1):
        for arrangement, link in links.items():
            link.send(True)
            found[arrangement].append(link.recv())
    for link in links.values():
        link.send(False)
    print("| sessions | tokens to a batch | tokens/s | peak memory, MB |\n|---|---|---|---|")
    for (sessions, tokens), rounds in found.items():
        rate = count / statistics.median(seconds for seconds, _ in rounds[1:])
        print(f"| {sessions} | {tokens} | {rate:.0f} | {rounds[-1][1] / 1e6:.0f} |")


if __name__ == "__main__":
    main()
