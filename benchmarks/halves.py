"""Measure what each step of a recipe changes: rounding to halves, and biases that correct GELU.

    python benchmarks/halves.py SOURCE [--precision int8] [--texts TEXTS.jsonl COUNT]

One encoder each, whose vectors are compared with the checkpoint's forward pass in float64, over the
texts of the proof or COUNT texts spread over a file; then the CPU time of a pass on one thread,
medians of rounds in which the encoders take turns, relative to the first. int8 is rounded to the
nearest, for haste, and takes its times with low memory too.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np

from minnow.convert.encoders import write_encoders
from minnow.embedder import Embedder
from minnow.engines.base import MemoryMode, TokenBatch
from minnow.engines.mnn import MnnEngine
from minnow.model.original import read_original
from minnow.model.source import resolve
from minnow.proof.references import CheckpointReference
from minnow.recipe import RECIPES, Rounding
from minnow.records import replace

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from minnow.model.original import Original
    from minnow.recipe import Recipe

FP16 = RECIPES["fp16"]
CUT: dict[str, Any] = {"graph_file.nearest_halves": lambda values, _: values}
PLAIN: dict[str, Any] = {"quantize.corrected_biases": lambda *_: {}}
INT8 = replace(RECIPES["int8"], rounding=Rounding.NEAREST, calibration="")
Variant = tuple["Recipe", dict[str, Any]]
VARIANTS: dict[str, dict[str, Variant]] = {
    "fp16": {
        "cut by the converter": (FP16, {**CUT, **PLAIN}),
        "rounded to the nearest": (FP16, PLAIN),
        "and biases that correct GELU": (FP16, {}),
        "exact GELU": (replace(FP16, exact_gelu=True), {}),
    },
    "int8": {
        "exact GELU": (replace(INT8, exact_gelu=True), {}),
        "MNN's GELU": (INT8, PLAIN),
        "and biases that correct it": (INT8, {}),
    },
}
MEMORY = {"fp16": (MemoryMode.NORMAL,), "int8": (MemoryMode.NORMAL, MemoryMode.LOW)}
SHAPES = ((8, 128), (1, 16))
ROUNDS = 9


def write(original: Original, folder: Path, variant: Variant) -> None:
    """Write the encoder of a variant."""
    folder.mkdir()
    (folder / "tokenizer.json").write_bytes(original.tokenizer.content)
    recipe, changes = variant
    patches = [mock.patch(f"minnow.convert.{name}", change) for name, change in changes.items()]
    for patch in patches:
        patch.start()
    write_encoders(original, folder, recipe)
    for patch in patches:
        patch.stop()


def losses(
    original: Original, folder: Path, texts: list[str], truth: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return 1 - cosine of each text."""
    given = (original.encoder, original.embedding)
    with Embedder.from_files(folder, *given, threads=1, on_truncate="ignore") as embedder:
        found = embedder.encode(texts, prompt="").astype(float)
    norms = np.linalg.norm(found, axis=1) * np.linalg.norm(truth, axis=1)
    lost: NDArray[np.float64] = 1 - (found * truth).sum(1) / norms
    return lost


def times(original: Original, folders: list[Path], memory: MemoryMode) -> list[list[float]]:
    """Return the median CPU seconds of each encoder, by shape."""
    engines = [
        MnnEngine(folder / "encoder.mnn", original.encoder, threads=1, memory=memory)
        for folder in folders
    ]
    random, found = np.random.default_rng(0), []
    for shape in SHAPES:
        ids = random.integers(1000, original.encoder.vocab_size, shape).tolist()
        batch = TokenBatch.pad(ids, original.encoder.pad_token_id)
        rounds: list[list[float]] = [[] for _ in engines]
        for _ in range(ROUNDS + 1):
            for took, engine in zip(rounds, engines, strict=True):
                started = time.process_time()
                engine.run(batch)
                took.append(time.process_time() - started)
        found.append([statistics.median(took[1:]) for took in rounds])
    return found


def main() -> None:
    """Print a row of a Markdown table for each variant."""
    parser = argparse.ArgumentParser()
    parser.add_argument("source")
    parser.add_argument("--precision", choices=VARIANTS, default="fp16")
    parser.add_argument("--texts", nargs=2)
    options = parser.parse_args()
    original = read_original(resolve(options.source, offline=True))
    reference = CheckpointReference(original)
    texts = [probe.text for probe in reference.probes]
    if options.texts:
        lines = Path(options.texts[0]).read_text(encoding="utf-8").splitlines()
        texts = [json.loads(line)["text"] for line in lines[:: len(lines) // int(options.texts[1])]]
    truth = reference.vectors(texts)
    variants = VARIANTS[options.precision]
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / str(i) for i in range(len(variants))]
        for folder, variant in zip(folders, variants.values(), strict=True):
            write(original, folder, variant)
        took = [
            each for mode in MEMORY[options.precision] for each in times(original, folders, mode)
        ]
        for i, (folder, variant_name) in enumerate(zip(folders, variants, strict=True)):
            lost = losses(original, folder, texts, truth)
            ratios = " | ".join(f"{each[i] / each[0]:.2f}" for each in took)
            print(
                f"| {variant_name} | {lost.max():.1e} | {lost.mean():.1e} | {ratios} |", flush=True
            )


if __name__ == "__main__":
    main()
