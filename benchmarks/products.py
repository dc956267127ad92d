"""Measure how near a network on MNN comes to its matrix products alone.

    OPENBLAS_CORETYPE=Haswell python benchmarks/products.py BUNDLE[:MEMORY] ... [--shape 8x128 ...]

One thread. "products" is a model of nothing but the products with weights of the first bundle's
layers, one after the other as convolutions, which need no conversions between; "NumPy" multiplies
the same shapes, with AVX2 where OPENBLAS_CORETYPE says Haswell. Each is a median of rounds in
which all take turns, in CPU time; GFLOP/s count the products with weights only.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

os.environ["OPENBLAS_NUM_THREADS"] = "1"

import numpy as np

from minnow import Bundle
from minnow.convert.mnn import convert_to_mnn
from minnow.engines.base import MemoryMode, TokenBatch
from minnow.engines.mnn import MnnEngine, import_mnn
from minnow.graph.nodes import Input, Nodes
from minnow.recipe import RECIPES

if TYPE_CHECKING:
    from collections.abc import Callable

    from minnow.model.spec import EncoderSpec

    Work = Callable[[], object]

ROUNDS = 9
SHAPES = ["8x128", "2x128", "32x32", "1x16"]


def matrices(encoder: EncoderSpec) -> list[tuple[int, int]]:
    """Return inputs and outputs of a layer's products with weights, in the order of a chain."""
    width, inner = encoder.width, encoder.inner_width
    return [(width, width)] * 4 + [(width, inner), (inner, width)]


def write_products(encoder: EncoderSpec, folder: Path) -> Path:
    """Write a model of the products of all layers."""
    nodes, random = Nodes(), np.random.default_rng(0)
    states = "x"
    for layer in range(encoder.layers):
        for number, (inputs, outputs) in enumerate(matrices(encoder)):
            name = f"layer.{layer}.product.{number}"
            weight = random.normal(0, inputs**-0.5, (outputs, inputs, 1, 1)).astype(np.float32)
            states = nodes.node("Conv", [states, nodes.table(f"{name}.weight", weight)], name)
    nodes.node("Identity", [states], "y")
    axes = ("tokens", encoder.width, 1, 1)
    graph = nodes.model([Input("x", axes, floats=True)], "y", list(axes))
    (folder / "graph.onnx").write_bytes(graph.SerializeToString())
    model = folder / "products.mnn"
    given = [f"x:float:16x{encoder.width}x1x1"]
    convert_to_mnn(folder / "graph.onnx", model, RECIPES["fp16"], given, log=folder / "log")
    return model


def products_on_mnn(model: Path, tokens: int, width: int) -> Work:
    """Return a pass of the products."""
    mnn = import_mnn()
    interpreter = mnn.Interpreter(str(model))
    session = interpreter.createSession({"backend": "CPU", "numThread": 1})
    shape = (tokens, width, 1, 1)
    given = interpreter.getSessionInput(session, "x")
    interpreter.resizeTensor(given, shape)
    interpreter.resizeSession(session)
    values = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    kind = mnn.Tensor_DimensionType_Caffe
    given.copyFrom(mnn.Tensor(shape, mnn.Halide_Type_Float, values, kind))
    return lambda: interpreter.runSession(session)


def products_in_numpy(encoder: EncoderSpec, tokens: int) -> Work:
    """Return the same products in NumPy; all layers have weights of their own."""
    random = np.random.default_rng(0)
    weights = [
        random.normal(0, shape[0] ** -0.5, shape).astype(np.float32)
        for _ in range(encoder.layers)
        for shape in matrices(encoder)
    ]
    start = random.normal(size=(tokens, encoder.width)).astype(np.float32)

    def multiply() -> None:
        states = start
        for weight in weights:
            states = states @ weight

    return multiply


def network(place: str, shape: tuple[int, int]) -> Work:
    """Return a pass of a bundle's network without padding."""
    folder, _, memory = place.partition(":")
    bundle = Bundle.open(folder)
    encoder = bundle.manifest.encoder
    mode = MemoryMode(memory or "normal")
    engine = MnnEngine(bundle.encoder, encoder, threads=1, memory=mode)
    ids = np.random.default_rng(0).integers(1000, encoder.vocab_size, shape).tolist()
    batch = TokenBatch.pad(ids, encoder.pad_token_id)
    return lambda: engine.run(batch)


def main() -> None:
    """Print a row of a Markdown table for each shape and model."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundles", nargs="+")
    parser.add_argument("--shape", nargs="+", default=SHAPES)
    options = parser.parse_args()
    encoder = Bundle.open(options.bundles[0].partition(":")[0]).manifest.encoder
    flops = 2 * encoder.layers * sum(inputs * outputs for inputs, outputs in matrices(encoder))
    print("| shape | | ms | GFLOP/s | of the products' time |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        model = write_products(encoder, Path(folder))
        for written in options.shape:
            rows, tokens = map(int, written.split("x"))
            count = rows * tokens
            works = {
                "products": products_on_mnn(model, count, encoder.width),
                "NumPy": products_in_numpy(encoder, count),
                **{place: network(place, (rows, tokens)) for place in options.bundles},
            }
            print_rows(written, works, flops * count)


def print_rows(shape: str, works: dict[str, Work], flops: int) -> None:
    """Measure works in turns, and print a row for each."""
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(ROUNDS + 1):
        for name, work in works.items():
            started = time.process_time()
            work()
            seconds[name].append(time.process_time() - started)
    took = {name: statistics.median(times[1:]) for name, times in seconds.items()}
    for name, median in took.items():
        rate, ratio = flops / median / 1e9, median / took["products"]
        print(f"| {shape} | {name} | {median * 1e3:.2f} | {rate:.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
