"""text-embeddings-inference's requests and responses for vectors, on the same models and queue.

Its reranking is in `reranking`. Errors have OpenAI's form here too.

Source: router/src/http/types.rs and docs/openapi.json of text-embeddings-inference 1.7.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from minnow.engines.base import TOKENS_PER_BATCH
from minnow.errors import InputError
from minnow.serve.answers import ResponseBody, to_json
from minnow.serve.errors import bad_request, too_many
from minnow.serve.handlers import json_response, model_and_prompt, respond, shortened, truncates
from minnow.serve.inputs import Rows, decode, texts_of, tokenized
from minnow.serve.requests import (
    OneModel,
    RoleRequest,
    TextOrTexts,
    Truncate,
    TruncationDirection,
    VectorsRequest,
)
from minnow.vectors import normalize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.responses import Response

    from minnow.serve.models import ServedEmbedder
    from minnow.serve.service import Service


_MOST_NUMBERS = 2**23
"""About 160 MB of JSON."""


class InputsRequest(VectorsRequest, kw_only=True):
    """Body of `POST /embed`, and two more fields."""

    inputs: TextOrTexts
    normalize: Annotated[bool, Meta(description="Scale vectors to length 1.")] = True
    truncation_direction: TruncationDirection | None = None
    model: OneModel | None = None


class AllRequest(RoleRequest, kw_only=True):
    """Body of `POST /embed_all`, and minnow's `model` and `input_type`."""

    inputs: TextOrTexts
    truncate: Truncate | None = None
    truncation_direction: TruncationDirection | None = None
    model: OneModel | None = None


class InfoAnswer(ResponseBody):
    """The first model of the server, and the server's limits."""

    model_id: str
    model_sha: str | None
    model_dtype: str
    model_type: dict[str, dict[str, str | dict[str, str]]]
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_client_batch_size: int
    auto_truncate: bool
    version: str
    max_batch_requests: int | None = None
    tokenization_workers: int = 2
    sha: str | None = None
    docker_label: str | None = None


async def answer_embed(service: Service, body: bytes, _: Mapping[str, str]) -> Response:
    """Answer with vectors alone, of length 1 unless the request says otherwise."""

    def read() -> tuple[InputsRequest, ServedEmbedder, Rows]:
        asked = decode(body, InputsRequest)
        model, prompt = model_and_prompt(service, asked.model, asked)
        if not asked.normalize and model.manifest.embedding.normalize:
            raise bad_request(
                f"normalize is false; {model.name} scales its vectors to length 1 itself. Leave "
                "it out.",
                "normalize",
            )
        texts = texts_of(asked.inputs, service.settings.limits.max_inputs, "inputs")
        truncate = truncates(service, asked.truncate)
        rows = tokenized(model, texts, prompt, truncate=truncate, param="inputs")
        return asked, model, rows

    asked, model, rows = await service.in_thread(read)
    vectors = shortened(await service.compute(model, rows), asked.dimensions, model)

    def write() -> bytes:
        return to_json((normalize(vectors) if asked.normalize else vectors).tolist())

    return await respond(service, write, vectors.size, len(rows.truncated))


async def answer_embed_all(service: Service, body: bytes, _: Mapping[str, str]) -> Response:
    """Answer with the states of all tokens of each text, where the bundle's encoder gives them.

    They do not pass the queue, so the numbers of one answer are limited.
    """

    def read() -> tuple[ServedEmbedder, list[str], str, Rows]:
        asked = decode(body, AllRequest)
        model, prompt = model_and_prompt(service, asked.model, asked)
        texts = texts_of(asked.inputs, service.settings.limits.max_inputs, "inputs")
        truncate = truncates(service, asked.truncate)
        rows = tokenized(model, texts, prompt, truncate=truncate, param="inputs")
        numbers = rows.tokens * model.manifest.encoder.width
        if numbers > _MOST_NUMBERS:
            raise too_many(
                f"The states of {rows.tokens} tokens are {numbers} numbers; an answer has at most "
                f"{_MOST_NUMBERS}. Send fewer texts in a request.",
                "inputs",
            )
        return model, texts, prompt, rows

    def write() -> bytes:
        try:
            states = model.embedder.encode(
                texts, prompt=prompt, output_value="token_embeddings", on_truncate="ignore"
            )
        except InputError as error:
            raise bad_request(
                f"{model.name} gives no states of tokens: {error}", "model"
            ) from error
        return to_json([each.tolist() for each in states])

    model, texts, prompt, rows = await service.in_thread(read)
    with service.using(model):
        content = await service.in_thread(write)
    return json_response(content, len(rows.truncated))


async def answer_info(service: Service, _: bytes, __: Mapping[str, str]) -> Response:
    """Answer with the first model of the command line: the original knows one."""
    service.check_started()
    model = next(iter(service.models.values()))
    manifest, limits = model.manifest, service.settings.limits
    kind: dict[str, dict[str, str | dict[str, str]]]
    if manifest.reranking is None:
        kind = {"embedding": {"pooling": manifest.embedding.pooling.value}}
    else:
        labels = list(manifest.reranking.labels)
        names = {str(i): label for i, label in enumerate(labels)}
        numbers = {label: str(i) for i, label in enumerate(labels)}
        kind = {"reranker": {"id2label": names, "label2id": numbers}}
    answer = InfoAnswer(
        model_id=manifest.source.model_id or manifest.source.name,
        model_sha=manifest.source.revision,
        model_dtype=manifest.recipe.precision.value,
        model_type=kind,
        max_concurrent_requests=limits.max_requests,
        max_input_length=model.max_tokens,
        max_batch_tokens=TOKENS_PER_BATCH,
        max_client_batch_size=limits.max_inputs,
        auto_truncate=service.settings.truncate,
        version=version("minnow-embed"),
    )
    return json_response(to_json(answer))
