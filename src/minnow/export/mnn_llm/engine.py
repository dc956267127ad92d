"""MNN's own embedding engine on an exported folder, in a child process: it may crash."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minnow.export.mnn_llm.settings import CONFIG
from minnow.processes import run_child

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CHILD = Path(__file__).with_name("engine_child.py")


def engine_ids(folder: Path, texts: Sequence[str], work: Path) -> list[list[int]]:
    """Tokenise texts with the engine; return the ids of each, special tokens included.

    Args:
        folder: An exported folder.
        texts: The texts, without U+0000.
        work: An empty folder to exchange files with the child process in.

    Raises:
        ConversionError: The engine failed, crashed or hung.
    """
    answer = _ask(folder, "ids", 1, texts, work)
    ids: list[list[int]] = json.loads(answer.read_text(encoding="utf-8"))
    return ids


def engine_vectors(
    folder: Path, texts: Sequence[str], threads: int, work: Path
) -> NDArray[np.float32]:
    """Embed texts one at a time: float32 of shape (texts, width).

    Args:
        folder: An exported folder.
        texts: The texts, without U+0000, of no more tokens than the model reads.
        threads: CPU threads.
        work: An empty folder to exchange files with the child process in.

    Raises:
        ConversionError: The engine failed, crashed or hung.
    """
    vectors: NDArray[np.float32] = np.load(_ask(folder, "vectors", threads, texts, work))
    return vectors


def _ask(folder: Path, job: str, threads: int, texts: Sequence[str], work: Path) -> Path:
    question, answer = work / "texts.json", work / "answer"
    question.write_text(json.dumps(texts), encoding="utf-8")
    command = [sys.executable, CHILD, job, folder.absolute() / CONFIG, threads, question, answer]
    log = work / "log.txt"
    run_child("MNN's own engine", list(map(str, command)), log=log, folder=work, result=answer)
    return answer
