"""Rankings of documents from vectors, by exact search."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.datasets.dataset import part_of
from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from minnow.datasets import Dataset

    Floats = NDArray[np.float32]

_PRODUCTS_PER_BLOCK = 2**24


def rank(
    query_vectors: Floats, document_vectors: Floats, k: int
) -> tuple[NDArray[np.int64], Floats]:
    """Find the k documents of largest dot product for each query, exactly.

    Args:
        query_vectors: Of shape (queries, width).
        document_vectors: Of shape (documents, width).
        k: How many to find; fewer where there are fewer documents.

    Returns:
        Indices of documents and their dot products, both of shape (queries, k), best first; of
        equal ones the lower index first.

    Raises:
        InputError: Shapes do not fit, k is below 1, or a row holds NaN or infinity or has an
            infinite dot product; the message names the row.
    """
    queries = _check_vectors("query", query_vectors)
    documents = _check_vectors("document", document_vectors)
    if queries.shape[1] != documents.shape[1]:
        raise InputError(
            f"Vectors of queries have width {queries.shape[1]}, of documents {documents.shape[1]}."
        )
    if k < 1:
        raise InputError(f"k should be at least 1, not {k}.")
    shape = (len(queries), min(k, len(documents)))
    indices = np.empty(shape, np.int64)
    scores = np.empty(shape, np.float32)
    step = max(1, _PRODUCTS_PER_BLOCK // max(1, len(documents)))
    for start in range(0, len(queries), step):
        with np.errstate(over="ignore", invalid="ignore"):
            products = queries[start : start + step] @ documents.T
        for row, of_query in enumerate(products, start=start):
            if not np.isfinite(of_query).all():
                raise InputError(f"The vector of query {row} has a dot product beyond float32.")
            indices[row] = _find_largest(of_query, shape[1])
            scores[row] = of_query[indices[row]]
    return indices, scores


def _check_vectors(kind: str, vectors: Floats) -> Floats:
    with np.errstate(over="ignore"):
        rows = np.asarray(vectors, dtype=np.float32)
    if rows.ndim != 2:
        raise InputError(f"The {kind} vectors should have two axes, not shape {rows.shape}.")
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if broken.size:
        raise InputError(f"The vector of {kind} {broken[0]} holds NaN or infinity.")
    return rows


def _find_largest(scores: Floats, k: int) -> NDArray[np.int64]:
    """Return the indices of the k largest, best first; of equal ones the lower index first."""
    if k == 0:
        return np.empty(0, np.int64)
    bar = np.partition(scores, len(scores) - k)[len(scores) - k]
    candidates = np.flatnonzero(scores >= bar)
    return candidates[np.argsort(-scores[candidates], kind="stable")][:k]


def search(
    dataset: Dataset, query_vectors: Floats, document_vectors: Floats, k: int
) -> list[NDArray[np.int64]]:
    """Find the k documents of largest dot product for each query, without the query's own one.

    A query is asked to its own part of a data set.

    Args:
        dataset: Its documents and queries, in the order of the vectors.
        query_vectors: As for `rank`.
        document_vectors: As for `rank`.
        k: How many to find at most.

    Returns:
        Indices of documents for each query, best first.

    Raises:
        InputError: As `rank`.
    """
    own = dataset.own_documents
    found = _search_parts(dataset, query_vectors, document_vectors, k + bool(own))
    if not own:
        return found
    places = {name: place for place, name in enumerate(dataset.documents) if name in own}
    return [
        row[row != places.get(query, -1)][:k]
        for query, row in zip(dataset.queries, found, strict=True)
    ]


def _search_parts(
    dataset: Dataset, query_vectors: Floats, document_vectors: Floats, k: int
) -> list[NDArray[np.int64]]:
    """Search the parts of a data set, each alone; a data set without parts as a whole."""
    if not dataset.parts:
        return list(rank(query_vectors, document_vectors, k)[0])
    found = [np.empty(0, np.int64)] * len(dataset.queries)
    of_queries = np.array([part_of(query) for query in dataset.queries])
    of_documents = np.array([part_of(document) for document in dataset.documents])
    for part in dataset.parts:
        asked, there = np.flatnonzero(of_queries == part), np.flatnonzero(of_documents == part)
        indices, _ = rank(query_vectors[asked], document_vectors[there], k)
        for query, row in zip(asked.tolist(), indices, strict=True):
            found[query] = there[row]
    return found


def to_rankings(
    dataset: Dataset, indices: Sequence[NDArray[np.int64]] | NDArray[np.int64]
) -> dict[str, list[str]]:
    """Replace indices by ids.

    Args:
        dataset: Its documents and queries, in the order in which they were embedded.
        indices: A row for each query, as `rank` and `search` return them.

    Returns:
        For each query id, document ids, best first.

    Raises:
        InputError: There is not one row for each query.
    """
    if len(indices) != len(dataset.queries):
        raise InputError(
            f"There are {len(indices)} rows of indices, but {dataset.name} has "
            f"{len(dataset.queries)} queries."
        )
    documents = list(dataset.documents)
    return {
        query: [documents[index] for index in row.tolist()]
        for query, row in zip(dataset.queries, indices, strict=True)
    }
