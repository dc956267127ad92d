"""Bodies of responses; their JSON Schemas are the OpenAPI document's (`openapi.py`)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from minnow.serve.requests import DocumentObject


class ResponseBody(Struct, kw_only=True):
    """Body of a response."""


class Usage(ResponseBody):
    """Computed tokens, special tokens and prompts included."""

    prompt_tokens: int
    total_tokens: int
    truncated: (
        Annotated[int, Meta(description="How many inputs were cut off; absent where none was.")]
        | UnsetType
    ) = UNSET


class Embedding(ResponseBody):
    """The vector of an input."""

    index: int
    embedding: Annotated[
        list[float] | str,
        Meta(description="Numbers, or the base64 of little-endian float32 where that was asked."),
    ]
    object: Literal["embedding"] = "embedding"


Truncated = Annotated[
    list[int],
    Meta(description="Which inputs were over the limit, so that only their beginnings count."),
]


class EmbeddingsAnswer(ResponseBody):
    """Vectors, in the order of the inputs."""

    data: list[Embedding]
    model: str
    usage: Usage
    object: Literal["list"] = "list"
    truncated: Truncated | UnsetType = UNSET


class Model(ResponseBody):
    """A model that is served."""

    id: str
    kind: Literal["embedder", "reranker"]
    created: Annotated[int, Meta(description="When the bundle was made, in seconds since 1970.")]
    max_tokens: int
    prompts: list[str]
    source: str
    precision: str
    dimensions: Annotated[int, Meta(description="Length of an embedder's vectors.")] | UnsetType = (
        UNSET
    )
    similarity: (
        Annotated[str, Meta(description="How an embedder's vectors compare.")] | UnsetType
    ) = UNSET
    object: Literal["model"] = "model"
    owned_by: str = "minnow"


class ModelsAnswer(ResponseBody):
    """Every model that is served."""

    data: list[Model]
    object: Literal["list"] = "list"


class TokenizedInput(ResponseBody):
    """Text as the model reads it."""

    index: int
    ids: list[int]
    tokens: list[str]
    truncated: Annotated[bool, Meta(description="Whether the text is over the limit.")]
    count: Annotated[int, Meta(description="Tokens of the whole text.")]
    counted_all: Annotated[
        bool, Meta(description="False for a huge text: it has more tokens than `count`.")
    ]


class TokenizeAnswer(ResponseBody):
    """Texts as the model reads them."""

    data: list[TokenizedInput]
    model: str
    max_tokens: int
    object: Literal["list"] = "list"


class SimpleToken(ResponseBody):
    """A token in text-embeddings-inference's words; special ones have no place in the text."""

    id: int
    text: str
    special: bool
    start: int | None
    stop: int | None


class SimilarityAnswer(ResponseBody):
    """Similarities of questions and passages; larger is more similar."""

    scores: Annotated[list[list[float]], Meta(description="A row for each question.")]
    similarity: str
    model: str
    usage: Usage
    truncated_queries: Truncated | UnsetType = UNSET
    truncated_documents: Truncated | UnsetType = UNSET


class SearchHit(ResponseBody):
    """A chunk that was found."""

    rank: int
    id: int
    score: float
    vector_score: float | None
    keyword_score: float | None
    source: str
    number: int
    headings: list[str]
    passage: str
    text: str
    metadata: dict[str, Any]
    first_rank: (
        Annotated[int, Meta(description="Its rank before a reranker ordered the hits.")] | UnsetType
    ) = UNSET
    truncated: (
        Annotated[bool, Meta(description="Whether the reranker read only a part of it.")]
        | UnsetType
    ) = UNSET


class SearchAnswer(ResponseBody):
    """Hits, the best first."""

    hits: list[SearchHit]
    mode: str
    model: str
    usage: Usage
    truncated: Truncated | UnsetType = UNSET


class Rank(ResponseBody):
    """A text in its place, as text-embeddings-inference gives it."""

    index: int
    score: float
    text: str | UnsetType = UNSET
    truncated: (
        Annotated[bool, Meta(description="Whether the pair was over the limit.")] | UnsetType
    ) = UNSET


class RankingResult(ResponseBody):
    """A document in its place, as Jina and Cohere give it."""

    index: int
    relevance_score: float
    document: DocumentObject | UnsetType = UNSET


class ApiVersion(ResponseBody):
    """The version of Cohere's API."""

    version: str


class RankingTokens(ResponseBody):
    """Computed tokens, in Cohere's words."""

    input_tokens: int
    output_tokens: int = 0


class RankingMeta(ResponseBody):
    """What Cohere's clients read beside the results."""

    api_version: ApiVersion
    tokens: RankingTokens
    warnings: list[str] | UnsetType = UNSET


class RankingAnswer(ResponseBody):
    """Documents, the best first."""

    id: str
    model: str
    results: list[RankingResult]
    usage: Usage
    meta: RankingMeta
    truncated: Truncated | UnsetType = UNSET


class HealthAnswer(ResponseBody):
    """State of the server."""

    status: Literal["ready", "starting", "stopping"]
    models: list[str]


class ErrorDetail(Struct):
    """Description of an error."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(Struct):
    """An error in OpenAI's form."""

    error: ErrorDetail


to_json = msgspec.json.Encoder().encode
