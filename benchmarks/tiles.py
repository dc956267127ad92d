"""Measure single texts at exactly their length, and padded to whole tiles of MNN's products.

    python benchmarks/tiles.py BUNDLE [--lengths 16 18 20 22 23 24] [--threads 2] [--rounds 60]

Prints medians, in milliseconds, of rounds in which the lengths and both ways take turns. A text's
first run with a shape, which resizes the session, is not counted.
"""

from __future__ import annotations

import argparse
import time
from statistics import median

from minnow.bundle import Bundle
from minnow.engines import TokenBatch
from minnow.engines.mnn import MnnEngine


def main() -> None:
    """Print a row for each length."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("bundle")
    parser.add_argument("--lengths", type=int, nargs="+", default=[16, 18, 20, 22, 23, 24])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    bundle = Bundle.open(options.bundle)
    spec, interface = bundle.manifest.encoder, bundle.manifest.recipe.interface
    engines = [
        MnnEngine(
            bundle.encoder, spec, threads=options.threads, interface=interface,
            width=bundle.manifest.embedding.head.width(spec.width), exact=exact,
        )
        for exact in (True, False)
    ]  # fmt: skip
    taken: dict[tuple[int, int], list[float]] = {}
    for _ in range(options.rounds):
        for length in options.lengths:
            batch = TokenBatch.pad([list(range(1000, 1000 + length))], spec.pad_token_id)
            for way, engine in enumerate(engines):
                engine.run(batch)
                started = time.perf_counter()
                engine.run(batch)
                taken.setdefault((length, way), []).append(time.perf_counter() - started)
    print("| tokens | exactly, ms | padded, ms | ratio |\n|---|---|---|---|")
    for length in options.lengths:
        exactly, padded = (median(taken[length, way]) * 1e3 for way in (0, 1))
        print(f"| {length} | {exactly:.2f} | {padded:.2f} | {padded / exactly:.2f} |")


if __name__ == "__main__":
    main()
