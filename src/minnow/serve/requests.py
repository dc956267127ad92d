"""Bodies of requests: decoded, checked and described by the same types.

Their JSON Schemas are the OpenAPI document's (`openapi.py`). Only `input` is wider here than there:
no type can say that a list is of one kind; `inputs.py` sees to that.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

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

TruncationDirection = Annotated[
    Literal["Right", "right"], Meta(description="The ends of texts are cut off.")
]

RankingQuery = Annotated[str, Meta(min_length=1, max_length=MAX_QUESTION)]
Documents = Annotated[list[str], Meta(min_length=1)]
TopN = Annotated[int, Meta(ge=1, description="How many to return at most.")]
RawScores = Annotated[
    bool, Meta(description="Return logits in place of their sigmoids, which are in 0 to 1.")
]
TruncatePairs = Annotated[
    bool, Meta(description="Cut off pairs over the model's limit, rather than refuse them.")
]


class Request(Struct, kw_only=True):
    """Body of a request. Unknown fields are named in the response, or refused: see `app`.

    Attributes:
        reranks: Whether its model is a reranker.
        forms: The fields of each form of a request that has several: exactly one form is given.
    """

    reranks: ClassVar[bool] = False
    forms: ClassVar[tuple[tuple[str, ...], ...]] = ()


class RoleRequest(Request):
    """What chooses the prompt before each text: a role or a name, not both."""

    input_type: InputType | None = None
    prompt_name: PromptName | None = None


class VectorsRequest(RoleRequest):
    """What every request for vectors may say."""

    dimensions: Annotated[int, Meta(ge=1, le=MAX_DIMENSIONS)] | None = None
    truncate: Truncate | None = None


class EmbeddingsRequest(VectorsRequest, kw_only=True):
    """Body of OpenAI's `POST /v1/embeddings`, and three more fields."""

    model: str
    input: Input
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


class TokenizeRequest(RoleRequest):
    """Texts to tokenise: `input`, or `inputs` as text-embeddings-inference has them."""

    forms: ClassVar[tuple[tuple[str, ...], ...]] = (("input",), ("inputs",))

    input: TextOrTexts | UnsetType = UNSET
    inputs: TextOrTexts | UnsetType = UNSET
    add_special_tokens: Annotated[
        bool, Meta(description="With `inputs`: false leaves special tokens out.")
    ] = True
    model: OneModel | None = None


class SentencesInput(Struct):
    """A sentence to compare with others, in text-embeddings-inference's words."""

    source_sentence: Text
    sentences: Texts


class SentencesParameters(Struct):
    """What text-embeddings-inference's `/similarity` takes beside the sentences."""

    truncate: Truncate | None = None
    truncation_direction: TruncationDirection | None = None
    prompt_name: PromptName | None = None


class SimilarityRequest(Request):
    """Questions and passages to compare; or `inputs` as text-embeddings-inference has them."""

    forms: ClassVar[tuple[tuple[str, ...], ...]] = (("query", "documents"), ("inputs",))

    query: TextOrTexts | UnsetType = UNSET
    documents: Texts | UnsetType = UNSET
    inputs: SentencesInput | UnsetType = UNSET
    parameters: SentencesParameters | None = None
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
    reranker: (
        Annotated[str, Meta(description="A reranker of this server, which orders what was found.")]
        | None
    ) = None
    candidates: (
        Annotated[int, Meta(ge=1, description="How many hits it reads, 50 by default.")] | None
    ) = None
    truncate: Truncate | None = None


class TextsRequest(Request):
    """Body of `POST /rerank` of text-embeddings-inference, and two more fields.

    Source: `RerankRequest` in its router/src/http/types.rs; LiteLLM sends it `top_n` too.
    """

    reranks: ClassVar[bool] = True

    query: RankingQuery
    texts: Documents
    raw_scores: RawScores = False
    return_text: bool = False
    truncate: TruncatePairs | None = None
    truncation_direction: TruncationDirection | None = None
    model: OneModel | None = None
    top_n: TopN | None = None


class DocumentObject(Struct):
    """A document as an object; its other fields are ignored."""

    text: str


class DocumentsRequest(Request):
    """Body of Jina's and Cohere's `POST /v1/rerank`, and two more fields.

    Sources: `rerank` in raw_base_client.py and v2/raw_client.py of Cohere's client 7.3, Jina's
    reference.
    """

    reranks: ClassVar[bool] = True

    query: RankingQuery
    documents: Annotated[list[str | DocumentObject], Meta(min_length=1)]
    model: OneModel | None = None
    top_n: TopN | None = None
    return_documents: bool | None = None
    rank_fields: (
        Annotated[
            list[Literal["text"]], Meta(description="Documents that are objects have a `text`.")
        ]
        | None
    ) = None
    max_chunks_per_doc: (
        Annotated[int, Meta(ge=1, description="A document is one chunk, so any will do.")] | None
    ) = None
    max_tokens_per_doc: (
        Annotated[int, Meta(ge=1, description="At least the model's limit, which holds anyway.")]
        | None
    ) = None
    priority: Annotated[int, Meta(description="Has no effect.")] | None = None
    raw_scores: RawScores = False
    truncate: (
        Annotated[bool, Meta(description="false: refuse pairs over the model's limit.")] | None
    ) = None
