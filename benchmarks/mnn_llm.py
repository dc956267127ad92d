"""Compare MNN's own engine, minnow's embedder and sentence-transformers on the same questions.

    python benchmarks/mnn_llm.py BUNDLE EXPORTED [QUERIES.jsonl] [TEXTS]

BUNDLE is a bundle, EXPORTED the directory that `minnow export --target mnn-llm` made from it.
QUERIES.jsonl has an object with `text` on each line (default: that of squad_dev); the first TEXTS
of them are used (2000). The engine runs in a child process, from Python's `MNN.llm`, which is the
C++ class. Prints for how many texts the token ids are identical, and the worst, the 5th percentile
and the mean of the cosines of each pair. It needs the extra sentence-transformers.
"""

from __future__ import annotations

import json
import sys
import tempfile
from itertools import combinations, islice
from pathlib import Path

import numpy as np

from minnow import Embedder
from minnow.bundle import Bundle
from minnow.engines.sentence_transformers import SentenceTransformersEmbedder
from minnow.export.mnn_llm.engine import engine_ids, engine_vectors
from minnow.export.mnn_llm.record import Export
from minnow.origin import find_origin
from minnow.vectors import rowwise_cosine

SQUAD = Path(__file__).parents[2] / "shared/data/squad_dev/queries.jsonl"


def read_questions(path: Path, most: int) -> list[str]:
    """Return the first texts of a file."""
    with path.open(encoding="utf-8") as lines:
        return [json.loads(line)["text"] for line in islice(lines, most)]


def main() -> None:
    """Embed with all three, and print how they agree."""
    bundle, exported, *rest = sys.argv[1:]
    queries = Path(rest[0]) if rest else SQUAD
    texts = read_questions(queries, int(rest[1]) if rest[1:] else 2000)
    export = Export.open(exported)
    export.check_files()
    with tempfile.TemporaryDirectory() as work:
        ids = {"MNN's engine": engine_ids(export.folder, texts, Path(work))}
        vectors = {"MNN's engine": engine_vectors(export.folder, texts, 2, Path(work))}
    with Embedder.open(bundle, on_truncate="error") as embedder:
        ids["minnow"] = embedder.token_ids(texts)
        vectors["minnow"] = embedder.encode(texts, prompt="")
    origin = find_origin(Bundle.open(bundle), offline=True)
    peer = SentenceTransformersEmbedder(origin.folder)
    ids["sentence-transformers"] = peer.token_ids(texts)
    vectors["sentence-transformers"] = peer.encode(texts)
    recipe = export.record.recipe.precision.value
    print(f"{len(texts)} texts, {recipe}, words {export.record.words}")
    for a, b in combinations(ids, 2):
        same = sum(x == y for x, y in zip(ids[a], ids[b], strict=True))
        cosines = rowwise_cosine(vectors[a], vectors[b])
        print(
            f"{a:<22} {b:<22} ids identical {same}, worst {cosines.min():.7f}, "
            f"5 % {np.percentile(cosines, 5):.7f}, mean {cosines.mean():.7f}"
        )


if __name__ == "__main__":
    main()
