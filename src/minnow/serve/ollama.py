"""Ollama's API for embeddings: its requests and responses, on the same models and queue.

Source: docs/api.md and server/routes.go of Ollama 0.12. Errors have OpenAI's form here too.
"""

from __future__ import annotations

import hashlib
import time
from datetime import datetime, timezone
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import UNSET, UnsetType

from minnow.serve.answers import ResponseBody, Truncated, to_json
from minnow.serve.handlers import json_response, model_and_prompt, respond, shortened
from minnow.serve.inputs import Rows, decode, texts_of, tokenized
from minnow.serve.models import ServedEmbedder
from minnow.serve.requests import VectorsRequest
from minnow.vectors import normalize

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from starlette.responses import Response

    from minnow.serve.service import Service

    Floats = NDArray[np.float32]

_LATEST = ":latest"
"""What Ollama adds to names without a tag."""


class OllamaRequest(VectorsRequest, kw_only=True):
    """What both requests have; `keep_alive` and `options` have no effect."""

    model: str
    keep_alive: str | float | None = None
    options: dict[str, Any] | None = None


class EmbedRequest(OllamaRequest, kw_only=True):
    """Body of Ollama's `POST /api/embed`, and two more fields."""

    input: str | list[str] = ""


class PromptRequest(OllamaRequest, kw_only=True):
    """Body of Ollama's older `POST /api/embeddings`, and more fields."""

    prompt: str = ""


class EmbedAnswer(ResponseBody):
    """Vectors of length 1, in the order of the inputs; times are in nanoseconds."""

    model: str
    embeddings: list[list[float]]
    total_duration: int
    prompt_eval_count: int
    load_duration: int = 0
    truncated: Truncated | UnsetType = UNSET


class PromptAnswer(ResponseBody):
    """A vector as the model gives it."""

    embedding: list[float]


class Details(ResponseBody):
    """What a model consists of."""

    family: str
    families: list[str]
    quantization_level: str
    format: str = "mnn"
    parent_model: str = ""
    parameter_size: str = ""


class Tag(ResponseBody):
    """A model with its tag."""

    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    details: Details


class Tags(ResponseBody):
    """Every embedding model that is served."""

    models: list[Tag]


class Version(ResponseBody):
    """The version of minnow."""

    version: str


async def answer_ollama_embed(service: Service, body: bytes, _: Mapping[str, str]) -> Response:
    """Answer with vectors of length 1, as Ollama does whatever the model's length is."""
    started = time.perf_counter_ns()

    def read() -> tuple[EmbedRequest, ServedEmbedder, Rows]:
        asked = decode(body, EmbedRequest)
        return asked, *_read(service, asked, asked.input, "input")

    asked, model, rows = await service.in_thread(read)
    vectors = await _compute(service, model, rows)

    def write() -> bytes:
        answer = EmbedAnswer(
            model=asked.model,
            embeddings=normalize(vectors[:, : asked.dimensions]).tolist(),
            total_duration=time.perf_counter_ns() - started,
            prompt_eval_count=rows.tokens,
            truncated=rows.truncated or UNSET,
        )
        return to_json(answer)

    return await respond(service, write, vectors.size, len(rows.truncated))


async def answer_ollama_prompt(service: Service, body: bytes, _: Mapping[str, str]) -> Response:
    """Answer with the vector of one text."""

    def read() -> tuple[PromptRequest, ServedEmbedder, Rows]:
        asked = decode(body, PromptRequest)
        return asked, *_read(service, asked, asked.prompt, "prompt")

    asked, model, rows = await service.in_thread(read)
    vectors = shortened(await _compute(service, model, rows), asked.dimensions, model)
    answer = PromptAnswer(embedding=vectors[0].tolist() if rows.texts else [])
    return json_response(to_json(answer), len(rows.truncated))


async def answer_ollama_tags(service: Service, _: bytes, __: Mapping[str, str]) -> Response:
    """Answer with every embedding model."""
    service.check_started()
    models = [model for model in service.models.values() if isinstance(model, ServedEmbedder)]
    return json_response(to_json(Tags(models=[_tag(model) for model in models])))


async def answer_ollama_version(_: Service, __: bytes, ___: Mapping[str, str]) -> Response:
    """Answer with the version of minnow."""
    return json_response(to_json(Version(version=version("minnow-embed"))))


def _read(
    service: Service, asked: OllamaRequest, given: str | list[str], param: str
) -> tuple[ServedEmbedder, Rows]:
    """Tokenise the texts of a request; cut them off unless it refuses that, as Ollama does.

    No text, or an empty one, is what clients send to have a model loaded: it gives no rows.
    """
    name = asked.model
    if name not in service.models:
        name = name.removesuffix(_LATEST)
    model, prompt = model_and_prompt(service, name, asked)
    if not given:
        return model, Rows([])
    texts = texts_of(given, service.settings.limits.max_inputs, param)
    truncate = asked.truncate is not False
    return model, tokenized(model, texts, prompt, truncate=truncate, param=param)


async def _compute(service: Service, model: ServedEmbedder, rows: Rows) -> Floats:
    """Compute the vectors of rows, of which there may be none."""
    if rows.texts:
        return await service.compute(model, rows)
    return np.empty((0, model.width), dtype=np.float32)


def _tag(model: ServedEmbedder) -> Tag:
    """Describe a model; its digest is SHA-256 over the names and hashes of its files."""
    manifest, facts = model.manifest, model.facts()
    name = model.name if ":" in model.name else f"{model.name}{_LATEST}"
    files = "".join(f"{path} {file.sha256}\n" for path, file in sorted(manifest.files.items()))
    family = manifest.encoder.family
    return Tag(
        name=name,
        model=name,
        modified_at=datetime.fromtimestamp(facts.created, timezone.utc).isoformat(),
        size=model.bundle.size,
        digest=hashlib.sha256(files.encode()).hexdigest(),
        details=Details(family=family, families=[family], quantization_level=facts.precision),
    )
