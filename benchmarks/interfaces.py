"""Measure what pooling in the graph costs or gains, on a random model of bge-small's shape.

    python benchmarks/interfaces.py [ROUNDS]

12 layers, 384 wide, fp16, one thread. For each pooling, one encoder gives token states, which are
pooled and normalised in NumPy, and one gives vectors. Times are CPU times of both together, from
ids to vectors: medians of rounds in which the encoders take turns.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minnow.convert.mnn import convert_to_mnn
from minnow.engines.base import TokenBatch
from minnow.engines.mnn import MnnEngine
from minnow.graph.encoder import build_graph
from minnow.model.families import network_of
from minnow.model.head import Head
from minnow.model.parameters import tensor_shapes
from minnow.model.spec import Activation, EncoderSpec, Interface
from minnow.recipe import RECIPES
from minnow.vectors import Pooling, normalize, pool

if TYPE_CHECKING:
    from numpy.typing import NDArray

SHAPE = EncoderSpec("bert", 30522, 384, 12, 12, 1536, 512, 0, 2, Activation.GELU, 1e-12, 0)
BATCHES = ((8, 128), (1, 16))
ROUNDS = 15


class Encoder:
    """An encoder and the function that turns its output into vectors."""

    def __init__(self, folder: Path, pooling: Pooling, interface: Interface) -> None:
        generator = np.random.default_rng(0)
        tensors = {
            name: generator.normal(0, shape[-1] ** -0.5, shape).astype(np.float32)
            for name, shape in tensor_shapes(network_of(SHAPE)).items()
        }
        self._pooling, self._interface = pooling, interface
        pools = interface is Interface.SENTENCE_EMBEDDING
        head = Head(pooling, normalize=True) if pools else None
        graph = build_graph(network_of(SHAPE), tensors, head=head)
        folder.mkdir()
        (folder / "graph.onnx").write_bytes(graph.SerializeToString())
        encoder, log = folder / "encoder.mnn", folder / "log"
        convert_to_mnn(folder / "graph.onnx", encoder, RECIPES["fp16"], SHAPE.inputs, log=log)
        self._engine = MnnEngine(encoder, SHAPE, threads=1, interface=interface)

    def vectors(self, batch: TokenBatch) -> NDArray[np.float32]:
        """Return float32 vectors of shape (batch, width)."""
        found = self._engine.run(batch)
        if self._interface is Interface.SENTENCE_EMBEDDING:
            return found
        return normalize(pool(found, batch.attention_mask, self._pooling))

    def seconds(self, batch: TokenBatch, runs: int) -> float:
        """Return the median CPU time of a batch in seconds, without the first run of its shape."""
        times = []
        for _ in range(runs + 1):
            started = time.process_time()
            self.vectors(batch)
            times.append(time.process_time() - started)
        return float(np.median(times[1:]))


def main() -> None:
    """Measure both interfaces of each pooling, print a row of a Markdown table for each."""
    rounds = int(sys.argv[1]) if sys.argv[1:] else ROUNDS
    generator = np.random.default_rng(1)
    batches = [
        TokenBatch.pad(generator.integers(0, SHAPE.vocab_size, shape).tolist(), 0)
        for shape in BATCHES
    ]
    for pooling in (Pooling.CLS, Pooling.MEAN, Pooling.LAST_TOKEN):
        with tempfile.TemporaryDirectory() as folder:
            encoders = [Encoder(Path(folder) / kind.value, pooling, kind) for kind in Interface]
            one, other = (encoder.vectors(batches[0]) for encoder in encoders)
            times = [
                [[encoder.seconds(batch, 3) for batch in batches] for encoder in encoders]
                for _ in range(rounds)
            ]
        medians = np.median(times, axis=0)
        gains = medians[0] / medians
        cosine = float((one * other).sum(1).min())
        for kind, (many, few), (more, faster) in zip(Interface, medians, gains, strict=True):
            cells = [pooling.value, kind.value, f"{many * 1e3:.0f}", f"{more:.3f}"]
            cells += [f"{few * 1e3:.2f}", f"{faster:.3f}", f"{cosine:.7f}"]
            print("|", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
