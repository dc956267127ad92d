"""Pairs of a query and a document: read from requests or found, ranked, and answered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from msgspec import UNSET

from minnow.errors import InputError
from minnow.indexfile.reranking import check_candidates
from minnow.model.spec import ScoreActivation
from minnow.scores import activate
from minnow.search.hits import reordered
from minnow.serve.answers import (
    ApiVersion,
    Rank,
    RankingAnswer,
    RankingMeta,
    RankingResult,
    RankingTokens,
    SearchHit,
)
from minnow.serve.errors import bad_request
from minnow.serve.inputs import Rows, check_count
from minnow.serve.requests import DocumentObject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from minnow.search import Hit
    from minnow.serve.models import ServedReranker
    from minnow.serve.requests import DocumentsRequest, SearchRequest, TextsRequest

    Floats = NDArray[np.float32]


def texts_of_documents(asked: DocumentsRequest, model: ServedReranker) -> list[str]:
    """Return the text of each document.

    Raises:
        ApiError: Documents should be cut off before the model's limit.
    """
    limit = asked.max_tokens_per_doc
    if limit is not None and limit < model.max_tokens:
        raise bad_request(
            f"max_tokens_per_doc is {limit}; {model.name} reads pairs of {model.max_tokens} tokens "
            "and cuts off no document before that. Leave it out.",
            "max_tokens_per_doc",
        )
    return [each if isinstance(each, str) else each.text for each in asked.documents]


def pairs_of(
    model: ServedReranker,
    query: str,
    texts: Sequence[str],
    param: str,
    *,
    truncate: bool,
    most: int,
) -> Rows:
    """Tokenise a query with each text.

    Args:
        model: The model.
        query: The query.
        texts: The documents; an empty one is a document like others.
        param: The field of the request that has them.
        truncate: Cut off pairs that are too long, rather than refuse them.
        most: How many documents a request may have.

    Raises:
        ApiError: There are none or too many, or a pair is too long.
    """
    check_count(len(texts), most, param)
    try:
        rows = Rows(model.tokens(query, texts))
    except InputError as error:
        raise bad_request(str(error), "query", "context_length_exceeded") from error
    if rows.truncated and not truncate:
        number = rows.truncated[0]
        row = rows.texts[number]
        count = f"{row.count}" if row.counted_all else f"more than {row.count}"
        raise bad_request(
            f"{param}[{number}] and the query have {count} tokens; {model.name} takes "
            f"{model.max_tokens}, special tokens included. Split it into chunks, or send "
            '"truncate": true to have ends cut off.',
            param,
            "context_length_exceeded",
        )
    return rows


def rank(logits: Floats, *, raw: bool, top_n: int | None) -> list[tuple[int, float]]:
    """Order documents by their logits, of shape (documents, 1), the best first.

    Scores are sigmoids of the logits whatever the model's own activation is, as they are in
    text-embeddings-inference, so that clients which compare them with a threshold can do so.

    Args:
        logits: float32 of shape (documents, 1).
        raw: Return logits in place of sigmoids.
        top_n: Return so many at most.

    Returns:
        The number and the score of each document. Equal ones keep the order of the request.
    """
    activation = ScoreActivation.IDENTITY if raw else ScoreActivation.SIGMOID
    scores = activate(logits[:, 0], activation)
    order = np.argsort(-logits[:, 0], kind="stable")[:top_n]
    return [(int(i), float(scores[i])) for i in order]


def answer_texts(asked: TextsRequest, rows: Rows, logits: Floats) -> list[Rank]:
    """Answer as text-embeddings-inference does."""
    cut = set(rows.truncated)
    return [
        Rank(
            index=i,
            score=score,
            text=asked.texts[i] if asked.return_text else UNSET,
            truncated=True if i in cut else UNSET,
        )
        for i, score in rank(logits, raw=asked.raw_scores, top_n=asked.top_n)
    ]


def answer_documents(
    asked: DocumentsRequest, model: ServedReranker, texts: Sequence[str], rows: Rows, logits: Floats
) -> RankingAnswer:
    """Answer as Jina and Cohere do: `usage` is Jina's, `meta` Cohere's."""
    cut = rows.truncated
    warning = (
        f"{len(cut)} of {len(texts)} documents are over the limit of {model.max_tokens} tokens "
        "together with the query: their ends, or the query's, do not count."
    )
    return RankingAnswer(
        id=str(uuid4()),
        model=model.name,
        results=[
            RankingResult(
                index=i,
                relevance_score=score,
                document=DocumentObject(texts[i]) if asked.return_documents else UNSET,
            )
            for i, score in rank(logits, raw=asked.raw_scores, top_n=asked.top_n)
        ],
        usage=rows.usage,
        meta=RankingMeta(
            api_version=ApiVersion(version="2"),
            tokens=RankingTokens(input_tokens=rows.tokens),
            warnings=[warning] if cut else UNSET,
        ),
        truncated=cut or UNSET,
    )


def count_hits(asked: SearchRequest) -> int:
    """Return how many hits a search has to find.

    Raises:
        ApiError: `candidates` is less than `k` or too many, or no reranker is named.
    """
    if asked.reranker is None:
        if asked.candidates is not None:
            raise bad_request(
                "`candidates` is how many hits a reranker reads: name a `reranker`.", "candidates"
            )
        return asked.k
    try:
        return check_candidates(asked.candidates, asked.k)
    except InputError as error:
        raise bad_request(str(error), "candidates") from error


def pairs_of_hits(model: ServedReranker, asked: SearchRequest, hits: Sequence[Hit]) -> Rows:
    """Tokenise a question with each hit; those that are too long are cut off.

    Raises:
        ApiError: The question leaves no room for a hit.
    """
    texts = [hit.text for hit in hits]
    return pairs_of(model, asked.query, texts, "hits", truncate=True, most=len(texts))


def ranked_hits(
    asked: SearchRequest, hits: Sequence[Hit], rows: Rows, logits: Floats
) -> list[SearchHit]:
    """Answer with the best hits, in the order of their logits; scores are those of `rank`."""
    best = reordered(hits, rank(logits, raw=False, top_n=asked.k))
    cut = {hits[i].id for i in rows.truncated}
    return [
        answer_hit(hit, first_rank=hit.first_rank, truncated=hit.id in cut or UNSET) for hit in best
    ]


def answer_hit(hit: Hit, **reranked: Any) -> SearchHit:
    """Write a hit as it is answered, with what a reranker adds."""
    facts = hit.facts() | {"first_rank": UNSET, "truncated": UNSET} | reranked
    return SearchHit(**{name: facts[name] for name in SearchHit.__struct_fields__})
