"""Measure the time of a forward pass by MNN's operators.

    python benchmarks/operators.py BUNDLE [BATCHxTOKENS ...]

One thread; the median CPU time of each operator over several passes, which is stable on a busy
machine. Matrix products are Convolution (those with weights, and operators fused into them) and
While (those of attention). The default shapes are 8x128, 32x32, 4x256 and 1x16.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow import Bundle
from minnow.engines.mnn import import_mnn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

SHAPES = ("8x128", "32x32", "4x256", "1x16")
PRODUCTS = ("Convolution", "While")
PASSES = 9


class Profile:
    """An encoder in a session of one thread, for one shape."""

    def __init__(self, encoder: Path, vocabulary: int, shape: tuple[int, int]) -> None:
        mnn = import_mnn()
        self._interpreter = mnn.Interpreter(str(encoder))
        self._session = self._interpreter.createSession({"backend": "CPU", "numThread": 1})
        inputs = self._interpreter.getSessionInputAll(self._session)
        for tensor in inputs.values():
            self._interpreter.resizeTensor(tensor, shape)
        self._interpreter.resizeSession(self._session)
        kind, order = mnn.Halide_Type_Int, mnn.Tensor_DimensionType_Caffe
        self._values = {name: _values(name, shape, vocabulary) for name in inputs}
        self._given = {
            name: mnn.Tensor(shape, kind, values, order) for name, values in self._values.items()
        }

    def milliseconds(self, count: int = PASSES) -> dict[str, float]:
        """Return the median milliseconds by type of operator, without the first pass."""
        self._pass()
        passes = [self._pass() for _ in range(count)]
        types = {kind for each in passes for kind in each}
        return {kind: 1e3 * statistics.median(each[kind] for each in passes) for kind in types}

    def _pass(self) -> dict[str, float]:
        seconds: dict[str, float] = defaultdict(float)
        started = 0.0

        def before(_: Any, __: Any) -> bool:
            nonlocal started
            started = time.process_time()
            return True

        def after(_: Any, operator: Any) -> bool:
            seconds[operator.getType()] += time.process_time() - started
            return True

        for name, given in self._given.items():  # a pass writes over its inputs
            self._interpreter.getSessionInput(self._session, name).copyFrom(given)
        self._interpreter.runSessionWithCallBackInfo(self._session, before, after)
        return seconds


def product_share(milliseconds: Mapping[str, float]) -> float:
    """Return the share of matrix products in the times of all operators."""
    return sum(milliseconds.get(kind, 0.0) for kind in PRODUCTS) / sum(milliseconds.values())


def _values(name: str, shape: tuple[int, int], vocabulary: int) -> NDArray[np.int32]:
    if name == "input_ids":
        return np.random.default_rng(0).integers(0, vocabulary, shape).astype(np.int32)
    return np.full(shape, int(name == "attention_mask"), np.int32)


def main() -> None:
    """Print a table for each shape."""
    bundle = Bundle.open(sys.argv[1])
    for written in sys.argv[2:] or SHAPES:
        batch, _, tokens = written.partition("x")
        shape, vocabulary = (int(batch), int(tokens)), bundle.manifest.encoder.vocab_size
        found = Profile(bundle.encoder, vocabulary, shape).milliseconds()
        total = sum(found.values())
        print(f"{written}: {total:.1f} ms, matrix products {product_share(found):.1%}")
        for kind, took in sorted(found.items(), key=lambda pair: -pair[1]):
            print(f"  {kind:14} {took:8.2f} ms {took / total:6.1%}")


if __name__ == "__main__":
    main()
