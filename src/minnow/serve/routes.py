"""Table of endpoints, of which the application and the OpenAPI document are made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from minnow.serve import comparing, handlers, ollama, tei
from minnow.serve.answers import (
    EmbeddingsAnswer,
    HealthAnswer,
    Model,
    ModelsAnswer,
    Rank,
    RankingAnswer,
    SearchAnswer,
    SimilarityAnswer,
    SimpleToken,
    TokenizeAnswer,
)
from minnow.serve.errors import JSON
from minnow.serve.page import HTML
from minnow.serve.requests import (
    DocumentsRequest,
    EmbeddingsRequest,
    Request,
    SearchRequest,
    SimilarityRequest,
    TextsRequest,
    TokenizeRequest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from minnow.serve.service import Service

Handler = Callable[["Service", bytes, "Mapping[str, str]"], Awaitable[Response]]


@dataclass(frozen=True)
class Endpoint:
    """One method of one path, which may have other names.

    Attributes:
        method: GET or POST.
        path: In OpenAPI's notation; what metrics and the log call it.
        handle: Called with the service, the body and the parameters of the path.
        summary: One line.
        request: Type of the body.
        answer: Type of the response; None where it is not JSON.
        media: Media type of the response.
        public: Whether it needs no key.
        errors: Statuses of errors that it may return, besides those of every endpoint.
        also: Other statuses with a response of the same type.
        of_index: Whether it exists only where the server has an index.
        aliases: Other paths that clients know it by.
    """

    method: str
    path: str
    handle: Handler
    summary: str
    request: type[Request] | None = None
    answer: Any = None
    media: str = JSON
    public: bool = False
    errors: tuple[int, ...] = ()
    also: tuple[int, ...] = ()
    of_index: bool = False
    aliases: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """All its paths."""
        return (self.path, *self.aliases)


METRICS = "/metrics"
_POST_ERRORS = (400, 404, 408, 413, 415, 422, 429, 500, 503)

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint("POST", "/v1/embeddings", handlers.answer_embeddings, "Embed texts.",
             EmbeddingsRequest, EmbeddingsAnswer, errors=_POST_ERRORS, aliases=("/embeddings",)),
    Endpoint("GET", "/v1/models", handlers.answer_models, "List the models.",
             answer=ModelsAnswer, errors=(503,), aliases=("/models",)),
    Endpoint("GET", "/v1/models/{model}", handlers.answer_model, "Describe a model.",
             answer=Model, errors=(404, 503), aliases=("/models/{model}",)),
    Endpoint("POST", "/tokenize", comparing.answer_tokenize, "Tokenise texts.",
             TokenizeRequest, TokenizeAnswer | list[list[SimpleToken]], errors=_POST_ERRORS),
    Endpoint("POST", "/similarity", comparing.answer_similarity, "Compare questions with passages.",
             SimilarityRequest, SimilarityAnswer | list[float], errors=_POST_ERRORS),
    Endpoint("POST", "/rerank", handlers.answer_rerank, "Rank texts by a query.",
             TextsRequest, list[Rank], errors=_POST_ERRORS),
    Endpoint("POST", "/v1/rerank", handlers.answer_rerank_documents, "Rank documents by a query.",
             DocumentsRequest, RankingAnswer, errors=_POST_ERRORS, aliases=("/v2/rerank",)),
    Endpoint("POST", "/search", handlers.answer_search,
             "Search the index for passages that answer a question.",
             SearchRequest, SearchAnswer, errors=_POST_ERRORS, of_index=True),
    Endpoint("POST", "/embed", tei.answer_embed,
             "Embed texts, as text-embeddings-inference does.",
             tei.InputsRequest, list[list[float]], errors=_POST_ERRORS),
    Endpoint("POST", "/embed_all", tei.answer_embed_all,
             "Give the states of all tokens, as text-embeddings-inference does.",
             tei.AllRequest, list[list[list[float]]], errors=_POST_ERRORS),
    Endpoint("GET", "/info", tei.answer_info,
             "Describe the first model, as text-embeddings-inference does.",
             answer=tei.InfoAnswer, errors=(503,)),
    Endpoint("POST", "/api/embed", ollama.answer_ollama_embed, "Embed texts, as Ollama does.",
             ollama.EmbedRequest, ollama.EmbedAnswer, errors=_POST_ERRORS),
    Endpoint("POST", "/api/embeddings", ollama.answer_ollama_prompt, "Embed a text, as Ollama did.",
             ollama.PromptRequest, ollama.PromptAnswer, errors=_POST_ERRORS),
    Endpoint("GET", "/api/tags", ollama.answer_ollama_tags, "List models, as Ollama does.",
             answer=ollama.Tags, errors=(503,)),
    Endpoint("GET", "/api/version", ollama.answer_ollama_version, "Return the version of minnow.",
             answer=ollama.Version),
    Endpoint("GET", "/health", handlers.answer_live, "Report that the server runs.",
             answer=HealthAnswer, public=True, aliases=("/healthz", "/livez")),
    Endpoint("GET", "/health/ready", handlers.answer_ready,
             "Report whether the server accepts requests.",
             answer=HealthAnswer, public=True, also=(503,), aliases=("/readyz", "/ping")),
    Endpoint("GET", METRICS, handlers.answer_metrics, "Return metrics for Prometheus.",
             media="text/plain"),
    Endpoint("GET", "/", handlers.answer_page, "Return a page to try a model with.",
             media=HTML, public=True),
)  # fmt: skip


def endpoints(*, indexed: bool, metrics_public: bool = False) -> tuple[Endpoint, ...]:
    """Return the table of a server, with or without an index and a key for its metrics."""
    return tuple(
        replace(each, public=each.public or (metrics_public and each.path == METRICS))
        for each in ENDPOINTS
        if indexed or not each.of_index
    )
