from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from minnow.errors import InputError
from minnow.vectors import (
    Pooling,
    Similarity,
    normalize,
    pairwise_similarity,
    pool,
    rowwise_cosine,
    similarity,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

WIDTH = 5


@st.composite
def matrices(draw: st.DrawFn, rows: int | None = None) -> Floats:
    """Rows of WIDTH float32 values, each zero or of a size that squares well."""
    count = draw(st.integers(0, 4)) if rows is None else rows
    values = st.floats(-100, 100, width=32).map(lambda x: x if abs(x) > 1e-3 else 0.0)
    row = st.lists(values, min_size=WIDTH, max_size=WIDTH)
    table = draw(st.lists(row, min_size=count, max_size=count))
    return np.array(table, np.float32).reshape(count, WIDTH)


def hidden_states(lengths: list[int], seed: int = 0) -> tuple[Floats, NDArray[np.int32]]:
    """States with padding on the right that would spoil every pooling that looks at it."""
    tokens = max(lengths)
    hidden = np.random.default_rng(seed).normal(-3, 1, (len(lengths), tokens, WIDTH))
    mask = (np.arange(tokens) < np.array(lengths)[:, None]).astype(np.int32)
    hidden[mask == 0] = 1e4
    return hidden.astype(np.float32), mask


# --- pooling -----------------------------------------------------------------------------


def loop_pool(rows: list[list[float]], pooling: Pooling) -> list[float]:
    """Pool one text, already without its padding, in plain Python."""
    count = len(rows)
    weights = {
        Pooling.CLS: [1.0] + [0.0] * (count - 1),
        Pooling.LAST_TOKEN: [0.0] * (count - 1) + [1.0],
        Pooling.MEAN: [1 / count] * count,
        Pooling.MEAN_SQRT_LEN: [1 / math.sqrt(count)] * count,
        Pooling.WEIGHTED_MEAN: [2 * (i + 1) / (count * (count + 1)) for i in range(count)],
    }
    columns = list(zip(*rows, strict=True))
    if pooling is Pooling.MAX:
        return [max(column) for column in columns]
    return [
        math.fsum(w * x for w, x in zip(weights[pooling], column, strict=True))
        for column in columns
    ]


@pytest.mark.parametrize("pooling", Pooling)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=5), seed=st.integers(0, 99))
def test_pooling_is_that_of_a_plain_loop(pooling: Pooling, lengths: list[int], seed: int) -> None:
    hidden, mask = hidden_states(lengths, seed)

    vectors = pool(hidden, mask, pooling)

    assert vectors.dtype == np.float32
    assert vectors.shape == (len(lengths), WIDTH)
    for vector, states, length in zip(vectors, hidden, lengths, strict=True):
        expected = loop_pool(states[:length].astype(float).tolist(), pooling)
        np.testing.assert_allclose(vector, expected, rtol=1e-5)


@pytest.mark.parametrize("pooling", Pooling)
def test_padding_does_not_change_a_vector(pooling: Pooling) -> None:
    hidden, mask = hidden_states([3, 7, 1])

    alone = [
        pool(hidden[i : i + 1, :length], mask[i : i + 1, :length], pooling)[0]
        for i, length in enumerate([3, 7, 1])
    ]

    np.testing.assert_allclose(pool(hidden, mask, pooling), alone, rtol=1e-6)


@pytest.mark.extra("sentence-transformers")
@pytest.mark.parametrize("pooling", Pooling)
def test_pooling_is_that_of_sentence_transformers(pooling: Pooling) -> None:
    import torch
    from sentence_transformers.models import Pooling as TheirPooling

    hidden, mask = hidden_states([4, 1, 9, 6])

    features = {"token_embeddings": torch.tensor(hidden), "attention_mask": torch.tensor(mask)}
    theirs: Any = TheirPooling(WIDTH, pooling_mode=pooling.value)
    expected = theirs(features)["sentence_embedding"].numpy()

    np.testing.assert_allclose(pool(hidden, mask, pooling), expected, rtol=1e-6)


@pytest.mark.extra("sentence-transformers")
def test_there_is_a_pooling_for_each_of_sentence_transformers() -> None:
    from sentence_transformers.models import Pooling as TheirPooling

    assert {pooling.value for pooling in Pooling} == set(TheirPooling.POOLING_MODES)


# --- length 1 ----------------------------------------------------------------------------


@given(matrices())
def test_a_row_has_length_one_and_its_own_direction_unless_it_is_zero(rows: Floats) -> None:
    unit = normalize(rows)

    assert unit.dtype == np.float32
    assert unit.shape == rows.shape
    for row, scaled in zip(rows.astype(float), unit, strict=True):
        length = math.sqrt(math.fsum(x * x for x in row))
        np.testing.assert_allclose(scaled, row / length if length else row, rtol=1e-5, atol=1e-30)


def test_zeros_stay_zero() -> None:
    assert normalize(np.zeros((2, WIDTH), np.float32)).tolist() == [[0.0] * WIDTH] * 2


def test_a_single_vector_keeps_its_shape() -> None:
    assert normalize(np.array([3, 0, 4], np.float32)).tolist() == pytest.approx([0.6, 0, 0.8])


def test_the_input_is_left_as_it_is() -> None:
    rows = np.array([[3, 4]], np.float32)

    normalize(rows)

    assert rows.tolist() == [[3, 4]]


# --- cosine of pairs ---------------------------------------------------------------------


@given(matrices(rows=3), matrices(rows=3))
def test_cosine_of_pairs_is_that_of_a_plain_loop(a: Floats, b: Floats) -> None:
    assume(a.any(1).all() and b.any(1).all())

    cosines = rowwise_cosine(a, b)

    assert cosines.dtype == np.float64
    for x, y, cosine in zip(a.astype(float), b.astype(float), cosines, strict=True):
        expected = _dot(x, y) / (math.hypot(*x) * math.hypot(*y))
        assert cosine == pytest.approx(expected, abs=1e-12)


def _dot(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    return math.fsum(p * q for p, q in zip(x, y, strict=True))


def test_cosine_of_pairs_sees_a_difference_that_float32_cannot() -> None:
    a = np.array([[1.0, 0.0]])
    b = np.array([[1.0, 1e-4]])

    assert 1 - rowwise_cosine(a, b)[0] == pytest.approx(5e-9, rel=1e-3)


@pytest.mark.parametrize(
    "row", [[0.0, 0.0], [math.nan, 1.0], [math.inf, 1.0]], ids=["zeros", "NaN", "infinity"]
)
def test_cosine_of_a_pair_without_direction_is_nan_and_of_its_neighbour_is_not(
    row: list[float],
) -> None:
    a = np.array([row, [1.0, 1.0]], np.float32)
    b = np.ones((2, 2), np.float32)

    for cosines in (rowwise_cosine(a, b), rowwise_cosine(b, a)):
        assert math.isnan(cosines[0])
        assert cosines[1] == pytest.approx(1)


# --- similarity --------------------------------------------------------------------------

FORMULAS: dict[Similarity, Callable[[NDArray[np.float64], NDArray[np.float64]], float]] = {
    Similarity.COSINE: lambda x, y: _dot(x, y) / ((math.hypot(*x) * math.hypot(*y)) or 1),
    Similarity.DOT: _dot,
    Similarity.EUCLIDEAN: lambda x, y: -math.dist(x, y),
    Similarity.MANHATTAN: lambda x, y: -math.fsum(abs(p - q) for p, q in zip(x, y, strict=True)),
}


@pytest.mark.parametrize("kind", Similarity)
@given(matrices(), matrices())
def test_similarity_is_that_of_a_plain_loop(kind: Similarity, a: Floats, b: Floats) -> None:
    table = similarity(a, b, kind)

    assert table.dtype == np.float32
    assert table.shape == (len(a), len(b))
    expected = [[FORMULAS[kind](x, y) for y in b.astype(float)] for x in a.astype(float)]
    np.testing.assert_allclose(
        table,
        np.reshape(expected, table.shape),
        rtol=1e-5,
        atol=0.01 if kind is Similarity.DOT else 1e-4,
    )


@pytest.mark.extra("sentence-transformers")
@pytest.mark.parametrize("kind", Similarity)
def test_similarity_is_that_of_sentence_transformers(kind: Similarity) -> None:
    from sentence_transformers.util import SimilarityFunction

    a, b = np.random.default_rng(1).normal(size=(2, 6, WIDTH)).astype(np.float32)

    expected: Any = SimilarityFunction.to_similarity_fn(kind.value)(a, b)

    np.testing.assert_allclose(similarity(a, b, kind), expected.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", Similarity)
def test_the_most_alike_is_the_largest(kind: Similarity) -> None:
    rows = np.eye(WIDTH, dtype=np.float32)

    assert similarity(rows, rows, kind).argmax(1).tolist() == list(range(WIDTH))


@pytest.mark.parametrize("kind", Similarity)
def test_a_vector_is_a_table_of_one_row(kind: Similarity) -> None:
    one, many = np.ones(WIDTH, np.float32), np.ones((3, WIDTH), np.float32)

    assert similarity(one, many, kind).shape == (1, 3)
    assert similarity(many, one, kind).shape == (3, 1)


@pytest.mark.parametrize("dtype", [np.float16, np.int8])
@pytest.mark.parametrize("kind", Similarity)
def test_sums_of_small_types_do_not_overflow(kind: Similarity, dtype: type) -> None:
    rows: NDArray[Any] = np.random.default_rng(1).integers(-127, 128, (3, 384)).astype(dtype)
    rows[0] = 100  # its square sum is 3.8 million

    table = similarity(rows, rows, kind)

    np.testing.assert_allclose(table, similarity(rows.astype("f4"), rows.astype("f4"), kind))
    if kind is Similarity.COSINE:
        np.testing.assert_allclose(table.diagonal(), 1, atol=1e-5)


@pytest.mark.parametrize("kind", Similarity)
@pytest.mark.parametrize(("a", "b"), [((2, 1), (3, 5)), ((4,), (3, 5)), ((2, 2, 5), (3, 5))])
def test_vectors_of_other_widths_are_not_compared(
    kind: Similarity, a: tuple[int, ...], b: tuple[int, ...]
) -> None:
    """NumPy would take one number for as many equal ones."""
    for compare in (similarity, pairwise_similarity):
        with pytest.raises(InputError, match=r"cannot be compared: give arrays of shape"):
            compare(np.ones(a, np.float32), np.ones(b, np.float32), kind)


@pytest.mark.parametrize("kind", Similarity)
def test_pairs_need_as_many_rows(kind: Similarity) -> None:
    one, two, three = (np.ones((rows, WIDTH), np.float32) for rows in (1, 2, 3))
    assert pairwise_similarity(one, three, kind).shape == (3,)
    assert pairwise_similarity(one[0], one[0], kind).shape == ()
    with pytest.raises(InputError, match="cannot be compared"):
        pairwise_similarity(two, three, kind)


def test_similarity_is_cosine_by_default() -> None:
    a = np.array([[2, 0]], np.float32)

    assert similarity(a, a).tolist() == [[1.0]]
