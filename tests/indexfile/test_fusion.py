"""Two rankings into one, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from minnow.indexfile.fusion import RRF_K, VECTOR_WEIGHT, fuse_ranks, fuse_scores
from minnow.indexfile.matrix import Ranking
from minnow.vectors import Similarity

COSINE, DOT = Similarity.COSINE, Similarity.DOT


def ranking(*ids: int) -> Ranking:
    return Ranking(np.array(ids, np.int64), -np.arange(len(ids), dtype=float))


def test_reciprocal_ranks() -> None:
    fused = fuse_ranks((ranking(7, 3, 5), ranking(5, 9)), 3)
    assert fused.ids.tolist() == [5, 7, 3] or fused.ids.tolist() == [5, 7, 9]
    assert fused.scores[0] == pytest.approx(1 / (RRF_K + 3) + 1 / (RRF_K + 1))
    assert fused.scores[1] == pytest.approx(1 / (RRF_K + 1))
    assert fused.ids.tolist()[2] == 3  # equal scores in the order of ids


def test_all_that_is_wanted_is_fused() -> None:
    """Also beyond the first hundred of each ranking."""
    fused = fuse_ranks((ranking(*range(1, 301)), ranking(*range(301, 601))), 600)
    assert len(fused.ids) == 600


def test_scaled_scores() -> None:
    ids = np.array([1, 2, 3])
    fused = fuse_scores(ids, np.array([0.5, 0.2, -0.4]), np.array([0.0, 8.0, 2.0]), COSINE, 3)
    expected = {
        1: VECTOR_WEIGHT * 1 + 0,
        2: VECTOR_WEIGHT * 1.2 / 1.5 + (1 - VECTOR_WEIGHT) * 1,
        3: VECTOR_WEIGHT * 0.6 / 1.5 + (1 - VECTOR_WEIGHT) * 0.25,
    }
    assert fused.ids.tolist() == sorted(expected, key=lambda id_: -expected[id_])
    assert np.allclose(fused.scores, sorted(expected.values(), reverse=True))


def test_what_is_no_cosine_is_scaled_from_the_least_found() -> None:
    fused = fuse_scores(np.array([1, 2]), np.array([30.0, 10.0]), np.zeros(2), DOT, 2)
    assert fused.scores.tolist() == [VECTOR_WEIGHT, 0.0]


def test_without_a_vector_or_without_words() -> None:
    words_alone = fuse_scores(np.array([1, 2]), np.full(2, -np.inf), np.array([1.0, 2.0]), DOT, 2)
    assert words_alone.ids.tolist() == [2, 1]
    one = fuse_scores(np.array([1, 2]), np.array([-np.inf, 0.1]), np.zeros(2), COSINE, 2)
    assert one.ids.tolist() == [2, 1]


def test_a_lone_word_hit_counts() -> None:
    """Its score is the greatest there is, not the least."""
    near = np.array([0.5, 0.5, -np.inf])
    for words in ([0.0, 3.0, 0.0], [0.0, 3.0, 3.0]):
        assert fuse_scores(np.array([1, 2, 3]), near, np.array(words), COSINE, 3).ids[0] == 2


def test_nothing() -> None:
    none = np.empty(0)
    assert fuse_scores(none.astype(np.int64), none, none, COSINE, 3).ids.tolist() == []
    assert fuse_ranks((ranking(), ranking()), 3).ids.tolist() == []
