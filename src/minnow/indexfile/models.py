"""The embedding model of an index."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from minnow.bundle import Bundle
from minnow.characters import clean_text, replace_halves
from minnow.embedder import Embedder
from minnow.engines import EngineOptions
from minnow.errors import InputError
from minnow.indexfile.fingerprint import Fingerprint
from minnow.indexfile.query_table import RECORD, StaticQueries
from minnow.manifest import TOKENIZER
from minnow.model.tokenizer import load_whole_tokenizer
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tokenizers import Tokenizer

    from minnow.indexfile.encodings import Floats


_AT_A_TIME = 1000


class SearchModel(Protocol):
    """A model that embeds texts, and what an index has to know of it.

    Attributes:
        fingerprint: Its identity.
        tokenizer: Its tokenizer, without truncation.
        room: The longest chunk in tokens, special tokens included, that fits the model whole
            behind its prompt for documents.
    """

    fingerprint: Fingerprint
    tokenizer: Tokenizer
    room: int

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        """Embed chunks.

        Returns:
            float32 of shape (texts, width), of length 1 where vectors are compared by cosine.

        Raises:
            InputError: A text is longer than the model takes.
        """
        ...

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        """Embed questions, as `encode_documents`; those too long are truncated with a warning."""
        ...


class BundleModel:
    """A bundle as the model of an index.

    Attributes:
        embedder: The open bundle.
        most_tokens: The longest document by `tokens`.
    """

    def __init__(self, bundle: Bundle, embedder: Embedder) -> None:
        """Take over a bundle and its open embedder.

        Raises:
            InputError: The embedder does not give the bundle's vectors any more.
        """
        changed = embedder.embedding != bundle.manifest.embedding
        if changed or embedder.truncate_dim is not None:
            raise InputError(
                f"The prompts, limit or length of vectors were changed after {embedder.name} was "
                "opened, so its vectors are not those that an index expects. Open the bundle again."
            )
        self.fingerprint = Fingerprint.of(bundle.manifest)
        lowercase = embedder.embedding.lowercase
        self.tokenizer = load_whole_tokenizer(bundle.folder / TOKENIZER, lowercase=lowercase)
        self.embedder = embedder
        prompt = embedder.embedding.role_prompts.document
        alone, behind = (len(self.tokenizer.encode(text)) for text in ("a", prompt + "a"))
        self.room = embedder.max_tokens - max(0, behind - alone)
        self.most_tokens = self.room - len(self.tokenizer.encode(""))

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        """Embed chunks."""
        return self._normalized(self.embedder.encode_document(list(texts), on_truncate="error"))

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        """Embed questions one at a time, because a batch changes the last bits of a vector."""
        rows = [self.embedder.encode_query([clean_text(text)]) for text in texts]
        empty = np.empty((0, self.fingerprint.width), np.float32)
        return self._normalized(np.concatenate([empty, *rows]))

    def tokens(self, text: str) -> list[str]:
        """Return the tokens of a text without special ones, for text splitters."""
        tokens: list[str] = self.tokenizer.encode(
            replace_halves(text), add_special_tokens=False
        ).tokens
        return tokens

    def _normalized(self, vectors: Floats) -> Floats:
        cosine = self.embedder.similarity_kind is Similarity.COSINE
        return normalize(vectors) if cosine else vectors


def check_questions(questions: Iterable[str]) -> None:
    """Check that questions are strings; a field that is missing somewhere is often None.

    Raises:
        InputError: One is something else.
    """
    for question in questions:
        if not isinstance(question, str):
            raise InputError(f"A question should be a string, not {question!r:.60}.")


def find_too_long(model: SearchModel, texts: Sequence[str]) -> tuple[int, int] | None:
    """Return the number and the token count of the first text that does not fit a model."""
    for start in range(0, len(texts), _AT_A_TIME):
        block = list(texts[start : start + _AT_A_TIME])
        for number, encoding in enumerate(model.tokenizer.encode_batch(block), start):
            if len(encoding) > model.room:
                return number, len(encoding)
    return None


@contextmanager
def open_query_model(
    folder: str | Path | Bundle, options: EngineOptions = EngineOptions()
) -> Iterator[SearchModel]:
    """Open a bundle, or the static queries that `minnow distill` made of one, to ask an index.

    Raises:
        BundleError, EngineError, SourceError, ParityError, MissingExtraError: As `open_model`.
    """
    if not isinstance(folder, Bundle) and (Path(folder) / RECORD).is_file():
        yield StaticQueries.open(folder)
        return
    with open_model(folder, options) as model:
        yield model


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
