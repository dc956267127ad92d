"""What turns texts into an index's vectors."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from minnow.bundle import TOKENIZER, Bundle
from minnow.embedder import Embedder
from minnow.engines import EngineOptions
from minnow.model.tokenizer import load_whole_tokenizer, lowercase_first
from minnow.search.fingerprint import Fingerprint
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    Floats = NDArray[np.float32]

_AT_A_TIME = 1000


class SearchModel(Protocol):
    """Texts in, vectors out, and what an index has to know of it.

    Attributes:
        fingerprint: Which model it is.
        tokenizer: What it counts tokens with.
        room: The longest chunk in tokens, special tokens included, that goes in whole behind the
            model's prompt for documents.
    """

    fingerprint: Fingerprint
    tokenizer: Tokenizer
    room: int

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        """Vectors of chunks: float32 of shape (texts, width), of length 1 where cosines count.

        Raises:
            InputError: A text is longer than the model takes.
        """
        ...

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        """Likewise of questions; what is too long is cut off, with a warning."""
        ...


class BundleModel:
    """A bundle as the model of an index.

    Attributes:
        embedder: What makes the vectors.
        most_tokens: The longest document by `tokens`.
    """

    def __init__(self, bundle: Bundle, embedder: Embedder) -> None:
        """Join a bundle with its open embedder."""
        self.fingerprint = Fingerprint.of(bundle.manifest)
        self.tokenizer = load_whole_tokenizer(bundle.folder / TOKENIZER)
        if embedder.embedding.lowercase:
            lowercase_first(self.tokenizer)
        self.embedder = embedder
        prompt = embedder.embedding.role_prompts.document
        alone, behind = (len(self.tokenizer.encode(text)) for text in ("a", prompt + "a"))
        self.room = embedder.max_tokens - max(0, behind - alone)
        self.most_tokens = self.room - len(self.tokenizer.encode(""))

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        """Vectors of chunks."""
        return self._ready(self.embedder.encode_document(list(texts), on_truncate="error"))

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        """Vectors of questions."""
        return self._ready(self.embedder.encode_query(list(texts)))

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text without special ones: what a splitter of others counts with."""
        tokens: list[str] = self.tokenizer.encode(text, add_special_tokens=False).tokens
        return tokens

    def _ready(self, vectors: Floats) -> Floats:
        kind = self.embedder.similarity_kind
        return normalize(vectors) if kind is Similarity.COSINE else vectors


def first_too_long(model: SearchModel, texts: Sequence[str]) -> tuple[int, int] | None:
    """The first text that a model has no room for: its number and its tokens; None if all fit."""
    for start in range(0, len(texts), _AT_A_TIME):
        block = list(texts[start : start + _AT_A_TIME])
        for number, encoding in enumerate(model.tokenizer.encode_batch(block), start):
            if len(encoding) > model.room:
                return number, len(encoding)
    return None


@contextmanager
def open_model(
    bundle: str | Path | Bundle, options: EngineOptions = EngineOptions()
) -> Iterator[BundleModel]:
    """Open a bundle for an index; the arguments are those of `Embedder.open`.

    Raises:
        BundleError, EngineError, SourceError, ParityError, MissingExtraError: As there.
    """
    bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
    with Embedder.open(bundle, options) as embedder:
        yield BundleModel(bundle, embedder)
