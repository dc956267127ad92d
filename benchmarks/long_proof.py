"""CPU seconds and memory of proving a model of 8192 tokens, and of embedding with its bundle.

Run it as `PYTHONPATH=src:tests python benchmarks/long_proof.py 22`: the number of layers of a
random network of ModernBERT-base's shape. Each step prints its seconds, its CPU seconds (those of
MNN's converter included) and the peak of the process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from fakes.checkpoint import write_model
from long_texts import SHAPE

from minnow import Embedder
from minnow.convert import convert, verify


class _Clock:
    """Prints what each step took, when the next one starts."""

    def __init__(self) -> None:
        self._last = time.monotonic(), _cpu_seconds(), "writing the checkpoint"

    def __call__(self, step: str) -> None:
        now, cpu = time.monotonic(), _cpu_seconds()
        before, spent, name = self._last
        rows = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        peak = next(int(row.split()[1]) for row in rows if row.startswith("VmHWM"))
        print(
            f"{now - before:8.1f} s {cpu - spent:8.1f} CPU s, peak {peak / 1e6:.2f} GB: {name}",
            flush=True,
        )
        self._last = now, cpu, step


def main() -> None:
    """Convert, verify, and embed one text of the limit's length."""
    layers = int(sys.argv[1])
    clock = _Clock()
    with TemporaryDirectory() as name:
        shape = SHAPE | {"num_hidden_layers": layers}
        source = write_model(Path(name) / "model", family="modernbert", max_tokens=8192, **shape)
        pooling = {
            "word_embedding_dimension": SHAPE["hidden_size"],
            "pooling_mode_mean_tokens": True,
        }
        (source / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="ascii")
        bundle = convert(str(source), Path(name) / "long.minnow", offline=True, progress=clock)
        parity = bundle.manifest.parity
        clock("opening the bundle")
        with Embedder.open(bundle, threads=1) as embedder:
            clock("embedding a text of more than 8192 tokens")
            embedder.encode("keel " * 9000, on_truncate="ignore")
        clock("verify")
        verify(bundle, offline=True, progress=clock)
        clock("end")
    print(parity)


def _cpu_seconds() -> float:
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


if __name__ == "__main__":
    main()
