"""Speed of decoders of real sizes beside llama.cpp and torch, with the same random weights.

    PYTHONPATH=src:tests python benchmarks/large_speed.py make SHAPE FOLDER
    PYTHONPATH=src:tests python benchmarks/large_speed.py run SHAPE FOLDER

SHAPE is one of benchmarks/large_models.py. `make` writes the checkpoint in bfloat16, an encoder at
int8 (rounded to the nearest) and a GGUF file of type Q8_0. `run` measures tokens a second of
batches of 8 x 128 tokens and milliseconds of a text of 16, with two threads each, in rounds in
which each system has a turn; it prints medians. llama.cpp gets the batch in halves of 512 tokens
too, which is its fastest. torch computes in float32, eager, by transformers' class.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from fakes.checkpoint import encoder_of, source_of, write_json, write_tokenizer
from large_models import SHAPES, write_checkpoint

from minnow.convert.encoders import write_encoders
from minnow.engines.base import MemoryMode, TokenBatch
from minnow.engines.llama_cpp_model import GgufModel
from minnow.engines.mnn import MnnEngine
from minnow.export.gguf.child import quantize
from minnow.export.gguf.file import gguf_metadata, write_file
from minnow.model.checkpoint import read_tensors
from minnow.model.original import Original, read_tokenizer
from minnow.model.spec import EmbeddingSpec
from minnow.recipe import RECIPES, Rounding
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Rows = Sequence[Sequence[int]]
    Run = Callable[[Rows], object]

THREADS, ROUNDS, QUERIES = 2, 3, 5
F16, Q8_0 = 1, 7
BULK, QUERY = (8, 128), (1, 16)


def make(shape: str, folder: Path) -> None:
    """Write the checkpoint, the encoder and the GGUF file."""
    config = SHAPES[shape]
    write_json(folder / "config.json", config)
    words = (f"w{i}" for i in range(config["vocab_size"]))
    specials = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    write_tokenizer(folder, (*specials, *words)[: config["vocab_size"]])
    write_checkpoint(folder)
    source, encoder = source_of(folder), encoder_of(folder)
    pooling = Pooling.LAST_TOKEN if shape.startswith("qwen") else Pooling.MEAN
    embedding = EmbeddingSpec(pooling, normalize=True, max_tokens=512)
    tokenizer = read_tokenizer(source, encoder)
    original = Original(source, encoder, embedding, read_tensors(source, encoder), tokenizer)
    write_encoders(original, folder, replace(RECIPES["int8"], rounding=Rounding.NEAREST))
    whole = folder / "whole.gguf"
    write_file(whole, original, gguf_metadata(original), file_type=F16, matrices="F16")
    quantize(str(whole), str(folder / "q8_0.gguf"), str(Q8_0))
    whole.unlink()


def systems(folder: Path) -> dict[str, Run]:
    """Open each system; return what runs a batch of token ids."""
    encoder = encoder_of(folder)
    found: dict[str, Run] = {}
    for memory in (MemoryMode.NORMAL, MemoryMode.LOW):
        engine = MnnEngine(folder / "encoder.mnn", encoder, threads=THREADS, memory=memory)
        found[f"minnow, int8, memory {memory.value}"] = partial(_on_mnn, engine)
    llama = GgufModel(folder / "q8_0.gguf", THREADS)
    found["llama.cpp, Q8_0"] = llama.run
    found["llama.cpp, Q8_0, batches of 512"] = lambda rows: [
        llama.run(rows[i : i + 4]) for i in range(0, len(rows), 4)
    ]
    found["torch, float32"] = _torch(folder)
    return found


def _on_mnn(engine: MnnEngine, rows: Rows) -> object:
    return engine.run(TokenBatch.pad(rows, 0))


def _torch(folder: Path) -> Run:
    import torch
    from transformers import AutoModel

    torch.set_num_threads(THREADS)
    model: Any = AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model.eval()

    def run(rows: Rows) -> object:
        with torch.inference_mode():
            return model(input_ids=torch.tensor(rows)).last_hidden_state

    return run


def run(folder: Path) -> None:
    """Measure in rounds, and print a row for each system."""
    dice, opened = np.random.default_rng(0), systems(folder)
    bulk, query = (dice.integers(5, 90_000, shape).tolist() for shape in (BULK, QUERY))
    seconds: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in opened}
    for name, runs in opened.items():
        print(f"warming {name}", flush=True)
        runs(query)
    for _ in range(ROUNDS):
        for name, runs in opened.items():
            seconds[name][0].append(_timed(runs, bulk))
            runs(query)  # a new shape takes a moment
            seconds[name][1].extend(_timed(runs, query) for _ in range(QUERIES))
    print("| system | tokens/s, 8x128 | ms, 1x16 |\n|---|---|---|")
    for name, (long, short) in seconds.items():
        print(f"| {name} | {BULK[0] * BULK[1] / median(long):.0f} | {1000 * median(short):.1f} |")


def _timed(run: Run, rows: Sequence[Sequence[int]]) -> float:
    started = time.perf_counter()
    run(rows)
    return time.perf_counter() - started


if __name__ == "__main__":
    job, shape, name = sys.argv[1:]
    Path(name).mkdir(parents=True, exist_ok=True)
    make(shape, Path(name)) if job == "make" else run(Path(name))
