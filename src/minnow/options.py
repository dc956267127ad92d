"""Options of `encode`, checked, and the words of those of a search."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal, TypedDict, get_args

from minnow.errors import InputError

if TYPE_CHECKING:
    from minnow.model.spec import EmbeddingSpec

OnTruncate = Literal["warn", "error", "ignore"]
Role = Literal["query", "document"]
SearchMode = Literal["vector", "keyword", "hybrid"]
"""Search by meaning, by words, or by both; see `Index.search`."""
SidecarUse = Literal["auto", "always", "never"]
"""When an index searches its sidecar; see `Index.open`."""

BATCH_SIZE = 32
_NO_PROMPTS = {"query": "", "document": ""}


class Fusion(str, Enum):
    """Method of fusing two rankings; see `minnow.search.fusion`.

    SCORES adds the scores, each scaled from the least possible to the greatest found ("TM2C2" in
    the source at VECTOR_WEIGHT). RRF adds 1 / (60 + rank).
    """

    SCORES = "scores"
    RRF = "rrf"


class EncodeOptions(TypedDict, total=False):
    """The keyword arguments of `Embedder.encode`."""

    prompt_name: str | None
    prompt: str | None
    batch_size: int
    show_progress_bar: bool
    truncate_dim: int | None
    normalize_embeddings: bool
    on_truncate: OnTruncate | None


@dataclass(frozen=True)
class Options:
    """The checked options of one call.

    Attributes:
        prompt: Prefix of each text; may be empty.
        batch_size: Most texts in one forward pass.
        width: Length of the vectors to return.
        normalize: Whether to scale them to length 1.
        on_truncate: What to do about texts over the limit.
        show_progress: Whether to show progress on stderr.
    """

    prompt: str
    batch_size: int
    width: int
    normalize: bool
    on_truncate: OnTruncate
    show_progress: bool


def check_options(
    given: EncodeOptions, embedding: EmbeddingSpec, width: int, on_truncate: OnTruncate
) -> Options:
    """Check the arguments of a call, and fill in defaults.

    Args:
        given: The caller's arguments.
        embedding: The model's prompts.
        width: Length of the model's vectors.
        on_truncate: The default for texts over the limit.

    Raises:
        InputError: An argument is out of range, or the model has no such prompt.
    """
    batch_size, dim = given.get("batch_size", BATCH_SIZE), given.get("truncate_dim")
    policy = given.get("on_truncate") or on_truncate
    if batch_size < 1:
        raise InputError(f"batch_size should be at least 1, not {batch_size}.")
    if dim is not None and not 0 < dim <= width:
        raise InputError(f"truncate_dim should be 1 to {width}, the model's width, not {dim}.")
    if policy not in get_args(OnTruncate):
        names = ", ".join(get_args(OnTruncate))
        raise InputError(f"on_truncate should be {names}, not {policy!r}.")
    return Options(
        prompt=_prompt(given, embedding),
        batch_size=batch_size,
        width=dim or width,
        normalize=given.get("normalize_embeddings", False),
        on_truncate=policy,
        show_progress=given.get("show_progress_bar", False),
    )


def check_iterable(texts: Iterable[str]) -> Iterable[str]:
    """Check that the argument is an iterable of texts.

    Raises:
        InputError: It is not iterable, or it is bytes.
    """
    if isinstance(texts, bytes):
        raise InputError("texts is bytes, not a string: decode it first.")
    if not isinstance(texts, Iterable):
        raise InputError(f"texts is {type(texts).__name__}, not a string or several of them.")
    return texts


def _prompt(given: EncodeOptions, embedding: EmbeddingSpec) -> str:
    """Return `prompt`, else the prompt named `prompt_name`, else the model's default.

    As in sentence-transformers, every model has prompts named query and document, empty unless
    its files say otherwise.
    """
    prompt, name = given.get("prompt"), given.get("prompt_name")
    if prompt is None:
        prompts = {**_NO_PROMPTS, **embedding.prompts}
        name = embedding.default_prompt_name if name is None else name
        if name is not None and name not in prompts:
            raise InputError(f"There is no prompt named {name!r}; there is {', '.join(prompts)}.")
        return "" if name is None else prompts[name]
    if not isinstance(prompt, str):
        raise InputError(f"prompt is {type(prompt).__name__}, not a string.")
    return prompt


def with_role(role: Role, given: EncodeOptions, embedding: EmbeddingSpec) -> EncodeOptions:
    """Add the prompt of a role to options that choose no prompt themselves.

    A role without a prompt gets an empty one: the default prompt is for plain `encode`.
    """
    if given.get("prompt") is not None or given.get("prompt_name") is not None:
        return given
    return {**given, "prompt": getattr(embedding.role_prompts, role)}
