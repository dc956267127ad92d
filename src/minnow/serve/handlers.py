"""Handlers of endpoints: from a request's body to its response."""

from __future__ import annotations

import base64
import logging
from typing import TYPE_CHECKING

import numpy as np
from msgspec import UNSET
from starlette.responses import Response

from minnow.errors import IndexFileError, InputError, OutputError
from minnow.serve import metrics
from minnow.serve.answers import (
    Embedding,
    EmbeddingsAnswer,
    HealthAnswer,
    ModelsAnswer,
    SearchAnswer,
    to_json,
)
from minnow.serve.errors import JSON, bad_request, unavailable
from minnow.serve.inputs import Rows, decode, questions, rows_of
from minnow.serve.models import ServedEmbedder, ServedModel, ServedReranker
from minnow.serve.page import page
from minnow.serve.requests import (
    DocumentsRequest,
    EmbeddingsRequest,
    SearchRequest,
    TextsRequest,
    VectorsRequest,
)
from minnow.serve.reranking import (
    answer_documents,
    answer_hit,
    answer_texts,
    count_hits,
    pairs_of,
    pairs_of_hits,
    ranked_hits,
    texts_of_documents,
)
from minnow.vectors import normalize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from minnow.serve.requests import RoleRequest
    from minnow.serve.service import Service

    Floats = NDArray[np.float32]

log = logging.getLogger("minnow.serve")

TRUNCATED = "X-Minnow-Truncated"
"""Header of a response: how many texts were cut off; absent where none was."""

IGNORED = "X-Minnow-Ignored"
"""Header of a response: unknown fields of the request, percent-encoded; absent without any."""

_LARGE = 100_000
"""Numbers above which a response is encoded in a thread, not in the event loop."""


async def answer_embeddings(service: Service, body: bytes, _: Mapping[str, str]) -> Response:
    """Answer with the vectors of texts or token ids, as OpenAI does."""
    asked, model, rows = await service.in_thread(_read_embeddings, service, body)
    vectors = shortened(await service.compute(model, rows), asked.dimensions, model)

    def write() -> bytes:
        return to_json(
            EmbeddingsAnswer(
                data=_written(vectors, as_base64=asked.encoding_format == "base64"),
                model=model.name,
                usage=rows.usage,
                truncated=rows.truncated or UNSET,
            )
        )

    return await respond(service, write, vectors.size, len(rows.truncated))


def _read_embeddings(
    service: Service, body: bytes
) -> tuple[EmbeddingsRequest, ServedEmbedder, Rows]:
    asked = decode(body, EmbeddingsRequest)
    model, prompt = model_and_prompt(service, asked.model, asked)
    rows = rows_of(
        model,
        asked.input,
        prompt,
        chosen=not (asked.input_type is None and asked.prompt_name is None),
        truncate=truncates(service, asked.truncate),
        most=service.settings.limits.max_inputs,
    )
    return asked, model, rows


def model_and_prompt(
    service: Service, name: str | None, asked: RoleRequest
) -> tuple[ServedEmbedder, str]:
    """Return the model for a request's role, and the prompt to put before each text.

    Raises:
        ApiError: There is no such model or prompt, or more dimensions are asked for than it has.
    """
    model = service.model(name, ServedEmbedder)
    dimensions = asked.dimensions if isinstance(asked, VectorsRequest) else None
    if dimensions is not None and dimensions > model.width:
        raise bad_request(
            f"dimensions should be 1 to {model.width}, the width of {model.name}.", "dimensions"
        )
    prompt = model.prompt(asked.input_type, asked.prompt_name)
    return model.of_role(asked.input_type), prompt


def truncates(service: Service, asked: bool | None) -> bool:
    """Return whether to cut off texts: as the request says, or else the server's settings."""
    return service.settings.truncate if asked is None else asked


def shortened(vectors: Floats, dimensions: int | None, model: ServedEmbedder) -> Floats:
    """Return the first dimensions, of length 1 where the model's vectors are; None keeps all."""
    if dimensions is None:
        return vectors
    part = vectors[:, :dimensions]
    return normalize(part) if model.manifest.embedding.normalize else part


def _written(vectors: Floats, *, as_base64: bool) -> list[Embedding]:
    if as_base64:
        rows = np.ascontiguousarray(vectors, dtype="<f4")
        return [
            Embedding(index=i, embedding=base64.b64encode(row.data).decode("ascii"))
            for i, row in enumerate(rows)
        ]
    return [Embedding(index=i, embedding=row) for i, row in enumerate(vectors.tolist())]


async def answer_models(service: Service, _: bytes, __: Mapping[str, str]) -> Response:
    """Answer with every model."""
    service.check_started()
    return json_response(to_json(ModelsAnswer(data=[m.facts() for m in service.models.values()])))


async def answer_model(service: Service, _: bytes, path: Mapping[str, str]) -> Response:
    """Answer with the model that the path names."""
    service.check_started()
    return json_response(to_json(service.model(path["model"], ServedModel).facts()))


async def answer_rerank(service: Service, body: bytes, _: Mapping[str, str]) -> Response:
    """Answer with texts in their order, as text-embeddings-inference does."""

    def read() -> tuple[TextsRequest, ServedReranker, Rows]:
        asked = decode(body, TextsRequest)
        model = service.model(asked.model, ServedReranker)
        most, truncate = service.settings.limits.max_inputs, truncates(service, asked.truncate)
        rows = pairs_of(model, asked.query, asked.texts, "texts", truncate=truncate, most=most)
        return asked, model, rows

    asked, model, rows = await service.in_thread(read)
    logits = await service.compute(model, rows)
    content = await service.in_thread(lambda: to_json(answer_texts(asked, rows, logits)))
    return json_response(content, len(rows.truncated))


async def answer_rerank_documents(service: Service, body: bytes, _: Mapping[str, str]) -> Response:
    """Answer with documents in their order, as Cohere and Jina do.

    Pairs that are too long are cut off, which Cohere's clients expect, unless the request refuses
    that.
    """

    def read() -> tuple[DocumentsRequest, ServedReranker, list[str], Rows]:
        asked = decode(body, DocumentsRequest)
        model = service.model(asked.model, ServedReranker)
        texts = texts_of_documents(asked, model)
        most, truncate = service.settings.limits.max_inputs, asked.truncate is not False
        rows = pairs_of(model, asked.query, texts, "documents", truncate=truncate, most=most)
        return asked, model, texts, rows

    asked, model, texts, rows = await service.in_thread(read)
    logits = await service.compute(model, rows)
    content = await service.in_thread(
        lambda: to_json(answer_documents(asked, model, texts, rows, logits))
    )
    return json_response(content, len(rows.truncated))


async def answer_search(service: Service, body: bytes, _: Mapping[str, str]) -> Response:
    """Answer with the passages of the index that fit a question."""
    searcher = service.searcher
    assert searcher is not None
    model = searcher.model

    def read() -> tuple[SearchRequest, Rows, ServedReranker | None]:
        asked, reranker = decode(body, SearchRequest), None
        if not asked.query.strip():
            raise bad_request("query is blank.", "query")
        if asked.reranker is not None:
            reranker = service.model(asked.reranker, ServedReranker, "reranker")
        if asked.mode == "keyword":
            return asked, Rows([]), reranker
        truncate = truncates(service, asked.truncate)
        return asked, questions(model, [asked.query], truncate=truncate), reranker

    asked, rows, reranker = await service.in_thread(read)
    try:
        hits = await searcher.search(asked, count_hits(asked))
    except InputError as error:
        raise bad_request(str(error)) from error
    except (IndexFileError, OutputError) as error:
        log.error("the index cannot be searched: %s", error)
        raise unavailable(
            "The index cannot be searched now; the server's log says why. After a change of the "
            "file its operator has to reload the server.",
            "index_unavailable",
        ) from error
    pairs = Rows([])
    if reranker is not None and hits:
        pairs = await service.in_thread(pairs_of_hits, reranker, asked, hits)
        logits = await service.compute(reranker, pairs)
        found = ranked_hits(asked, hits, pairs, logits)
    else:
        found = [answer_hit(hit) for hit in hits]
    answer = SearchAnswer(
        hits=found,
        mode=asked.mode,
        model=model.name,
        usage=rows.joined(pairs).usage,
        truncated=rows.truncated or UNSET,
    )
    return json_response(to_json(answer), len(rows.truncated) + len(pairs.truncated))


async def answer_live(service: Service, _: bytes, __: Mapping[str, str]) -> Response:
    """Answer that the process runs."""
    return json_response(to_json(HealthAnswer(status=service.state, models=service.names)))


async def answer_ready(service: Service, _: bytes, __: Mapping[str, str]) -> Response:
    """Answer whether requests are accepted."""
    status = 200 if service.state == "ready" else 503
    answer = to_json(HealthAnswer(status=service.state, models=service.names))
    return Response(answer, status, media_type=JSON)


async def answer_metrics(service: Service, _: bytes, __: Mapping[str, str]) -> Response:
    """Answer with the figures for Prometheus."""
    return Response(service.metrics.page(), headers={"Content-Type": metrics.CONTENT_TYPE})


async def answer_page(service: Service, _: bytes, __: Mapping[str, str]) -> Response:
    """Answer with the page."""
    return page(service)


async def respond(
    service: Service, write: Callable[[], bytes], numbers: int, truncated: int
) -> Response:
    """Return a response in JSON, which a thread writes where it has many numbers."""
    content = await service.in_thread(write) if numbers > _LARGE else write()
    return json_response(content, truncated)


def json_response(content: bytes, truncated: int = 0) -> Response:
    """Return a response in JSON, with a header that counts the texts that were cut off."""
    headers = {TRUNCATED: str(truncated)} if truncated else {}
    return Response(content, headers=headers, media_type=JSON)
