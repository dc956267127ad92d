"""Measure what padding costs MNN, with subnormal numbers and with zeros in their place.

    python benchmarks/padding.py BUNDLE [BATCHxTOKENS]

One thread, 8x128 by default. Rows are of evenly spread lengths, from the whole down to a share of
it. CPU times are medians of rounds in which both take turns. Both give the same bits, or it fails.
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import nullcontext
from unittest import mock

import numpy as np

from minnow import Bundle
from minnow.engines.base import TokenBatch
from minnow.engines.mnn import MnnEngine
from minnow.engines.subnormals import subnormals_as_zeros

SHORTEST = (1.0, 0.94, 0.75, 0.25)
ROUNDS = 7


def main() -> None:
    """Print a row of a Markdown table for each share of padding."""
    bundle = Bundle.open(sys.argv[1])
    rows, _, tokens = (sys.argv[2] if sys.argv[2:] else "8x128").partition("x")
    spec = bundle.manifest.encoder
    engine = MnnEngine(bundle.encoder, spec, threads=1)
    ids = np.random.default_rng(0).integers(1000, spec.vocab_size, (int(rows), int(tokens)))
    print("| padding | subnormal numbers, ms | zeros, ms | ratio |\n|---|---|---|---|")
    for share in SHORTEST:
        lengths = np.linspace(int(tokens), share * int(tokens), int(rows)).astype(int)
        texts = [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)]
        batch = TokenBatch.pad(texts, spec.pad_token_id)
        before, after = measure(engine, batch)
        padding = 1 - batch.attention_mask.mean()
        ratio = after / before
        print(f"| {padding:.0%} | {before * 1e3:.0f} | {after * 1e3:.0f} | {ratio:.2f} |")


def measure(engine: MnnEngine, batch: TokenBatch) -> tuple[float, float]:
    """Return the median seconds of a pass with subnormal numbers, and with zeros."""
    seconds: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS + 1):
        found = []
        for times, context in zip(seconds, (nullcontext, subnormals_as_zeros), strict=True):
            with mock.patch("minnow.engines.mnn.subnormals_as_zeros", context):
                started = time.process_time()
                found.append(engine.run(batch))
                times.append(time.process_time() - started)
        if not np.array_equal(found[0], found[1]):
            sys.exit(f"The vectors differ by {np.abs(found[0] - found[1]).max()}.")
    first, second = (statistics.median(times[1:]) for times in seconds)
    return first, second


if __name__ == "__main__":
    main()
