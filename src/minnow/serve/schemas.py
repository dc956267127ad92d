"""Requests and responses: decoded, checked and described by the same types.

Their JSON Schemas are the OpenAPI document's (`openapi.py`). Only `input` is wider here than there:
no type can say that a list is of one kind; `inputs.py` sees to that.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from minnow.options import SearchMode

MAX_DIMENSIONS = 2**31 - 1
MAX_TOKEN_ID = 2**31 - 1
MAX_QUESTION = 10_000
"""Characters; to search for words takes a time that grows with them."""

Text = Annotated[str, Meta(min_length=1)]
Texts = Annotated[list[Text], Meta(min_length=1)]
TextOrTexts = Text | Texts
Input = Annotated[
    str | list[str | int | list[int]],
    Meta(
        description="A text, several, or either as token ids of the model's own tokenizer, with "
        "its special tokens, as `POST /tokenize` gives them.",
    ),
]
InputType = Annotated[
    Literal["query", "document", "search_query", "search_document", "passage"],
    Meta(description="Puts the model's prompt for questions or for passages before each text."),
]
PromptName = Annotated[str, Meta(description="One of the model's prompts, by name.")]
OneModel = Annotated[
    str, Meta(description="A model of this server; may be left out where there is one only.")
]
Int64 = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""What SQLite can hold."""
Truncate = Annotated[
    bool, Meta(description="Cut off texts over the model's limit, rather than refuse them.")
]


class Request(Struct, forbid_unknown_fields=True, kw_only=True):
    """Body of a request. Unknown fields are refused: they may be typing errors."""


class EmbeddingsRequest(Request):
    """Body of OpenAI's `POST /v1/embeddings`, and three more fields."""

    model: str
    input: Input
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Meta(ge=1, le=MAX_DIMENSIONS)] | None = None
    user: str | None = None
    input_type: InputType | None = None
    prompt_name: PromptName | None = None
    truncate: Truncate | None = None


class TokenizeRequest(Request):
    """Texts to tokenise."""

    input: TextOrTexts
    model: OneModel | None = None
    input_type: InputType | None = None
    prompt_name: PromptName | None = None


class SimilarityRequest(Request):
    """Questions and passages to compare."""

    query: TextOrTexts
    documents: Texts
    model: OneModel | None = None
    truncate: Truncate | None = None


class SearchRequest(Request):
    """A question to an index."""

    query: Annotated[str, Meta(min_length=1, max_length=MAX_QUESTION)]
    k: Annotated[int, Meta(ge=1, le=100, description="How many to find at most.")] = 10
    mode: SearchMode = "hybrid"
    where: (
        Annotated[
            str,
            Meta(
                min_length=1,
                max_length=MAX_QUESTION,
                description="A condition in SQL on the columns of `passages`.",
            ),
        ]
        | None
    ) = None
    params: Annotated[
        list[str | Int64 | float | None], Meta(description="The values of its question marks.")
    ] = []
    truncate: Truncate | None = None


class ResponseBody(Struct, kw_only=True):
    """Body of a response."""


class Usage(ResponseBody):
    """Computed tokens, special tokens and prompts included."""

    prompt_tokens: int
    total_tokens: int


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
    created: Annotated[int, Meta(description="When the bundle was made, in seconds since 1970.")]
    dimensions: int
    max_tokens: int
    similarity: str
    prompts: list[str]
    source: str
    precision: str
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


class SearchAnswer(ResponseBody):
    """Hits, the best first."""

    hits: list[SearchHit]
    mode: str
    model: str
    usage: Usage
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
