"""The documents nearest to each query: exact, and always in the same order."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minnow.datasets import Dataset
from minnow.errors import InputError
from minnow.evaluate import rank, ranking, to_rankings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


def rows(*values: list[float]) -> Floats:
    return np.array(values, dtype=np.float32)


def plain_rank(queries: Floats, documents: Floats, k: int) -> list[list[int]]:
    """Sort all documents by product, then index, in Python's integers."""
    return [
        sorted(
            range(len(documents)),
            key=lambda index: (
                -sum(int(a) * int(b) for a, b in zip(query, documents[index], strict=True)),
                index,
            ),
        )[:k]
        for query in queries
    ]


@st.composite
def small_integers(draw: st.DrawFn) -> tuple[Floats, Floats]:
    """Vectors whose products are exact in float32, with many ties."""
    width = draw(st.integers(1, 3))
    elements = st.integers(-2, 2).map(float)
    queries, documents = (
        draw(hnp.arrays(np.float32, (draw(st.integers(0, 5)), width), elements=elements))
        for _ in range(2)
    )
    return queries, documents


@given(small_integers(), st.integers(1, 7), st.sampled_from([1, 4, 2**24]))
def test_it_is_what_sorting_everything_gives(
    vectors: tuple[Floats, Floats], k: int, block: int
) -> None:
    queries, documents = vectors
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_PRODUCTS_PER_BLOCK", block)
        indices, scores = rank(queries, documents, k)
    assert indices.tolist() == plain_rank(queries, documents, k)
    assert indices.shape == scores.shape == (len(queries), min(k, len(documents)))
    assert indices.dtype == np.int64
    assert scores.dtype == np.float32
    for query, row, of_row in zip(queries, indices, scores, strict=True):
        assert of_row.tolist() == (documents[row] @ query).tolist()


def test_the_best_comes_first() -> None:
    indices, scores = rank(rows([1, 0], [0, 1]), rows([0.5, 0.25], [1, 0], [-1, 0.5]), 2)
    assert indices.tolist() == [[1, 0], [2, 0]]
    assert scores.tolist() == [[1, 0.5], [0.5, 0.25]]


def test_of_equal_ones_the_lower_index_comes_first() -> None:
    indices, _ = rank(rows([1]), rows([0], [1], [-0.0], [1], [0], [1]), 5)
    assert indices.tolist() == [[1, 3, 5, 0, 2]]


class TestRefusals:
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_a_row_that_is_not_finite_is_named(self, value: float) -> None:
        sound, broken = rows([1, 2]), rows([1, 2], [3, 4], [0, value])
        with pytest.raises(InputError, match="vector of query 2 holds NaN or infinity"):
            rank(broken, sound, 1)
        with pytest.raises(InputError, match="vector of document 2 holds NaN or infinity"):
            rank(sound, broken, 1)

    def test_a_product_beyond_float32(self) -> None:
        queries, documents = rows([1, 0], [1e30, -1e30]), rows([1, 1], [1e30, 0])
        with pytest.raises(InputError, match="vector of query 1 has a dot product beyond float32"):
            rank(queries, documents, 1)

    def test_widths_that_differ(self) -> None:
        with pytest.raises(InputError, match="queries have width 2, of documents 3"):
            rank(rows([1, 2]), rows([1, 2, 3]), 1)

    def test_a_single_vector(self) -> None:
        with pytest.raises(
            InputError, match=r"query vectors should have two axes, not shape \(2,\)"
        ):
            rank(rows([1, 2])[0], rows([1, 2]), 1)

    @pytest.mark.parametrize("k", [0, -1])
    def test_no_documents_wanted(self, k: int) -> None:
        with pytest.raises(InputError, match=f"at least 1, not {k}"):
            rank(rows([1]), rows([1]), k)


class TestIds:
    DATASET = Dataset(
        "fish",
        {"d1": "a", "d2": "b", "d3": "c"},
        {"p": "?", "q": "!"},
        {"p": {"d1": 1}, "q": {"d2": 1}},
    )

    def test_they_stand_in_place_of_indices(self) -> None:
        indices = np.array([[2, 0], [1, 2]])
        assert to_rankings(self.DATASET, indices) == {"p": ["d3", "d1"], "q": ["d2", "d3"]}

    def test_there_is_a_row_for_each_query(self) -> None:
        with pytest.raises(InputError, match="1 rows of indices, but fish has 2 queries"):
            to_rankings(self.DATASET, np.array([[0, 1]]))
