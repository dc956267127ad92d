"""The ranking that completes a reranker's proof: do the staged bytes order documents alike?

What is ranked comes from the built-in data set: some of its questions, each with the documents that
answer it and with a few others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.datasets import builtin_dataset
from minnow.errors import EngineError, InputError, ParityError
from minnow.manifest import TOKENIZER
from minnow.model.pairs import PairTokenizer
from minnow.parity import RankAgreement
from minnow.recipe import RANKING_BARS, Precision
from minnow.reranker import Reranker
from minnow.scores import logit_scale

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from minnow.datasets import Dataset
    from minnow.proof.references import Reference
    from minnow.proof.verdict import Candidate, Progress

QUESTIONS = 8
DOCUMENTS = 8


def prove_ranking(
    candidate: Candidate, reference: Reference, progress: Progress = lambda _: None
) -> RankAgreement | None:
    """Rank documents of the built-in data set with a folder's encoder.mnn and with the reference.

    With several labels, each of them orders the documents.

    Args:
        candidate: The folder; its `agreement` says what the orders have to have in common.
        reference: What it is compared with.
        progress: Receives a line of text before each step.

    Returns:
        How far both orders agree; None where no question leaves room for a document.

    Raises:
        ParityError: They agree less, or a logit is not finite.
        InputError: This Python comes without the sources of its library.
    """
    assert candidate.reranking is not None
    dataset = builtin_dataset()
    groups = [
        [(query, dataset.documents[name]) for name in _documents(dataset.qrels[key], dataset)]
        for key, query in list(dataset.queries.items())[:QUESTIONS]
    ]
    tokenizer = PairTokenizer(candidate.path / TOKENIZER, candidate.embedding, candidate.reranking)
    groups = [group for group in groups if _fits(tokenizer, group)]
    if not groups:
        return None
    pairs = [pair for group in groups for pair in group]
    progress(f"ranking with the staged encoder ({len(groups)} questions)")
    try:
        with Reranker.from_files(
            candidate.path,
            candidate.encoder,
            candidate.embedding,
            candidate.reranking,
            on_truncate="ignore",
        ) as reranker:
            found = reranker.predict(pairs, prompt="", activation_fn="identity")
    except EngineError as error:
        raise ParityError(f"The converted model does not run on {dataset.name}: {error}") from error
    progress("ranking with the reference")
    shape = (len(groups), DOCUMENTS, -1)
    ours, theirs = (np.reshape(each, shape) for each in (found, reference.vectors(pairs)))
    agreement = order_agreement(ours, theirs)
    if not agreement >= candidate.agreement:
        raise ParityError(
            f"Refused: {candidate.name} orders documents of {dataset.name} otherwise than "
            f"{reference.name}: {agreement:.1%} of their pairs stand in the same order, of at "
            f"least {candidate.agreement:.1%}. Nothing was written. {candidate.advice}".rstrip()
        )
    return RankAgreement(
        dataset=dataset.name,
        fingerprint=dataset.fingerprint,
        queries=len(groups),
        documents=DOCUMENTS,
        agreement=agreement,
        least=candidate.agreement,
    )


def _fits(tokenizer: PairTokenizer, pairs: Sequence[tuple[str, str]]) -> bool:
    """Return whether a model that may cut documents, but not queries, can read these pairs."""
    try:
        tokenizer.tokenize(pairs)
    except InputError:
        return False
    return True


def _documents(answers: Mapping[str, int], dataset: Dataset) -> list[str]:
    """Choose the answers to a question, then others from all over the data set."""
    names = [*answers, *(name for name in list(dataset.documents)[:: _step(dataset)])]
    return list(dict.fromkeys(names))[:DOCUMENTS]


def _step(dataset: Dataset) -> int:
    return max(1, len(dataset.documents) // (2 * DOCUMENTS))


def order_agreement(ours: NDArray[np.floating], theirs: NDArray[np.floating]) -> float:
    """Return the share of pairs of documents that both put in the same order.

    Pairs whose logits in the reference are closer than half precision tells apart, twice its
    allowed difference, count as in order.

    Args:
        ours: Logits of shape (queries, documents, labels).
        theirs: The reference's.

    Returns:
        A number from 0 to 1; NaN where a logit is not finite.
    """
    if not (np.isfinite(ours).all() and np.isfinite(theirs).all()):
        return float("nan")
    one, other = np.triu_indices(ours.shape[1], 1)
    gaps = [logits[:, one] - logits[:, other] for logits in (ours, theirs)]
    close = 2 * RANKING_BARS[Precision.FP16].difference * logit_scale(theirs)
    return float(((gaps[0] * gaps[1] > 0) | (np.abs(gaps[1]) < close)).mean())
