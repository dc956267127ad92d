"""Results that differ from each other, beside LangChain's function of the same method."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minnow.adapters.diversity import diverse


def test_a_copy_does_not_come_back() -> None:
    vectors = np.array([[1, 0.1, 0], [1, 0.1, 0], [0.9, 0, 1], [0.8, -1, 0]], np.float32)
    query = np.array([1, 0, 0], np.float32)
    assert diverse(query, vectors, 3, 0.5) == [0, 3, 2]
    assert diverse(query, vectors, 9, 1.0) == [0, 1, 2, 3]
    assert diverse(query, vectors, 0, 0.5) == []
    assert diverse(query, vectors[:0], 3, 0.5) == []


def test_a_vector_of_zeros_is_near_to_nothing() -> None:
    vectors = np.array([[0, 0], [1, 0], [1, 0]], np.float32)
    assert diverse(np.array([1, 0], np.float32), vectors, 3, 0.9) == [1, 2, 0]


@pytest.mark.extra("langchain")
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 1.0])
def test_langchain_chooses_the_same(share: float) -> None:
    from langchain_core.vectorstores.utils import maximal_marginal_relevance

    numbers = np.random.default_rng(0)
    vectors = numbers.normal(size=(30, 8)).astype(np.float32)
    query = numbers.normal(size=8).astype(np.float32)
    theirs: Any = maximal_marginal_relevance(query, list(vectors), share, 10)
    assert diverse(query, vectors, 10, share) == theirs
