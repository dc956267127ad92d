"""Measure RAM, speed and fidelity of the memory modes of a bundle.

    python benchmarks/memory.py BUNDLE [REFERENCE]

Each mode runs in a process of its own, with one thread. Peak memory is that of the process after
one batch of 8 x 128 tokens, less its memory before the bundle was loaded. Speeds use CPU time,
medians of rounds in which the modes take turns; so compare the rows. Cosines are between
the vectors of 154 questions and 200 docstrings of Python's library and those of memory="normal";
with REFERENCE, another bundle of the same model, also to that one's. Linux only.
"""

from __future__ import annotations

import multiprocessing
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import numpy as np

from minnow.bundle import Bundle
from minnow.datasets import builtin_dataset
from minnow.embedder import Embedder
from minnow.engines.base import MemoryName, TokenBatch
from minnow.engines.mnn import MnnEngine, import_mnn
from minnow.manifest import TOKENIZER
from minnow.model.tokenizer import TextTokenizer
from minnow.vectors import rowwise_cosine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ROUNDS = 7
MANY, ONE = (8, 128), (1, 16)
MODES: tuple[MemoryName, ...] = get_args(MemoryName)


class Mode:
    """A bundle opened with one memory mode in this process."""

    opened: Mode

    def __init__(self, folder: Path, memory: MemoryName) -> None:
        import_mnn()
        before = peak_memory()
        self.bundle = Bundle.open(folder)
        self.spec = self.bundle.manifest.encoder
        interface = self.bundle.manifest.recipe.interface
        self.engine = MnnEngine(
            self.bundle.encoder, self.spec, threads=1, memory=memory, interface=interface
        )
        self.seconds(MANY)
        self.megabytes = peak_memory() - before

    def seconds(self, shape: tuple[int, int], runs: int = 1) -> float:
        """Return the median CPU seconds of a forward pass, without the first of a shape."""
        ids = np.random.default_rng(0).integers(0, self.spec.vocab_size, shape)
        batch = TokenBatch.pad(ids.tolist(), self.spec.pad_token_id)
        times = []
        for _ in range(runs + 1):
            started = time.process_time()
            self.engine.run(batch)
            times.append(time.process_time() - started)
        return float(np.median(times[1:]))

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return float32 vectors of shape (texts, width)."""
        embedding = self.bundle.manifest.embedding
        tokenizer = TextTokenizer(
            self.bundle.folder / TOKENIZER,
            max_tokens=embedding.max_tokens,
            lowercase=embedding.lowercase,
        )
        embedder = Embedder.from_parts(
            self.engine, tokenizer, self.spec, embedding, on_truncate="ignore"
        )
        return embedder.encode(texts)


def open_mode(folder: Path, memory: MemoryName) -> None:
    """Open the bundle once in a worker process."""
    Mode.opened = Mode(folder, memory)


def megabytes() -> float:
    """Return the peak memory of the bundle in MB."""
    return Mode.opened.megabytes


def seconds() -> tuple[float, float]:
    """Return the CPU seconds of a forward pass with many tokens and with few."""
    return Mode.opened.seconds(MANY, 3), Mode.opened.seconds(ONE, 30)


def vectors(texts: Sequence[str]) -> NDArray[np.float32]:
    """Return float32 vectors of shape (texts, width)."""
    return Mode.opened.vectors(texts)


def peak_memory() -> float:
    """Return the peak RAM of this process in MB."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("VmHWM"))


def process(folder: Path, memory: MemoryName) -> ProcessPoolExecutor:
    """Yield a worker process that opens the bundle before its first task."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(1, context, open_mode, (folder, memory))


def shown(cosines: NDArray[np.float64]) -> str:
    """Return mean, 5th percentile and minimum as cells of a table."""
    return f"{cosines.mean():.7f} | {np.percentile(cosines, 5):.7f} | {cosines.min():.7f}"


def main() -> None:
    """Measure every mode, print a row of a Markdown table for each."""
    folder, *reference = map(Path, sys.argv[1:])
    data = builtin_dataset()
    texts = [*data.queries.values(), *islice(data.documents.values(), 200)]
    modes = {memory: process(folder, memory) for memory in MODES}
    peaks = {memory: mode.submit(megabytes).result() for memory, mode in modes.items()}
    rounds = [[mode.submit(seconds).result() for mode in modes.values()] for _ in range(ROUNDS)]
    medians = np.median(rounds, axis=0)
    found = {memory: mode.submit(vectors, texts).result() for memory, mode in modes.items()}
    yardsticks = [found["normal"]]
    for other in reference:
        with process(other, "normal") as mode:
            yardsticks.append(mode.submit(vectors, texts).result())
    for mode in modes.values():
        mode.shutdown()

    size = Bundle.open(folder).encoder.stat().st_size / 1e6
    for memory, (many, one), ratios in zip(MODES, medians, medians[0] / medians, strict=True):
        cells = [
            f"{folder.name}, {size:.1f} MB",
            memory,
            f"{peaks[memory]:.0f}",
            f"{np.prod(MANY) / many:.0f}",
            f"{ratios[0]:.2f}",
            f"{one * 1e3:.1f}",
            f"{ratios[1]:.2f}",
            *(shown(rowwise_cosine(found[memory], yardstick)) for yardstick in yardsticks),
        ]
        print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
