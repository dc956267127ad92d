"""The fit of a table: a vector for each token whose sums point where the teacher's vectors do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.errors import MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

STRENGTH = 1.0
"""Weight of the prior beside one query; chosen, as the root below, on the data sets of
docs/benchmarks.md."""

ROUNDS = 12
_SIF = 1e-3


def make_prior(counts: NDArray[np.int64], vectors: Floats) -> Floats:
    """Return a table without a fit: each token's own vector, rare ones weighted more.

    Args:
        counts: How often each token occurs: int64 of shape (tokens,).
        vectors: The teacher's vector of each token alone: float32 of shape (tokens, width).

    Source: Arora, Liang and Ma, A Simple but Tough-to-Beat Baseline for Sentence Embeddings, ICLR
    2017, for the weights; as model2vec does, the mean is taken off first.
    """
    share = (counts + 1) / (counts.sum() + len(counts))
    weights = (_SIF / (_SIF + share)).astype(np.float32)
    table: Floats = (vectors - vectors.mean(axis=0)) * weights[:, None]
    return table


def count_tokens(rows: Sequence[Sequence[int]], tokens: int) -> Any:
    """Return how often each query has each token: a sparse float32 matrix (queries, tokens).

    Raises:
        MissingExtraError: The extra `convert` is not installed, which has SciPy.
    """
    try:
        from scipy.sparse import csr_matrix
    except ImportError as error:
        raise MissingExtraError("Distilling", "convert") from error
    ids = np.fromiter((token for row in rows for token in row), np.int64)
    ends = np.cumsum([0, *map(len, rows)])
    counts = csr_matrix((np.ones(len(ids), np.float32), ids, ends), shape=(len(rows), tokens))
    counts.sum_duplicates()
    return counts


def fit_table(counts: Any, vectors: Floats, table: Floats) -> Floats:
    """Fit a table to a teacher's vectors by least squares, near a prior.

    It minimises the sum over queries of |sum of rows / tokens^(1/4) - vector|^2 and of STRENGTH
    times the squared distance to the prior, by conjugate gradients with Jacobi's preconditioner,
    all dimensions at once. The rows of a long query need not be as short as for their mean, which
    would find a tenth less.

    Args:
        counts: As `count_tokens` returns it.
        vectors: The teacher's vectors of the queries, of length 1: float32 of shape (queries,
            width).
        table: The prior: float32 of shape (tokens, width).

    Source: Hestenes and Stiefel, Methods of Conjugate Gradients for Solving Linear Systems, 1952.
    """
    from scipy.sparse import diags

    lengths = np.maximum(np.asarray(counts.sum(axis=1)).ravel(), 1)
    scaled = (diags((lengths**-0.25).astype(np.float32)) @ counts).tocsr()
    across = scaled.T.tocsr()
    diagonal = np.asarray(scaled.multiply(scaled).sum(axis=0)).ravel() + STRENGTH
    residual = across @ (vectors - scaled @ table)
    fitted = table.copy()
    ready = residual / diagonal[:, None]
    step, size = ready.copy(), (residual * ready).sum(axis=0)
    for _ in range(ROUNDS):
        product = across @ (scaled @ step) + STRENGTH * step
        length = size / np.maximum((step * product).sum(axis=0), 1e-12)
        fitted += length * step
        residual -= length * product
        ready = residual / diagonal[:, None]
        size, before = (residual * ready).sum(axis=0), size
        step = ready + (size / np.maximum(before, 1e-12)) * step
    result: Floats = fitted.astype(np.float32)
    return result
