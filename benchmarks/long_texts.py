"""Time and memory of one forward pass over long texts, plain and as bundles for long texts have it.

Run it as `PYTHONPATH=src:tests python benchmarks/long_texts.py long 1x8192`: the spelling of
attention ("long" or "plain"), and batch and tokens. The network is random, of ModernBERT-base's
shape with 3 of its 22 layers: one global, two of a window.
"""

from __future__ import annotations

import sys
import time
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from fakes.checkpoint import write_model

from minnow.convert.mnn import convert_to_mnn
from minnow.engines.base import TokenBatch
from minnow.engines.mnn import MnnEngine
from minnow.graph.encoder import build_graph
from minnow.graph.form import GraphForm
from minnow.model.checkpoint import read_tensors
from minnow.model.config import read_encoder_spec
from minnow.model.families import network_of
from minnow.model.source import resolve
from minnow.recipe import RECIPES

SHAPE: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 3,
    "num_attention_heads": 12,
    "intermediate_size": 1152,
    "max_position_embeddings": 8192,
    "local_attention": 128,
    "global_attn_every_n_layers": 3,
}


def main() -> None:
    """Convert, run one batch; print CPU seconds, the process's peak, and its growth by the pass."""
    spelling, shape = sys.argv[1:]
    batch, tokens = map(int, shape.split("x"))
    with TemporaryDirectory() as name:
        folder = Path(name)
        long = spelling == "long"
        work = get_context("spawn").Process(target=_convert, args=(folder, long))
        work.start()  # what it takes is not counted
        work.join()
        encoder = read_encoder_spec(resolve(str(folder / "model")))
        path = folder / "encoder.mnn"
        engine = MnnEngine(path, encoder, threads=1, heads_apart=long)
        engine.run(TokenBatch.pad([[5, 6]], encoder.pad_token_id))
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak counts anew
        ids = np.random.default_rng(0).integers(5, 40, (batch, tokens)).tolist()
        before, started = _kilobytes("VmRSS"), time.process_time()
        engine.run(TokenBatch.pad(ids, encoder.pad_token_id))
        seconds = time.process_time() - started
        peak = _kilobytes("VmHWM")
        print(f"{seconds:.1f} CPU s, peak {peak / 1e3:.0f} MB, {(peak - before) / 1e3:.0f} MB more")


def _convert(folder: Path, long: bool) -> None:
    model = write_model(folder / "model", family="modernbert", max_tokens=8192, **SHAPE)
    source = resolve(str(model))
    encoder = read_encoder_spec(source)
    form = GraphForm(long=long)
    content = build_graph(network_of(encoder), read_tensors(source, encoder), form=form)
    graph, path = folder / "graph.onnx", folder / "encoder.mnn"
    graph.write_bytes(content.SerializeToString())
    convert_to_mnn(graph, path, RECIPES["fp32"], encoder.inputs, log=folder / "log")


def _kilobytes(field: str) -> int:
    rows = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith(field))


if __name__ == "__main__":
    main()
