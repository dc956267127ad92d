"""Clusters, against SciPy's."""

from __future__ import annotations

import numpy as np
import pytest

from minnow.errors import InputError
from minnow.memory import Grouping
from minnow.memory.clusters import average_linkage
from minnow.vectors import normalize


@pytest.mark.extra("convert")
@pytest.mark.parametrize("seed", range(8))
def test_they_are_those_of_scipy(seed: int) -> None:
    from scipy.cluster.hierarchy import fcluster, linkage

    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(6, 16))
    rows = centres[chance.integers(6, size=60)] + chance.normal(size=(60, 16)) * 0.6
    vectors = normalize(rows.astype(np.float32))
    tree = linkage(vectors.astype(np.float64), method="average", metric="cosine")
    for least in (0.2, 0.5, 0.8):
        labels = fcluster(tree, t=1 - least, criterion="distance")
        theirs = {frozenset(np.flatnonzero(labels == label).tolist()) for label in set(labels)}
        ours = average_linkage(vectors, least)
        assert {frozenset(rows) for rows in ours} == theirs
        assert [len(rows) for rows in ours] == sorted(map(len, ours), reverse=True)
        assert 1 < len(ours) < 60


def test_few_rows() -> None:
    assert average_linkage(np.empty((0, 4), np.float32), 0.5) == []
    one = np.eye(4, dtype=np.float32)
    assert average_linkage(one[:1], 0.5) == [[0]]
    assert average_linkage(one[[0, 1, 0]], 0.5) == [[0, 2], [1]]


@pytest.mark.parametrize("wrong", [{"last": 0}, {"closeness": 0}, {"closeness": 1.1},
                                   {"smallest": 1}])  # fmt: skip
def test_wrong_groupings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        Grouping(**wrong)  # type: ignore[arg-type]
