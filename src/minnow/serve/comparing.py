"""Handlers that tokenise and compare texts, in minnow's form and in text-embeddings-inference's."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import numpy as np
from msgspec import UNSET, UnsetType

from minnow.serve.answers import (
    SimilarityAnswer,
    SimpleToken,
    TokenizeAnswer,
    TokenizedInput,
    to_json,
)
from minnow.serve.errors import too_many
from minnow.serve.handlers import json_response, model_and_prompt, truncates
from minnow.serve.inputs import Rows, check_count, decode, questions, texts_of, tokenized, tokens_of
from minnow.serve.models import ServedEmbedder
from minnow.serve.requests import SentencesParameters, SimilarityRequest, TokenizeRequest
from minnow.vectors import Similarity, similarity

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from minnow.serve.service import Service

_MOST_CHARACTERS = 2**20
"""For tokens of whole texts: about 3 s, and 15 MB of JSON."""


async def answer_tokenize(service: Service, body: bytes, _: Mapping[str, str]) -> Response:
    """Answer with the tokens of texts."""

    def work() -> bytes:
        asked = decode(body, TokenizeRequest)
        model, prompt = model_and_prompt(service, asked.model, asked)
        most = service.settings.limits.max_inputs
        if not isinstance(asked.inputs, UnsetType):
            texts = texts_of(asked.inputs, most, "inputs")
            if (count := sum(map(len, texts))) > _MOST_CHARACTERS:
                raise too_many(
                    f"inputs have {count} characters; all of their tokens are answered, so a "
                    f"request has at most {_MOST_CHARACTERS}. Send several requests.",
                    "inputs",
                )
            rows = [
                _simple(model, prompt + text, special=asked.add_special_tokens) for text in texts
            ]
            return to_json(rows)
        assert not isinstance(asked.input, UnsetType)
        texts = texts_of(asked.input, most, "input")
        data = [
            TokenizedInput(
                index=i,
                ids=row.ids,
                tokens=[model.tokenizer.token(token) or "" for token in row.ids],
                truncated=row.truncated,
                count=row.count,
                counted_all=row.counted_all,
            )
            for i, row in enumerate(tokens_of(model, texts, prompt))
        ]
        return to_json(TokenizeAnswer(data=data, model=model.name, max_tokens=model.max_tokens))

    return json_response(await service.in_thread(work))


def _simple(model: ServedEmbedder, text: str, *, special: bool) -> list[SimpleToken]:
    """Return all tokens of a text with their places in it, as text-embeddings-inference does."""
    found = model.tokenizer.whole.encode(text, add_special_tokens=special)
    parts = zip(found.ids, found.offsets, found.special_tokens_mask, strict=True)
    return [
        SimpleToken(
            id=number,
            text=model.tokenizer.token(number) or "",
            special=bool(mask),
            start=None if mask else place[0],
            stop=None if mask else place[1],
        )
        for number, place, mask in parts
    ]


async def answer_similarity(service: Service, body: bytes, _: Mapping[str, str]) -> Response:
    """Answer with the similarity of each question to each passage."""

    def read() -> tuple[SimilarityRequest, ServedEmbedder, Rows, Rows]:
        asked = decode(body, SimilarityRequest)
        model = service.model(asked.model, ServedEmbedder)
        if not isinstance(asked.inputs, UnsetType):
            return asked, model, *_sentences(service, asked, model)
        assert not isinstance(asked.query, UnsetType)
        assert not isinstance(asked.documents, UnsetType)
        most, truncate = service.settings.limits.max_inputs, truncates(service, asked.truncate)
        asking = texts_of(asked.query, most, "query")
        found = asked.documents
        check_count(len(asking) + len(found), most, "documents", "query and documents")
        first = questions(model, asking, truncate=truncate)
        prompt = model.prompt("document", None)
        rows = tokenized(model, found, prompt, truncate=truncate, param="documents")
        return asked, model, first, rows

    asked, model, asking, found = await service.in_thread(read)
    both, plain = asking.joined(found), asked.inputs is not UNSET
    if model.queries is None or plain:
        vectors = await service.compute(model, both)
        queries, documents = np.split(vectors, [len(asking.texts)])
    else:
        queries, documents = await asyncio.gather(
            service.compute(model.queries, asking), service.compute(model, found)
        )
    kind = Similarity.COSINE if plain else model.manifest.embedding.similarity

    def write() -> bytes:
        scores = similarity(queries, documents, kind)
        if plain:
            return to_json(scores[0].tolist())
        return to_json(
            SimilarityAnswer(
                scores=scores.tolist(),
                similarity=kind.value,
                model=model.name,
                usage=both.usage,
                truncated_queries=asking.truncated or UNSET,
                truncated_documents=found.truncated or UNSET,
            )
        )

    return json_response(await service.in_thread(write), len(both.truncated))


def _sentences(
    service: Service, asked: SimilarityRequest, model: ServedEmbedder
) -> tuple[Rows, Rows]:
    """Tokenise the sentences of text-embeddings-inference's form, which have no roles."""
    assert not isinstance(asked.inputs, UnsetType)
    most, options = service.settings.limits.max_inputs, asked.parameters or SentencesParameters()
    sentences = asked.inputs.sentences
    check_count(1 + len(sentences), most, "inputs", "source_sentence and sentences")
    given = asked.truncate if options.truncate is None else options.truncate
    truncate, prompt = truncates(service, given), model.prompt(None, options.prompt_name)
    model = model.of_role(None)
    one, others = (
        tokenized(model, texts, prompt, truncate=truncate, param="inputs")
        for texts in ([asked.inputs.source_sentence], sentences)
    )
    return one, others
