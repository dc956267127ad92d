"""The map from an old model's vectors to a new one's, fitted on texts that both embedded.

Only vectors of documents are mapped: the new model embeds questions, which are compared as they
are, so prompts, and how questions differ from documents, play no part in the fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from minnow.indexfile.encodings import Doubles, Floats
from minnow.indexfile.generations import Alignment
from minnow.vectors import Similarity, normalize, similarity

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDS = 5
STRENGTHS = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)
"""Of the penalty on the residual, relative to the variance of the old vectors."""


@dataclass(frozen=True)
class Fit:
    """A map, and how well it does on texts that it was not fitted on.

    Attributes:
        alignment: The map, fitted on all texts.
        method: The method that predicted best.
        predicted: Predictions for the texts by maps fitted without them: float32 of shape
            (texts, new width).
        cosine: The mean cosine of those with the new model's vectors.
    """

    alignment: Alignment
    method: str
    predicted: Floats
    cosine: float


def fit(old: Floats, new: Floats, kind: Similarity, seed: int = 0) -> Fit:
    """Fit an affine map by each method, and take the one that predicts unseen texts best.

    A map is a scaled rotation, the solution of the orthogonal Procrustes problem, and a residual
    that ridge regression keeps small; the methods differ in how small, and the first has none.
    Cross-validation compares how high a text's prediction ranks for its own new vector among those
    of all texts. All of it has closed forms, and takes seconds for 2048 texts.

    Args:
        old: The old model's vectors of at least two texts, float32 of shape (texts, old width).
        new: The new model's vectors of the same, float32 of shape (texts, new width).
        kind: How the new model's vectors are compared.
        seed: Divides the texts into folds.

    Source: Schönemann, A generalized solution of the orthogonal Procrustes problem, Psychometrika
    31, 1966; Hoerl and Kennard, Ridge regression, Technometrics 12, 1970.
    """
    unit = kind is Similarity.COSINE
    folds = np.random.default_rng(seed).permutation(len(old)) % min(FOLDS, len(old))
    predicted: dict[str, Floats] = {}
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        for method, rows in _maps(old[~held], new[~held]):
            made = predicted.setdefault(method, np.empty(new.shape, np.float32))
            made[held] = Alignment(rows, unit).predict(old[held])
    method = max(predicted, key=lambda name: _reciprocal_rank(predicted[name], new, kind))
    rows = dict(_maps(old, new))[method]
    cosines = np.einsum("nk,nk->n", normalize(predicted[method]), normalize(new))
    return Fit(Alignment(rows, unit), method, predicted[method], float(cosines.mean()))


def _maps(old: Floats, new: Floats) -> Iterator[tuple[str, Doubles]]:
    """Yield the name of each method, and its map: the offset, then the matrix."""
    x, y = old.astype(np.float64), new.astype(np.float64)
    before, after = x.mean(axis=0), y.mean(axis=0)
    x, y = x - before, y - after

    def affine(matrix: Doubles) -> Doubles:
        rows: Doubles = np.vstack([after - before @ matrix, matrix])
        return rows

    left, sizes, right = np.linalg.svd(x.T @ y, full_matrices=False)
    total = max(float(np.square(x).sum()), np.finfo(np.float64).tiny)
    rotation = left @ right * (sizes.sum() / total)
    yield "Procrustes", affine(rotation)
    squares, axes = np.linalg.eigh(x.T @ x)
    turned = axes.T @ (x.T @ (y - x @ rotation))
    for strength in STRENGTHS:
        weights = strength * total + np.maximum(squares, 0)
        residual = axes @ (turned / weights[:, None])
        yield f"Procrustes and a residual of {strength:g}", affine(rotation + residual)


def _reciprocal_rank(predicted: Floats, new: Floats, kind: Similarity) -> float:
    """Return the mean of one over the rank of each text's own prediction for its new vector."""
    scores = similarity(new, predicted, kind)
    better = (scores > np.diagonal(scores)[:, None]).sum(axis=1)
    return float((1 / (1 + better)).mean())
