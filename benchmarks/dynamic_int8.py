"""Cosines of a bundle, and of ONNX Runtime's dynamic int8 of the same graph, to float32.

Run it as `python benchmarks/dynamic_int8.py SOURCE BUNDLE DATASET 10`: the model, a bundle of it, a
folder in BEIR's form, and that every tenth of its documents and questions is embedded. float32 is
minnow's own graph in ONNX Runtime, which `minnow compare` shows to equal sentence-transformers. It
needs the extras `convert` and `onnxruntime`, and onnx for the quantiser.
"""

from __future__ import annotations

import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from minnow import Embedder
from minnow.datasets import read_beir
from minnow.engines.base import TokenBatch
from minnow.engines.onnxruntime import OnnxRuntimeEngine
from minnow.model.original import read_original
from minnow.model.source import resolve
from minnow.origin import original_graph
from minnow.vectors import normalize, pool, rowwise_cosine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from minnow.model.original import Original


def main() -> None:
    """Embed the texts three times; print sizes and cosines."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    source, bundle, dataset, step = sys.argv[1:]
    data = read_beir(Path(dataset))
    texts = [*data.documents.values()][:: int(step)] + [*data.queries.values()][:: int(step)]
    original = read_original(resolve(source, offline=True))
    with Embedder.open(bundle, engine="mnn", on_truncate="ignore") as embedder:
        rows = [row.ids for row in embedder.text_tokenizer.tokenize(texts)]
        found = {f"{Path(bundle).name}": embedder.encode(texts)}
    with TemporaryDirectory() as name:
        graph, small = Path(name) / "graph.onnx", Path(name) / "int8.onnx"
        graph.write_bytes(original_graph(original))
        expected = _vectors(original, graph, rows)
        for per_channel in (False, True):
            quantize_dynamic(graph, small, per_channel=per_channel, weight_type=QuantType.QInt8)
            title = f"dynamic int8, {small.stat().st_size / 1e6:.1f} MB"
            found[f"{title}, per channel: {per_channel}"] = _vectors(original, small, rows)
    for title, vectors in found.items():
        cosines = rowwise_cosine(vectors, expected)
        p5, least = np.percentile(cosines, 5), cosines.min()
        print(f"{title}: mean {cosines.mean():.5f}, 5th percentile {p5:.5f}, minimum {least:.5f}")


def _vectors(original: Original, graph: Path, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
    """Return one vector per text, each run alone: float32 of shape (texts, width)."""
    engine = OnnxRuntimeEngine(graph, original.encoder)
    vectors = []
    for ids in rows:
        batch = TokenBatch.pad([list(ids)], original.encoder.pad_token_id)
        vectors.append(pool(engine.run(batch), batch.attention_mask, original.embedding.pooling))
    return normalize(np.concatenate(vectors))


if __name__ == "__main__":
    main()
