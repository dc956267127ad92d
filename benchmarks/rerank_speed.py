"""Measure how long rerankers take for 50 passages of 128 tokens, side by side.

    python benchmarks/rerank_speed.py BUNDLE MODEL [--rounds 5] [--passages 50] [--tokens 128]

BUNDLE is made from MODEL, a folder of sentence-transformers' files. Each system has a process of
its own: minnow on MNN, on what `engine="fastest"` takes and on ONNX Runtime, and
sentence-transformers' CrossEncoder on torch, ONNX Runtime and OpenVINO. In each round all of them
rank the same passages in turn, from texts to an order; the table has the medians. All run with
their own choice of threads. The environment of `make peers` has all of them; what is missing is
named.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnow.datasets import builtin_dataset
from minnow.manifest import TOKENIZER
from minnow.model.tokenizer import load_whole_tokenizer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

SYSTEMS = {
    "minnow": "mnn",
    "minnow, fastest": "fastest",
    "minnow, ONNX Runtime": "onnxruntime",
    "CrossEncoder, torch": "torch",
    "CrossEncoder, ONNX Runtime": "onnx",
    "CrossEncoder, OpenVINO": "openvino",
}
QUERY = "How do I read the lines of a file without keeping all of them in memory?"


def main() -> None:
    """Print the median seconds of each system, and how many times as long as minnow it takes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("bundle", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--passages", type=int, default=50)
    parser.add_argument("--tokens", type=int, default=128)
    given = parser.parse_args()
    passages = make_passages(given.bundle / TOKENIZER, given.passages, given.tokens)
    context = multiprocessing.get_context("spawn")
    running: dict[str, tuple[Any, Connection]] = {}
    for name, engine in SYSTEMS.items():
        ours, theirs = context.Pipe()
        folder = given.bundle if name.startswith("minnow") else given.model
        process = context.Process(target=serve, args=(name, engine, folder, passages, theirs))
        process.start()
        fault = ours.recv()
        if fault:
            print(f"{name} is left out: {fault}")
            continue
        running[name] = (process, ours)
    seconds: dict[str, list[float]] = {name: [] for name in running}
    orders: dict[str, list[int]] = {}
    for _ in range(given.rounds):
        for name, (_, connection) in running.items():
            connection.send(True)
            spent, orders[name] = connection.recv()
            seconds[name].append(spent)
    for process, connection in running.values():
        connection.send(False)
        process.join()
    base = statistics.median(seconds["minnow"])
    for name, each in seconds.items():
        median, same = statistics.median(each), orders[name] == orders["minnow"]
        shown = " ".join(f"{one:.3f}" for one in each)
        print(f"{name}: {median:.3f} s, {median / base:.2f} times, same order: {same} ({shown})")


def make_passages(tokenizer: Path, count: int, tokens: int) -> list[str]:
    """Cut texts of the built-in data set to a number of tokens, with no special ones."""
    text = " ".join(builtin_dataset().documents.values())
    offsets = load_whole_tokenizer(tokenizer).encode(text, add_special_tokens=False).offsets
    starts = range(0, count * tokens, tokens)
    return [text[offsets[i][0] : offsets[i + tokens - 1][1]] for i in starts]


def serve(
    name: str, engine: str, folder: Path, passages: Sequence[str], connection: Connection
) -> None:
    """Rank whenever asked; answer with the seconds and the order."""
    try:
        ranker: Any
        if name.startswith("minnow"):
            from minnow import Reranker

            ranker = Reranker.open(folder, engine=engine)
            print(f"{name}: {ranker.engine_reason}", flush=True)
        else:
            from sentence_transformers import CrossEncoder

            ranker = CrossEncoder(str(folder), backend=engine, device="cpu", local_files_only=True)
        ranker.rank(QUERY, passages)
    except Exception as error:
        connection.send(f"{type(error).__name__}: {str(error)[:200]}")
        return
    connection.send("")
    while connection.recv():
        started = time.perf_counter()
        rows = ranker.rank(QUERY, passages)
        connection.send((time.perf_counter() - started, [int(row["corpus_id"]) for row in rows]))


if __name__ == "__main__":
    main()
