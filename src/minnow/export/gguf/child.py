"""Program that runs llama.cpp on a GGUF file: native code may crash or hang.

Usage: python -m minnow.export.gguf.child quantize SOURCE.gguf RESULT.gguf FTYPE
       python -m minnow.export.gguf.child run MODEL.gguf TEXTS.json RESULT.npz
       python -m minnow.export.gguf.child rank MODEL.gguf PAIRS.json RESULT.npz

`run` writes what the file states, the token ids of each text, the text of each token, and the
vectors: with one thread and with several, text by text and all together. `rank` does the same with
pairs and logits.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.engines.base import default_threads
from minnow.engines.llama_cpp import LlamaCppEmbedder, batches, engine_name
from minnow.engines.llama_cpp_model import GgufModel
from minnow.errors import MinnowError
from minnow.proof.verdict import thread_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

STATED = ("max_tokens", "normalize", "similarity_kind", "query_prompt", "document_prompt")


def main() -> int:
    """Do the job; return the exit code."""
    job, *arguments = sys.argv[1:]
    try:
        return {"quantize": quantize, "run": run, "rank": rank}[job](*arguments)
    except MinnowError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def quantize(source: str, result: str, ftype: str) -> int:
    """Have llama.cpp rewrite a file in another type; it logs to stderr."""
    import llama_cpp

    settings = llama_cpp.llama_model_quantize_default_params()
    settings.ftype, settings.nthread = int(ftype), default_threads()
    llama_cpp.llama_backend_init()
    code = llama_cpp.llama_model_quantize(
        os.fsencode(source), os.fsencode(result), ctypes.byref(settings)
    )
    return int(code)


def run(model: str, texts: str, result: str) -> int:
    """Write what llama.cpp gives for the texts: `report`, and `vectors` of (runs, texts, width)."""
    content = json.loads(Path(texts).read_text(encoding="utf-8"))
    runs = []
    for threads in thread_counts():
        embedder = LlamaCppEmbedder(Path(model), threads=threads)
        runs.append(np.concatenate([embedder.encode([text]) for text in content]))
        runs.append(embedder.encode(content))
        report = {
            "engine": embedder.name,
            "stated": {name: getattr(embedder, name) for name in STATED},
            "ids": embedder.token_ids(content),
            "tokens": embedder.vocabulary(),
        }
        embedder.close()
    return _write(result, report, runs)


def rank(model: str, pairs: str, result: str) -> int:
    """Write what llama.cpp gives for pairs: `report`, and `vectors` of (runs, pairs, labels)."""
    content = json.loads(Path(pairs).read_text(encoding="utf-8"))
    runs = []
    for threads in thread_counts():
        opened = GgufModel(Path(model), threads, ranks=True)
        rows = [opened.cut(opened.pair(*pair)) for pair in content]
        runs.append(np.concatenate([opened.run([row]) for row in rows]))
        together = np.empty_like(runs[-1])
        for batch in batches([len(row) for row in rows]):
            together[batch] = opened.run([rows[i] for i in batch])
        runs.append(together)
        report = {
            "engine": engine_name(),
            "stated": {"max_tokens": opened.max_tokens, "labels": opened.labels},
            "ids": rows,
            "tokens": opened.vocabulary(),
        }
        opened.free()
    return _write(result, report, runs)


def _write(result: str, report: dict[str, Any], runs: list[NDArray[np.float32]]) -> int:
    with Path(result).open("wb") as file:
        np.savez(file, report=json.dumps(report), vectors=np.stack(runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
