"""Time and memory of converting a decoder of a real size, with random weights and no proof.

Run it as `PYTHONPATH=src:tests python benchmarks/large_models.py qwen3-0.6b int8`: a key of SHAPES
and a precision, whose weights are rounded to the nearest.
The peak is that of this process and MNN's converter together.
"""

from __future__ import annotations

import sys
import threading
import time
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from fakes.checkpoint import CONFIGS, encoder_of, source_of, write_json

from minnow.convert.encoders import write_encoders
from minnow.engines.base import MemoryMode, TokenBatch
from minnow.engines.mnn import MnnEngine, import_mnn
from minnow.model.checkpoint import read_tensors
from minnow.model.families import family_named, network_of
from minnow.model.original import Original
from minnow.model.parameters import tensor_names, tensor_shapes
from minnow.model.spec import EmbeddingSpec
from minnow.model.tokenizer_adoption import SourceTokenizer
from minnow.recipe import RECIPES, Rounding
from minnow.records import replace
from minnow.vectors import Pooling

Process = get_context("spawn").Process
"""Processes that share no memory with this one."""

SHAPES: dict[str, dict[str, Any]] = {
    "qwen3-0.6b": {
        **CONFIGS["qwen3"],
        "vocab_size": 151_669,
        "hidden_size": 1024,
        "num_hidden_layers": 28,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 3072,
        "max_position_embeddings": 2048,
    },
    "embeddinggemma-300m": {
        **CONFIGS["gemma3"],
        "vocab_size": 262_144,
        "hidden_size": 768,
        "num_hidden_layers": 24,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "head_dim": 256,
        "query_pre_attn_scalar": 256,
        "intermediate_size": 1152,
        "max_position_embeddings": 2048,
        "sliding_window": 512,
        "layer_types": None,
    },
    "embeddinggemma-2": {
        **CONFIGS["embedding_gemma2"],
        "vocab_size": 262_144,
        "hidden_size": 512,
        "num_hidden_layers": 24,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 256,
        "per_layer_config": None,
        "intermediate_size": 2048,
        "max_position_embeddings": 2048,
        "sliding_window": 512,
        "layer_types": None,
        "hidden_size_per_layer_input": 512,
        "embedding_dim": 768,
    },
    "lfm2.5-350m": {
        **CONFIGS["lfm2"],
        "vocab_size": 65_536,
        "hidden_size": 1024,
        "num_hidden_layers": 16,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "layer_types": None,
        "full_attn_idxs": [2, 5, 8, 10, 12, 14],
        "intermediate_size": 6656,
        "block_multiple_of": 256,
        "max_position_embeddings": 2048,
    },
}


def main() -> None:
    """Convert, run one batch, and print seconds, sizes and peaks."""
    shape, precision = sys.argv[1:]
    recipe = replace(RECIPES[precision], rounding=Rounding.NEAREST)
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_json(folder / "config.json", SHAPES[shape])
        writer = Process(target=write_checkpoint, args=(folder,))
        writer.start()
        writer.join()
        encoder, source = encoder_of(folder), source_of(folder)
        peak, done = [0.0], threading.Event()
        watcher = threading.Thread(target=_watch, args=(peak, done))
        watcher.start()
        started = time.monotonic()
        tensors = read_tensors(source, encoder)
        embedding = EmbeddingSpec(Pooling.MEAN, normalize=True, max_tokens=512)
        original = Original(source, encoder, embedding, tensors, SourceTokenizer(b""))
        write_encoders(original, folder, recipe)
        seconds = time.monotonic() - started
        done.set()
        watcher.join()
        size = sum(path.stat().st_size for path in folder.glob("encoder.mnn*"))
        print(f"{seconds:.0f} s, peak {peak[0]:.1f} GB, files {size / 1e6:.0f} MB")
        for memory in MemoryMode:
            user = Process(target=answer, args=(folder, memory))
            user.start()
            user.join()


def write_checkpoint(folder: Path) -> None:
    """Write random weights in bfloat16, as such models are published."""
    import ml_dtypes
    from safetensors.numpy import save_file

    encoder, dice = encoder_of(folder), np.random.default_rng(0)
    network = network_of(encoder)
    theirs = tensor_names(family_named(encoder.family).namings[0].tensors, network)
    sizes = {
        theirs[key].name: (theirs[key].of * size[0], *size[1:])
        for key, size in tensor_shapes(network).items()
    }
    tensors = {
        name: (dice.standard_normal(size, dtype=np.float32) * np.float32(0.02)).astype(
            ml_dtypes.bfloat16
        )
        for name, size in sizes.items()
    }
    save_file(tensors, folder / "model.safetensors")


def answer(folder: Path, memory: MemoryMode) -> None:
    """Load the encoder, answer short queries, and print the memory that this takes."""
    encoder = encoder_of(folder)
    import_mnn()
    before, started = _gigabytes("self"), time.monotonic()
    engine = MnnEngine(folder / "encoder.mnn", encoder, threads=1, memory=memory)
    loaded = time.monotonic() - started
    for length in (4, 16, 9, 16):
        engine.run(TokenBatch.pad([list(range(5, 5 + length))], encoder.pad_token_id))
    held = _gigabytes("self")
    print(
        f"memory {memory.value}: loaded in {loaded:.2f} s; {held:.2f} GB after queries of at most "
        f"16 tokens, {held - before:.2f} GB of them the encoder's"
    )


def _watch(peak: list[float], done: threading.Event) -> None:
    while not done.wait(0.2):
        children = Path("/proc/self/task").glob("*/children")
        held = {"self"}.union(*(_read(path).split() for path in children))
        peak[0] = max(peak[0], sum(map(_gigabytes, held)))


def _gigabytes(process: str) -> float:
    """Return the memory that a process holds; 0 for one that has ended."""
    rows = _read(Path(f"/proc/{process}/status")).splitlines()
    return sum(int(row.split()[1]) for row in rows if row.startswith("VmRSS")) / 1e6


def _read(path: Path) -> str:
    """Read what the kernel says of a process or a thread; nothing of one that has ended."""
    try:
        return path.read_text(encoding="ascii")
    except OSError:
        return ""


if __name__ == "__main__":
    main()
