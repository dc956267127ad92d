"""The other half of the proof: are the same things found with the staged bytes' vectors?

Cosines say how far vectors moved, not whether that matters to a search. What is searched is a part
of the built-in data set: all documents that answer a question, and one in four of the others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.bundle import Retrieval
from minnow.datasets import Dataset, builtin_dataset
from minnow.embedder import Embedder
from minnow.errors import EngineError, ParityError
from minnow.model.spec import Interface
from minnow.vectors import similarity

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.model.spec import EmbeddingSpec, EncoderSpec
    from minnow.proof.verdict import Reference
    from minnow.vectors import Similarity

    Vectors = NDArray[np.floating]

MEASURE = "nDCG@10"
_DEPTH = 10
_EVERY = 4


def searched_dataset() -> Dataset:
    """A part of the built-in data set, for a search that takes seconds.

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
    folder: Path,
    encoder: EncoderSpec,
    embedding: EmbeddingSpec,
    reference: Reference,
    dataset: Dataset,
    *,
    largest_fall: float,
    interface: Interface = Interface.LAST_HIDDEN_STATE,
    advice: str = "",
    progress: Callable[[str], None] = lambda _: None,
) -> Retrieval:
    """Search a data set with a folder's encoder.mnn, and with the reference.

    Args:
        folder: Staged or sealed files.
        encoder: The network that the files claim to hold.
        embedding: How the files claim that vectors are made, and compared.
        reference: The yardstick.
        dataset: What to search.
        largest_fall: How far nDCG@10 may be below the reference's.
        interface: What the files claim that the encoder gives.
        advice: What to do if it is further.
        progress: Told what is going on.

    Returns:
        What both find.

    Raises:
        ParityError: It is further, or a vector is not finite.
    """
    queries, documents = list(dataset.queries.values()), list(dataset.documents.values())
    found = f"{len(queries)} questions, {len(documents)} documents"
    progress(f"searching with the staged encoder ({found})")
    try:
        with Embedder.from_files(
            folder, encoder, embedding, interface=interface, on_truncate="ignore"
        ) as embedder:
            ours = (embedder.encode_query(queries), embedder.encode_document(documents))
    except EngineError as error:
        raise ParityError(f"The converted model does not run on {dataset.name}: {error}") from error
    candidate = _ndcg(dataset, ours, embedding.similarity)
    progress("searching with the reference")
    prompts = embedding.role_prompts
    theirs = (
        reference.vectors([prompts.query + text for text in queries]),
        reference.vectors([prompts.document + text for text in documents]),
    )
    expected = _ndcg(dataset, theirs, embedding.similarity)
    if not candidate >= expected - largest_fall:
        raise ParityError(
            f"Refused: the converted model finds less than {reference.name}. Its {MEASURE} on "
            f"{dataset.name} ({found}), is {candidate:.4f}, the reference's {expected:.4f}; it may "
            f"be {largest_fall:g} below. Nothing was written. {advice}".rstrip()
        )
    return Retrieval(
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        documents=len(documents),
        queries=len(queries),
        measure=MEASURE,
        reference=expected,
        candidate=candidate,
        largest_fall=largest_fall,
    )


def _ndcg(dataset: Dataset, vectors: tuple[Vectors, Vectors], kind: Similarity) -> float:
    """Mean nDCG@10 of an exact search; NaN where a vector has NaN.

    All judgements are 1. Written out, so that whoever converts needs no ir-measures: that needs a
    compiler on some machines. A test compares the two.

    Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", 2002.
    """
    queries, documents = (np.asarray(rows, np.float32) for rows in vectors)
    scores = similarity(queries, documents, kind)
    if not np.isfinite(scores).all():
        return float("nan")
    names, discounts = list(dataset.documents), 1 / np.log2(np.arange(2, _DEPTH + 2))
    best = np.argsort(-scores, axis=1, kind="stable")[:, :_DEPTH]
    gains = [
        discounts[[names[i] in answers for i in row]].sum() / discounts[: len(answers)].sum()
        for row, answers in zip(best, dataset.qrels.values(), strict=True)
    ]
    return float(np.mean(gains))
