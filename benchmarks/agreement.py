"""Cosine of a bundle's vectors to sentence-transformers', text by text, over BEIR data.

    python benchmarks/agreement.py BUNDLE MODEL_FOLDER DATASET_FOLDER

Needs the extra sentence-transformers. Prints mean, 5th percentile and minimum, and the worst texts.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np

from minnow import Embedder
from minnow.engines.sentence_transformers import SentenceTransformersEmbedder
from minnow.vectors import rowwise_cosine


def read_rows(path: Path) -> dict[str, str]:
    """Id -> text (title and text joined) of a corpus.jsonl or queries.jsonl."""
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {row["_id"]: f"{row.get('title', '')} {row['text']}".strip() for row in rows}


def main() -> None:
    """Compare and print."""
    bundle, model, dataset = map(Path, sys.argv[1:])
    texts = read_rows(dataset / "corpus.jsonl") | read_rows(dataset / "queries.jsonl")
    rows = list(texts.values())
    with Embedder.open(bundle, on_truncate="ignore") as embedder:
        started = time.monotonic()
        ours = embedder.encode(rows, prompt="")
        seconds = time.monotonic() - started
        same_ids = embedder.token_ids(rows)
    theirs_model = SentenceTransformersEmbedder(model)
    started = time.monotonic()
    theirs = theirs_model.encode(rows)
    their_seconds = time.monotonic() - started
    unlike = sum(a != b for a, b in zip(same_ids, theirs_model.token_ids(rows), strict=True))
    cosines = rowwise_cosine(ours, theirs)
    print(f"{len(rows)} texts against {theirs_model.name}: {unlike} with other token ids")
    print(f"cosine mean {cosines.mean():.7f}, p5 {np.percentile(cosines, 5):.7f}, "
          f"min {cosines.min():.7f}")  # fmt: skip
    for index in np.argsort(cosines)[:3]:
        print(f"  {cosines[index]:.7f}  {list(texts)[index]}: {rows[index][:60]!r}")
    tokens = sum(map(len, same_ids))
    print(f"{tokens / seconds:.0f} tokens/s, sentence-transformers {tokens / their_seconds:.0f}")


if __name__ == "__main__":
    main()
