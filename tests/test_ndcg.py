from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnow.ndcg import ndcg

GAINS = st.lists(st.integers(0, 3), min_size=1, max_size=14).filter(any)


@pytest.mark.parametrize(
    ("ranked", "judged", "expected"),
    [
        ([1], [1], 1),
        ([0, 1], [1], 0.6309297535714574),  # 1 / log2(3)
        ([0] * 10 + [1], [1], 0),
        ([1], [1] * 20, 0.22009176629808017),  # of ten places, one
        ([1, 2], [2, 1], 0.8597186998521972),  # (1 + 2 / log2(3)) / (2 + 1 / log2(3))
        ([], [1], 0),
    ],
)
def test_it_is_the_formula(ranked: list[int], judged: list[int], expected: float) -> None:
    assert ndcg(ranked, judged) == pytest.approx(expected, abs=1e-12)


@pytest.mark.extra("evaluate")
@given(GAINS, st.randoms())
def test_it_is_that_of_ir_measures(judged: list[int], random: st.DataObject) -> None:
    import ir_measures
    from ir_measures import nDCG

    names = [f"d{i:02}" for i in range(len(judged))]
    order = random.sample(names, len(names))  # type: ignore[attr-defined]
    qrels = {"q": dict(zip(names, judged, strict=True))}
    run = {"q": {name: float(-place) for place, name in enumerate(order)}}
    expected = ir_measures.calc_aggregate([nDCG @ 10], qrels, run)[nDCG @ 10]
    ranked = [qrels["q"][name] for name in order]
    assert ndcg(ranked, judged) == pytest.approx(expected, abs=1e-9)
