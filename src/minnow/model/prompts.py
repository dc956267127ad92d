"""Prompts of well-known models whose repositories leave them out of their configuration.

Some authors state the prompt of a query only in prose, so that some or all revisions of
`config_sentence_transformers.json` have none. Without it the vectors are valid but worse at
search. A model that needs no prompt has no row.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from minnow.errors import SourceError
from minnow.files import open_regular
from minnow.model.config import read_object
from minnow.model.layout import README, WEIGHTS
from minnow.model.listing import CONFIG
from minnow.sealing import sha256

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from minnow.model.source import ModelSource

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


# --- which model it is -------------------------------------------------------------------

KNOWN_WEIGHTS: Mapping[str, tuple[str, int]] = MappingProxyType(
    {
        "BAAI/bge-small-en-v1.5": (
            "3c9f31665447c8911517620762200d2245a2518d6e7208acc78cd9db317e21ad",
            133_466_304,
        ),
        "BAAI/bge-base-en-v1.5": (
            "c7c1988aae201f80cf91a5dbbd5866409503b89dcaba877ca6dba7dd0a5167d7",
            437_955_512,
        ),
        "BAAI/bge-large-en-v1.5": (
            "45e1954914e29bd74080e6c1510165274ff5279421c89f76c418878732f64ae7",
            1_340_616_616,
        ),
        "intfloat/e5-small-v2": (
            "45bfa60070649aae2244fbc9d508537779b93b6f353c17b0f95ceccb1c5116c1",
            133_466_304,
        ),
        "intfloat/e5-base-v2": (
            "d0d559c47d5f71b1d280b13b62a2657f3e3bc70c0786f9ab91a36545e6a8f693",
            437_955_512,
        ),
    }
)
"""SHA-256 and size in bytes of a model's model.safetensors, as several public projects pin it."""


@dataclass(frozen=True)
class Identity:
    """A known model that a source is, or may be.

    Attributes:
        model_id: The model's id, a key of KNOWN_PROMPTS.
        certain: Whether the source is that model: by its id on the Hub, or by its weights. It may
            also be a model trained from it, whose prompts nobody but its author knows.
        evidence: What speaks for it, before the id.
    """

    model_id: str
    certain: bool
    evidence: str


def identify(source: ModelSource) -> Identity | None:
    """Find the known model that a source is, by what it is and not by what it was called.

    Its id on the Hub and the hash of its weights are certain. Its README's metadata, config.json
    and the folder's name only say where it comes from.

    Args:
        source: The model's files.

    Returns:
        The best-founded identity; None where nothing speaks for a known model.
    """
    if source.model_id and (found := _BY_NAME.get(source.model_id.casefold())):
        return Identity(found, True, "it is")
    if found := _by_weights(source):
        return Identity(found, True, "its weights are those of")
    for evidence, names in _hints(source):
        for name in names:
            if found := _known_name(name):
                return Identity(found, False, evidence)
    return None


_BY_NAME = {model_id.casefold(): model_id for model_id in KNOWN_PROMPTS}
_BY_LAST_NAME = {model_id.casefold().rsplit("/", 1)[-1]: model_id for model_id in KNOWN_PROMPTS}
_JOINT = re.compile(r"[/\\]+|--")


def _by_weights(source: ModelSource) -> str | None:
    path = source.optional_file(WEIGHTS)
    size = path.stat().st_size if path is not None else None
    candidates = [(known, m) for m, (known, length) in KNOWN_WEIGHTS.items() if length == size]
    if path is None or not candidates:
        return None
    found = sha256(path)
    return next((model_id for known, model_id in candidates if known == found), None)


def _hints(source: ModelSource) -> Iterator[tuple[str, list[str]]]:
    """Generate what a source says of its origin, the most telling first."""
    yield "its README names", _readme_values(source)
    try:
        stated = read_object(source.optional_file(CONFIG)).get("_name_or_path")
    except SourceError:  # what reads config.json says so
        stated = None
    yield "its config.json says that it was made from", [stated] if isinstance(stated, str) else []
    yield "its name is that of", [source.folder.name, source.name]


_LARGEST_README = 1 << 20
_VALUE = re.compile(
    r"^[ \t]*(?:- )?(?:(?:base_model|name|model_name):|-)[ \t]*[\"']?([^\"'#\s]+)", re.M
)


def _readme_values(source: ModelSource) -> list[str]:
    """Read the names in the front matter of the README: of the model, and of its base."""
    path = source.optional_file(README)
    if path is None:
        return []
    try:
        with open_regular(path) as file:
            text = file.read(_LARGEST_README).decode("utf-8", "replace")
    except OSError:
        return []
    if not text.startswith("---"):
        return []
    return _VALUE.findall(text[3:].split("\n---", 1)[0])


def _known_name(name: str) -> str | None:
    """Return the known model of a name: its id, the end of it, or the name of a cache's folder.

    Caches write `BAAI_bge-small-en`, `models--BAAI--bge-small-en` and `bge-small-en-v1___5`.
    """
    parts = _JOINT.split(name.strip().rstrip("/\\").replace("___", ".").casefold())
    for last in (parts[-1], parts[-1].split("_", 1)[-1]):
        if found := _BY_LAST_NAME.get(last):
            return found
    return None
