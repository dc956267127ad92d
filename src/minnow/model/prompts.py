"""Prompts of well-known models whose repositories leave them out of their configuration.

Some authors state the prompt of a query only in prose, so that some or all revisions of
`config_sentence_transformers.json` have none. Without it the vectors are valid but worse at
search. A model that needs no prompt has no row.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_PASSAGE_SEARCH = "Represent this sentence for searching relevant passages: "
_PASSAGE_SEARCH_ZH = "为这个句子生成表示以用于检索相关文章："

_CARD = "https://huggingface.co/{model_id}"
_FLAG_EMBEDDING = (
    "https://github.com/FlagOpen/FlagEmbedding/tree/master/examples/inference/embedder"
)
_ARCTIC_EMBED = "https://github.com/Snowflake-Labs/arctic-embed"


@dataclass(frozen=True)
class KnownPrompts:
    """Prompts as they stand before a text, including any space at the end.

    Attributes:
        query: The prompt of a search query.
        document: The prompt of a document; empty where the author uses none.
        source: URL of the page where the model's author states them.
    """

    query: str
    document: str
    source: str


def _rows(prompts: KnownPrompts, model_ids: str) -> dict[str, KnownPrompts]:
    return {
        model_id: replace(prompts, source=prompts.source.format(model_id=model_id))
        for model_id in model_ids.split()
    }


KNOWN_PROMPTS: Mapping[str, KnownPrompts] = MappingProxyType(
    _rows(
        KnownPrompts(query=_PASSAGE_SEARCH, document="", source=_FLAG_EMBEDDING),
        """BAAI/bge-small-en BAAI/bge-small-en-v1.5
        BAAI/bge-base-en BAAI/bge-base-en-v1.5
        BAAI/bge-large-en BAAI/bge-large-en-v1.5""",
    )
    | _rows(
        KnownPrompts(query=_PASSAGE_SEARCH_ZH, document="", source=_FLAG_EMBEDDING),
        """BAAI/bge-small-zh BAAI/bge-small-zh-v1.5
        BAAI/bge-base-zh BAAI/bge-base-zh-v1.5
        BAAI/bge-large-zh BAAI/bge-large-zh-v1.5""",
    )
    | _rows(
        KnownPrompts(query="query: ", document="passage: ", source=_CARD),
        """intfloat/e5-small intfloat/e5-small-v2 intfloat/e5-small-unsupervised
        intfloat/e5-base intfloat/e5-base-v2 intfloat/e5-base-unsupervised
        intfloat/e5-large intfloat/e5-large-v2 intfloat/e5-large-unsupervised
        intfloat/multilingual-e5-small intfloat/multilingual-e5-base
        intfloat/multilingual-e5-large""",
    )
    | _rows(
        KnownPrompts(query=_PASSAGE_SEARCH, document="", source=_CARD),
        "mixedbread-ai/mxbai-embed-large-v1 WhereIsAI/UAE-Large-V1",
    )
    | _rows(
        KnownPrompts(query=_PASSAGE_SEARCH, document="", source=_ARCTIC_EMBED),
        """Snowflake/snowflake-arctic-embed-xs Snowflake/snowflake-arctic-embed-s
        Snowflake/snowflake-arctic-embed-m Snowflake/snowflake-arctic-embed-m-v1.5
        Snowflake/snowflake-arctic-embed-l""",
    )
    | _rows(
        KnownPrompts(query="query: ", document="", source=_CARD),
        "Snowflake/snowflake-arctic-embed-l-v2.0",
    )
)
"""One row per model, under its id as the owner spells it."""

_BY_FOLDED_ID = {model_id.casefold(): row for model_id, row in KNOWN_PROMPTS.items()}


def known_prompts(model_id: str) -> KnownPrompts | None:
    """Look up the prompts of a well-known model.

    Args:
        model_id: The model's id on the Hugging Face Hub, `owner/name`, in any case.

    Returns:
        The prompts, or None when the table has no row for exactly this id.
    """
    return _BY_FOLDED_ID.get(model_id.casefold())
