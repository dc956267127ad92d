"""Models of which an index keeps the first numbers of each vector only (Matryoshka dimensions)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from minnow.errors import InputError
from minnow.indexfile.fingerprint import SAME, Fingerprint
from minnow.ndcg import ndcg
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from minnow.datasets import Dataset
    from minnow.indexfile.encodings import Floats
    from minnow.indexfile.models import SearchModel

LARGEST_LOSS = 0.01
"""The most nDCG@10 that the built-in questions may lose; as the margin of comparisons."""


class TruncatedModel:
    """A model whose vectors keep their first numbers, scaled to length 1 again."""

    def __init__(self, model: SearchModel, dim: int) -> None:
        """Keep `dim` numbers of a model's vectors; `check_dimension` says whether they suffice."""
        self.fingerprint = truncated(model.fingerprint, dim)
        self.tokenizer, self.room = model.tokenizer, model.room
        self._model = model

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        """Embed chunks; see `SearchModel`."""
        return truncate(self._model.encode_documents(texts), self.fingerprint.width)

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        """Embed questions; see `SearchModel`."""
        return truncate(self._model.encode_queries(texts), self.fingerprint.width)


def truncate(vectors: Floats, dim: int) -> Floats:
    """Return the first numbers of vectors, float32 of shape (rows, dim) and length 1."""
    return normalize(np.ascontiguousarray(vectors[:, :dim]))


def truncated(model: Fingerprint, dim: int) -> Fingerprint:
    """Return the fingerprint of a model whose vectors are truncated."""
    return replace(model, width=dim, truncated_from=model.width)


def adapted(model: SearchModel, stored: Fingerprint) -> SearchModel:
    """Return a model that makes vectors like those of a file, truncated if they are."""
    whole = model.fingerprint
    if stored.truncated_from is None or whole.truncated_from is not None:
        return model
    expected = truncated(whole, stored.width)
    if any(getattr(stored, key) != getattr(expected, key) for key in SAME):
        return model  # another model, which the caller refuses by name
    return TruncatedModel(model, stored.width)


def check_dimension(
    model: SearchModel, dim: int, dataset: Dataset | None = None
) -> tuple[float, float]:
    """Check that the first numbers of a model's vectors find what whole vectors find.

    Nothing in a model's files says so reliably, so it is measured: the data set, by default the
    built-in one, is searched with both.

    Args:
        model: The model, not truncated.
        dim: How many numbers are to be kept.
        dataset: Questions with judgements; documents that do not fit the model are left out.

    Returns:
        nDCG@10 with whole vectors, and with truncated ones.

    Raises:
        InputError: `dim` is out of range, vectors are not compared by cosine, no document fits, or
            the loss is more than `LARGEST_LOSS`; the message says how many numbers would do.
    """
    width = model.fingerprint.width
    if not 1 <= dim < width:
        raise InputError(f"`dim=` should be 1 to {width - 1}, below the model's width, not {dim}.")
    if model.fingerprint.similarity != Similarity.COSINE:
        raise InputError(
            f"`dim=` needs a model with similarity cosine; {model.fingerprint.shown} has "
            f"{model.fingerprint.similarity}, and lengths of vectors would change."
        )
    if dataset is None:
        from minnow.datasets.builtin import builtin_dataset

        dataset = builtin_dataset()
    fitting = {
        name: text
        for name, text in dataset.documents.items()
        if len(model.tokenizer.encode(text)) <= model.room
    }
    names, asked = (
        list(fitting),
        [q for q in dataset.queries if dataset.qrels[q].keys() & fitting.keys()],
    )
    if not asked:
        raise InputError(
            f"{model.fingerprint.shown} has room for {model.room} tokens, too few for documents "
            f"of {dataset.name}, by which minnow measures whether {dim} numbers suffice. Keep all."
        )
    documents = model.encode_documents(list(fitting.values()))
    queries = model.encode_queries([dataset.queries[q] for q in asked])
    gains = np.array([[dataset.qrels[q].get(name, 0) for name in names] for q in asked])

    def find(size: int) -> float:
        return _mean_ndcg(truncate(queries, size) @ truncate(documents, size).T, gains)

    whole, kept = find(width), find(dim)
    if whole - kept > LARGEST_LOSS:
        sizes = (size for size in range(dim, width) if whole - find(size) <= LARGEST_LOSS)
        enough = next((f" {size} would do." for size in sizes), "")
        raise InputError(
            f"With the first {dim} of {width} numbers, {model.fingerprint.shown} finds less: "
            f"nDCG@10 {kept:.3f} instead of {whole:.3f} on {dataset.name}, and at most "
            f"{LARGEST_LOSS} may be lost.{enough} `minnow frontier` measures other data."
        )
    return whole, kept


def _mean_ndcg(scores: Floats, gains: NDArray[np.int64]) -> float:
    """Return the mean nDCG@10 of scores and gains of shape (queries, texts)."""
    order = np.argsort(-scores, axis=1, kind="stable")
    ranked = np.take_along_axis(gains, order, axis=1)
    return float(np.mean([ndcg(*row) for row in zip(ranked, gains, strict=True)]))
