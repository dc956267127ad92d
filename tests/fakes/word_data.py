"""A data set in BEIR's layout that asks for each word of the tiny models' vocabulary."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from fakes.checkpoint import WORDS

if TYPE_CHECKING:
    from pathlib import Path


def write_data(folder: Path) -> Path:
    """Write corpus, queries and judgements."""
    (folder / "qrels").mkdir(parents=True)
    rows = [{"_id": f"d{i}", "text": f"{word} {word} {word}"} for i, word in enumerate(WORDS)]
    write_lines(folder / "corpus.jsonl", rows)
    asked = [{"_id": f"q{i}", "text": f"what is {word}"} for i, word in enumerate(WORDS)]
    write_lines(folder / "queries.jsonl", asked)
    judged = [f"q{i}\td{i}\t1" for i in range(len(WORDS))]
    lines = ["query-id\tcorpus-id\tscore", *judged]
    (folder / "qrels/test.tsv").write_text("\n".join(lines) + "\n")
    return folder


def write_lines(path: Path, rows: list[dict[str, str]]) -> None:
    """Write a row of JSON a line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
