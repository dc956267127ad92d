"""What vectors find with their first numbers only."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from minnow.datasets import Dataset
from minnow.errors import InputError
from minnow.frontier import dimensions, measure_dimensions
from minnow.vectors import Similarity, normalize

pytestmark = pytest.mark.extra("evaluate")

COUNT = 60
DATA = Dataset(
    "made",
    {f"d{i}": f"text {i}" for i in range(COUNT)},
    {f"q{i}": f"question {i}" for i in range(COUNT)},
    {f"q{i}": {f"d{i}": 1} for i in range(COUNT)},
)


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Return vectors of which the first 12 numbers say all, and 2 too little."""
    generator = np.random.default_rng(0)
    documents = generator.normal(size=(COUNT, 16)).astype(np.float32)
    documents[:, 12:] *= 0.01
    queries = normalize(documents + generator.normal(size=(COUNT, 16)).astype(np.float32) * 0.1)
    found = SimpleNamespace(
        queries=queries, documents=normalize(documents), similarity=Similarity.COSINE
    )
    monkeypatch.setattr(dimensions, "embed", lambda *_: found)
    return found


def test_the_loss_is_measured(embedded: SimpleNamespace) -> None:
    most, few = measure_dimensions(str(Path()), DATA, [2, 12])
    assert (most.dim, few.dim) == (12, 2)
    assert most.verdict == "equivalent"
    assert (few.verdict, few.interval.queries) == ("worse", COUNT)
    assert few.interval.high < 0
    assert few.ndcg < most.ndcg


def test_what_cannot_be_measured(embedded: SimpleNamespace) -> None:
    with pytest.raises(InputError, match="should be 1 to 15, not 16"):
        measure_dimensions("a", DATA, [16])
    embedded.similarity = Similarity.DOT
    with pytest.raises(InputError, match="similarity cosine, not dot"):
        measure_dimensions("a", DATA, [4])
