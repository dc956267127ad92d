"""Speed of decoders of real sizes beside llama.cpp and torch, with the same random weights.

    PYTHONPATH=src:tests python benchmarks/large_speed.py make SHAPE FOLDER
    PYTHONPATH=src:tests python benchmarks/large_speed.py run SHAPE FOLDER

SHAPE is one of benchmarks/large_models.py. `make` writes the checkpoint in bfloat16, an encoder at
int8 (rounded to the nearest) and a GGUF file of type Q8_0. `run` measures tokens a second of
four batches of 8 x 128 tokens and milliseconds of a text of 16, with two threads each, in rounds in
which each system has a turn; it prints medians, and the median ratio of a query to llama.cpp's in
the same round. "lanes" are the sessions that minnow runs many batches in; "one" is a single one of
both threads. llama.cpp gets batches in halves of 512 tokens too, which can be faster. "products" is
what MNN takes for nothing but the products with weights, in float32. torch computes in float32,
eager, by transformers' class. QUERY_TOKENS=24 measures a longer query.
"""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
from fakes.checkpoint import encoder_of, source_of, write_json, write_tokenizer
from large_models import SHAPES, write_checkpoint

from minnow.convert.encoders import write_encoders
from minnow.convert.mnn import convert_to_mnn
from minnow.engines.base import MemoryMode, TokenBatch
from minnow.engines.lanes import run_batches
from minnow.engines.llama_cpp_model import GgufModel
from minnow.engines.mnn import MnnEngine, import_mnn
from minnow.export.gguf.child import quantize
from minnow.export.gguf.file import gguf_metadata, write_file
from minnow.graph.nodes import Input, Nodes
from minnow.model.checkpoint import read_tensors
from minnow.model.families import network_of
from minnow.model.original import Original, read_tokenizer
from minnow.model.parameters import linear_layers, tensor_shapes
from minnow.model.spec import EmbeddingSpec
from minnow.recipe import RECIPES, Rounding
from minnow.records import replace
from minnow.vectors import Pooling

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from minnow.model.spec import EncoderSpec

    Rows = Sequence[Sequence[int]]
    Run = Callable[[Rows], object]

THREADS, ROUNDS, QUERIES, BATCHES = 2, 3, 15, 4
F16, Q8_0 = 1, 7
BULK, QUERY = (8, 128), (1, int(os.environ.get("QUERY_TOKENS", "16")))
LLAMA = "llama.cpp, Q8_0"


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
    write_products(encoder, folder)
    whole = folder / "whole.gguf"
    write_file(whole, original, gguf_metadata(original), file_type=F16, matrices="F16")
    quantize(str(whole), str(folder / "q8_0.gguf"), str(Q8_0))
    whole.unlink()


def write_products(encoder: EncoderSpec, folder: Path) -> None:
    """Write a model of the products of all layers, which read the tokens or each other."""
    nodes, dice, network = Nodes(), np.random.default_rng(0), network_of(encoder)
    before = {"attention_output": "query", "output": "inner"}
    shapes, results = tensor_shapes(network), list[str]()
    for name in linear_layers(network):
        layer, _, part = name.rpartition(".")
        outputs, inputs = shapes[f"{name}.weight"]
        weight = dice.normal(0, inputs**-0.5, (outputs, inputs, 1, 1)).astype(np.float32)
        given = f"{layer}.{before[part]}" if part in before else "x"
        nodes.node("Conv", [given, nodes.table(f"{name}.weight", weight)], name)
        results.append(name)
    nodes.node("Concat", results, "y", axis=1)
    axes: list[str | int] = ["tokens", sum(shapes[f"{name}.weight"][0] for name in results), 1, 1]
    states = Input("x", ("tokens", encoder.width, 1, 1), floats=True)
    graph, model = folder / "graph.onnx", folder / "products.mnn"
    graph.write_bytes(nodes.model([states], "y", axes).SerializeToString())
    tokens = [f"x:float:16x{encoder.width}x1x1"]
    convert_to_mnn(graph, model, RECIPES["fp16"], tokens, log=folder / "log")
    graph.unlink()


def systems(folder: Path) -> dict[str, tuple[Run, Run]]:
    """Open each system; return what runs all batches of the given rows, and what runs a query."""
    encoder = encoder_of(folder)
    found: dict[str, tuple[Run, Run]] = {}
    for memory in (MemoryMode.NORMAL, MemoryMode.LOW):
        engine = MnnEngine(folder / "encoder.mnn", encoder, threads=THREADS, memory=memory)
        query, name = partial(_on_mnn, engine), f"minnow, int8, {memory.value}"
        found[f"{name}, one"] = _times(query), query
        if len(engine.lanes(BATCHES)) > 1:
            found[f"{name}, lanes"] = partial(_on_lanes, engine), query
    llama = GgufModel(folder / "q8_0.gguf", THREADS)
    found[LLAMA] = _times(llama.run), llama.run
    halves = _times(lambda rows: [llama.run(rows[i : i + 4]) for i in range(0, len(rows), 4)])
    found[f"{LLAMA}, batches of 512"] = halves, llama.run
    products = _products(folder / "products.mnn", encoder.width)
    found["products"] = _times(products), products
    torch = _torch(folder)
    found["torch, float32"] = _times(torch), torch
    return found


def _times(run: Run) -> Run:
    """Return a run of all batches, one after the other."""
    return lambda rows: [run(rows) for _ in range(BATCHES)]


def _on_mnn(engine: MnnEngine, rows: Rows) -> object:
    return engine.run(TokenBatch.pad(rows, 0))


def _on_lanes(engine: MnnEngine, rows: Rows) -> object:
    batches = [TokenBatch.pad(rows, 0)] * BATCHES
    return list(run_batches(engine, batches, lambda lane, batch: lane.run(batch)))


def _products(model: Path, width: int) -> Run:
    mnn = import_mnn()
    interpreter = mnn.Interpreter(str(model))
    sessions: dict[int, Any] = {}

    def run(rows: Rows) -> object:
        """Multiply as many tokens as the rows have."""
        tokens = sum(map(len, rows))
        if tokens not in sessions:
            session = interpreter.createSession({"backend": "CPU", "numThread": THREADS})
            shape = (tokens, width, 1, 1)
            tensor = interpreter.getSessionInput(session, "x")
            interpreter.resizeTensor(tensor, shape)
            interpreter.resizeSession(session)
            values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
            kind, order = mnn.Halide_Type_Float, mnn.Tensor_DimensionType_Caffe
            tensor.copyFrom(mnn.Tensor(shape, kind, values, order))
            sessions[tokens] = session
        return interpreter.runSession(sessions[tokens])

    return run


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
    bulk, query = (dice.integers(5, 60_000, shape).tolist() for shape in (BULK, QUERY))
    rates: dict[str, list[float]] = {name: [] for name in opened}
    queries: dict[str, list[float]] = {name: [] for name in opened}
    for name, (many, one) in opened.items():
        print(f"warming {name}", flush=True)
        many(bulk)
        one(query)
    for _ in range(ROUNDS):
        for name, (many, one) in opened.items():
            rates[name].append(BATCHES * BULK[0] * BULK[1] / _timed(many, bulk))
            one(query)  # a new shape takes a moment
            queries[name].append(median(_timed(one, query) for _ in range(QUERIES)))
    print(f"| system | tokens/s, 8x128 | ms, 1x{QUERY[1]} | of {LLAMA} |\n|---|---|---|---|")
    for name, took in queries.items():
        ratio = median(a / b for a, b in zip(took, queries[LLAMA], strict=True))
        print(f"| {name} | {median(rates[name]):.0f} | {1000 * median(took):.1f} | {ratio:.2f} |")


def _timed(run: Run, rows: Sequence[Sequence[int]]) -> float:
    started = time.perf_counter()
    run(rows)
    return time.perf_counter() - started


if __name__ == "__main__":
    job, shape, name = sys.argv[1:]
    Path(name).mkdir(parents=True, exist_ok=True)
    make(shape, Path(name)) if job == "make" else run(Path(name))
