"""The scale that fits any model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from fakes.searching import FakeModel

from minnow.memory.closeness import UNRELATED, background, least_cosine
from minnow.vectors import normalize

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Narrow(FakeModel):
    """A model whose vectors all point in nearly one direction, as those of some models do."""

    def encode_documents(self, texts: object) -> NDArray[np.float32]:
        rows = super().encode_documents(texts)  # type: ignore[arg-type]
        rows[:, 0] += 3
        return normalize(rows)


def test_the_background_is_the_mean_over_all_pairs() -> None:
    vectors = Narrow().encode_documents(UNRELATED)
    cosines = [float(a @ b) for n, a in enumerate(vectors) for b in vectors[:n]]
    assert background(Narrow()) == pytest.approx(sum(cosines) / len(cosines), abs=1e-6)
    assert background(Narrow()) > 0.85 > 0.3 > background(FakeModel())


def test_closeness_goes_from_the_background_to_1() -> None:
    assert least_cosine(0, 0.7) == 0.7
    assert least_cosine(1, 0.7) == 1
    assert least_cosine(0.5, 0.6) == pytest.approx(0.8)
