"""Measure a forward pass of each family beside ONNX Runtime and torch, and its share of products.

    PYTHONPATH=src:tests python benchmarks/families.py [FAMILY ...]

Random weights at the widths of the base models, with fewer layers and a small vocabulary. minnow
runs the fp16 recipe, ONNX Runtime the same network in float32, torch the class of transformers,
each on one thread; medians of CPU times of rounds in which they take turns, minnow's in
milliseconds and the others' relative to it. Prints rows of a Markdown table.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from fakes.checkpoint import edit_json, source_of, write_model
from operators import Profile, product_share
from transformers import AutoModel

from minnow.convert.encoders import write_encoders
from minnow.engines.base import TokenBatch
from minnow.engines.mnn import MnnEngine
from minnow.engines.onnxruntime import OnnxRuntimeEngine
from minnow.model.original import read_original
from minnow.origin import original_graph
from minnow.recipe import RECIPES

if TYPE_CHECKING:
    from collections.abc import Callable

BASE = {
    "hidden_size": 768,
    "num_attention_heads": 12,
    "num_hidden_layers": 4,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
}
FAMILIES: dict[str, dict[str, Any]] = {
    "mpnet": {**BASE, "max_position_embeddings": 514},
    "modernbert": {
        **BASE,
        "num_hidden_layers": 6,
        "intermediate_size": 1152,
        "local_attention": 128,
        "global_attn_every_n_layers": 3,
    },
    "nomic_bert": BASE,
    "gte": BASE,
    "deberta-v2": {**BASE, "position_buckets": 256, "max_relative_positions": -1},
}
SHAPES = ((8, 128), (1, 16))
ROUNDS = 7


def measure(family: str, folder: Path) -> str:
    """Return the row of a family."""
    model = write_model(folder / "model", family=family, max_tokens=256, **FAMILIES[family])
    edit_json(model / "1_Pooling/config.json", without=("word_embedding_dimension",))
    original = read_original(source_of(model))
    write_encoders(original, folder, RECIPES["fp16"])
    (folder / "graph.onnx").write_bytes(original_graph(original))
    mnn = MnnEngine(folder / "encoder.mnn", original.encoder, threads=1)
    onnx = OnnxRuntimeEngine(folder / "graph.onnx", original.encoder, threads=1)
    net = AutoModel.from_pretrained(model).eval()

    def run_torch(batch: TokenBatch) -> Any:
        ids, mask = (
            torch.tensor(a, dtype=torch.long) for a in (batch.input_ids, batch.attention_mask)
        )
        return net(input_ids=ids, attention_mask=mask).last_hidden_state.numpy()

    systems: list[Callable[[TokenBatch], Any]] = [mnn.run, onnx.run, run_torch]
    cells, random = [family], np.random.default_rng(0)
    for shape in SHAPES:
        ids = random.integers(5, original.encoder.vocab_size, shape).tolist()
        batch = TokenBatch.pad(ids, original.encoder.pad_token_id)
        found = [run(batch) for run in systems]
        assert max(np.abs(found[0] - other).max() for other in found[1:]) < 0.1
        rounds: list[list[float]] = [[] for _ in systems]
        for _ in range(ROUNDS):
            for took, run in zip(rounds, systems, strict=True):
                started = time.process_time()
                run(batch)
                took.append(time.process_time() - started)
        own, *others = (statistics.median(took) for took in rounds)
        cells += [f"{1e3 * own:.0f}", *(f"{other / own:.2f}" for other in others)]
        profile = Profile(folder / "encoder.mnn", original.encoder.vocab_size, shape)
        cells.append(f"{product_share(profile.milliseconds(3)):.0%}")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print a row for each family."""
    torch.set_num_threads(1)
    torch.set_grad_enabled(mode=False)
    for family in sys.argv[1:] or FAMILIES:
        with TemporaryDirectory() as folder:
            print(measure(family, Path(folder)), flush=True)


if __name__ == "__main__":
    main()
