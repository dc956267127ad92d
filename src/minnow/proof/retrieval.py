"""The search that completes the proof: do the staged bytes' vectors find the same documents?

Cosines say how far vectors moved, not whether that matters to a search. What is searched is a part
of the built-in data set: all documents that answer a question, and one in four of the others.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from minnow.datasets import Dataset, builtin_dataset
from minnow.embedder import Embedder
from minnow.errors import EngineError, ParityError
from minnow.ndcg import DEPTH, ndcg
from minnow.parity import Retrieval
from minnow.vectors import similarity

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from minnow.proof.references import Reference
    from minnow.proof.verdict import Candidate, Progress
    from minnow.vectors import Similarity

    Vectors = NDArray[np.floating]

MEASURE = "nDCG@10"
_EVERY = 4


@cache
def searched_dataset() -> Dataset:
    """Return a part of the built-in data set, for a search that takes seconds.

    Raises:
        InputError: This Python comes without the sources of its library.
    """
    whole = builtin_dataset()
    answers = {name for judged in whole.qrels.values() for name in judged}
    others = [name for name in whole.documents if name not in answers][::_EVERY]
    kept = answers.union(others)
    documents = {name: text for name, text in whole.documents.items() if name in kept}
    return Dataset(f"{whole.name}, a part", documents, whole.queries, whole.qrels)


def prove_retrieval(
    candidate: Candidate, reference: Reference, progress: Progress = lambda _: None
) -> Retrieval:
    """Search a data set with a folder's encoder.mnn, and with the reference.

    Args:
        candidate: The folder; its `max_ndcg_drop` says how far nDCG@10 may be below the
            reference's.
        reference: What it is compared with.
        progress: Receives a line of text before each step.

    Returns:
        What both find.

    Raises:
        ParityError: nDCG@10 is further below, or a vector is not finite.
    """
    assert candidate.max_ndcg_drop is not None
    dataset, embedding = searched_dataset(), candidate.embedding
    queries, documents = list(dataset.queries.values()), list(dataset.documents.values())
    counts = f"{len(queries)} questions, {len(documents)} documents"
    progress(f"searching with the staged encoder ({counts})")
    try:
        with Embedder.from_files(
            candidate.path,
            candidate.encoder,
            embedding,
            interface=candidate.interface,
            on_truncate="ignore",
        ) as embedder:
            ours = (embedder.encode_query(queries), embedder.encode_document(documents))
    except EngineError as error:
        raise ParityError(f"The converted model does not run on {dataset.name}: {error}") from error
    reached = _mean_ndcg(dataset, ours, embedding.similarity)
    progress("searching with the reference")
    prompts = embedding.role_prompts
    theirs = (
        reference.vectors(queries, prompts.query),
        reference.vectors(documents, prompts.document),
    )
    expected = _mean_ndcg(dataset, theirs, embedding.similarity)
    if not reached >= expected - candidate.max_ndcg_drop:
        raise ParityError(
            f"Refused: {candidate.name} finds less than {reference.name}. Its {MEASURE} on "
            f"{dataset.name} ({counts}) is {reached:.4f}, the reference's {expected:.4f}; it may "
            f"be {candidate.max_ndcg_drop:g} below. "
            f"Nothing was written. {candidate.advice}".rstrip()
        )
    return Retrieval(
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        documents=len(documents),
        queries=len(queries),
        measure=MEASURE,
        reference=expected,
        candidate=reached,
        max_ndcg_drop=candidate.max_ndcg_drop,
    )


def _mean_ndcg(dataset: Dataset, vectors: tuple[Vectors, Vectors], kind: Similarity) -> float:
    """Return the mean nDCG@10 of an exact search; NaN where a vector has NaN.

    All judgements are 1. ir-measures, with which a test compares it, needs a compiler on some
    machines.
    """
    queries, documents = (np.asarray(rows, np.float32) for rows in vectors)
    scores = similarity(queries, documents, kind)
    if not np.isfinite(scores).all():
        return float("nan")
    names = list(dataset.documents)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :DEPTH]
    found = [
        ndcg([names[i] in answers for i in row], np.ones(len(answers)))
        for row, answers in zip(best, dataset.qrels.values(), strict=True)
    ]
    return float(np.mean(found))
