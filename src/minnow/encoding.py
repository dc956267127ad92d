"""Encoding: texts to vectors through a pipeline, with prompts, options and warnings."""

from __future__ import annotations

import sys
import warnings
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from minnow.engines.forks import ForkSafeLock
from minnow.errors import InputError
from minnow.options import check_iterable, check_options, named_texts, with_role
from minnow.progress import show_progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Self

    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from minnow.model.spec import EmbeddingSpec
    from minnow.model.tokenizer import TextTokenizer
    from minnow.options import EncodeOptions, OnTruncate, Options, PeerEncodeOptions, Role
    from minnow.pipeline import Pipeline

    Floats = NDArray[np.float32]

_counting = ForkSafeLock()


class TruncationWarning(UserWarning):
    """Texts are longer than the model's limit; their ends were cut off."""


class TextEncoder:
    """The methods of an embedder that turn texts into vectors.

    Attributes:
        name: Its name in messages and reports.
        embedding: How token states become one vector, with the prompts and limits in force.
        text_tokenizer: Texts in, ids out.
        pipeline: The steps between texts and vectors.
        on_truncate: What to do about texts over the limit, unless a call says so.
        truncated_texts: How many texts have been over the limit.
        truncate_dim: The length of vectors, unless a call says so; None is the model's.
        queries: The encoder of queries, where they have one of their own.
        default_role: Whose encoder takes a text without a role.
    """

    name: str
    embedding: EmbeddingSpec
    text_tokenizer: TextTokenizer
    pipeline: Pipeline[str]
    on_truncate: OnTruncate
    truncated_texts: int
    truncate_dim: int | None
    queries: Self | None
    default_role: Role | None

    @property
    def max_tokens(self) -> int:
        """The longest text in tokens, special tokens included."""
        return self.embedding.max_tokens

    @overload
    def encode(self, texts: str | Iterable[str], **options: Unpack[EncodeOptions]) -> Floats: ...

    @overload
    def encode(
        self, texts: str | Iterable[str] | None = None, **options: Unpack[PeerEncodeOptions]
    ) -> Any: ...

    def encode(
        self, texts: str | Iterable[str] | None = None, **options: Unpack[PeerEncodeOptions]
    ) -> Any:
        """Embed texts, behind a prompt if there is one.

        Args:
            texts: One string, or several: a list, tuple, generator, Series or array of one axis.
                `inputs` and `sentences` are other names of it.
            **options: `prompt_name`, the name of one of the model's prompts; `prompt`, another
                text in its place. `batch_size`, the most texts in one forward pass; long texts go
                in smaller batches. `show_progress_bar`, on stderr. `truncate_dim`, to keep only
                the first dimensions of each vector (Matryoshka models). `normalize_embeddings`, to
                scale the result to length 1, after `truncate_dim`. `on_truncate`, in place of the
                embedder's choice. `task`, the role of the texts, for a model with an encoder of
                queries and one of documents; it chooses no prompt.

                `convert_to_tensor` gives a tensor of torch, `convert_to_numpy=False` a list of
                them. `precision` is "float32", "int8", "uint8", "binary" or "ubinary", by
                `ranges=` of shape (2, width) where it is int8 or uint8.
                `output_value="token_embeddings"` gives a list with the states of each text's
                tokens, of shape (tokens, width). `device` is the CPU; `pool` and `chunk_size`
                are taken, and what they are for is done without them.

        Returns:
            float32 of shape (width,) for a string, (texts, width) for several; (0, width) for
            none; unless the options ask for another form.

        Raises:
            InputError: A text is not a string, a text is over the limit and `on_truncate` is
                "error", texts is a table, a mapping or bytes, or an argument is out of range.
            EngineError: The runtime failed, or gave NaN.
            MissingExtraError: A tensor is wanted, and torch is not installed.
        """
        texts = named_texts(texts, options)
        checked = self._options(options)
        rows = [texts] if isinstance(texts, str) else list(check_iterable(texts))
        found = (
            self._states(rows, checked) if checked.form.per_token else self._encode(rows, checked)
        )
        return found[0] if isinstance(texts, str) else found

    def _encode(self, rows: list[str], options: Options) -> Any:
        vectors = np.empty((len(rows), options.width), dtype=np.float32)
        start = 0
        for block, found in self._stream(rows, options, len(rows)):
            vectors[start : start + len(block)] = found
            start += len(block)
        return options.form.of_vectors(vectors)

    def _states(self, rows: list[str], options: Options) -> list[Any]:
        pipeline = self.of_role(options.task).pipeline
        with show_progress("embedding", len(rows), "texts", show=options.show_progress) as advance:
            states, cut = pipeline.token_states(rows, options, advance)
        self._count_truncated(cut)
        self._tell_truncated(cut, len(rows), options)
        return options.form.of_states(states)

    def encode_stream(
        self, texts: Iterable[str], **options: Unpack[EncodeOptions]
    ) -> Iterator[tuple[list[str], Floats]]:
        """Embed any number of texts at flat memory.

        Args:
            texts: An iterable that is read a block at a time.
            **options: Those of `encode`.

        Yields:
            Blocks in order: the texts, and their vectors, float32 of shape (texts, width).

        Raises:
            InputError: As `encode`; the message counts texts from the start of the stream.
        """
        checked = self._options(options)
        if isinstance(texts, str):
            raise InputError("texts is one string; encode_stream takes several, or use encode.")
        return self._stream(check_iterable(texts), checked, None)

    @overload
    def encode_query(
        self, texts: str | Iterable[str], **options: Unpack[EncodeOptions]
    ) -> Floats: ...

    @overload
    def encode_query(
        self, texts: str | Iterable[str] | None = None, **options: Unpack[PeerEncodeOptions]
    ) -> Any: ...

    def encode_query(
        self, texts: str | Iterable[str] | None = None, **options: Unpack[PeerEncodeOptions]
    ) -> Any:
        """Embed questions: `encode` with the model's prompt for queries, if it has one.

        Takes the arguments of `encode`; `prompt` or `prompt_name` replace the query prompt.
        """
        return self.encode(texts, **self.role_options("query", options))

    @overload
    def encode_document(
        self, texts: str | Iterable[str], **options: Unpack[EncodeOptions]
    ) -> Floats: ...

    @overload
    def encode_document(
        self, texts: str | Iterable[str] | None = None, **options: Unpack[PeerEncodeOptions]
    ) -> Any: ...

    def encode_document(
        self, texts: str | Iterable[str] | None = None, **options: Unpack[PeerEncodeOptions]
    ) -> Any:
        """Embed passages: `encode` with the model's prompt for documents, if it has one.

        Takes the arguments of `encode`; `prompt` or `prompt_name` replace the document prompt.
        """
        return self.encode(texts, **self.role_options("document", options))

    def role_options(self, role: Role, options: EncodeOptions) -> EncodeOptions:
        """Add a role to options, and its prompt to those that choose no prompt themselves."""
        return with_role(role, options, self.embedding)

    def encode_batch(self, texts: Sequence[str], prompts: Sequence[str] = ()) -> Floats:
        """Embed texts in one forward pass, all padded to the longest, in the given order.

        This is for measurements and proofs; `encode` makes better batches.

        Args:
            texts: At least one text.
            prompts: The prompt of each; by default none.

        Returns:
            float32 of shape (texts, width).
        """
        pairs = zip(texts, prompts or [""] * len(texts), strict=True)
        rows = [row for text, prompt in pairs for row in self.pipeline.tokens([text], prompt)]
        return self.pipeline.forward(self.pipeline.engine, rows)

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the ids of each text as the encoder reads them, special tokens included."""
        return [text.ids for text in self.text_tokenizer.tokenize(texts)]

    def of_role(self, role: Role | None) -> Self:
        """Return the embedder of queries or of documents: itself, unless queries have their own.

        Args:
            role: None is the role that the model gives texts without one.

        Raises:
            InputError: The model gives them none.
        """
        if self.queries is None:
            return self
        role = role or self.default_role
        if role is None:
            raise InputError(
                f"{self.name} has an encoder for queries and one for documents. Give the role of "
                "the texts: by encode_query, by encode_document, or as a task."
            )
        return self.queries if role == "query" else self

    def _options(self, given: EncodeOptions) -> Options:
        if given.get("truncate_dim") is None:
            given = {**given, "truncate_dim": self.truncate_dim}
        options = check_options(given, self.embedding, self.pipeline.width, self.on_truncate)
        self.of_role(options.task)
        return options

    def _stream(
        self, texts: Iterable[str], options: Options, total: int | None
    ) -> Iterator[tuple[list[str], Floats]]:
        """Yield blocks of texts with their vectors, in order."""
        seen = cut = 0
        pipeline = self.of_role(options.task).pipeline
        with show_progress("embedding", total, "texts", show=options.show_progress) as advance:
            for block, vectors, over in pipeline.stream(texts, options, advance):
                seen, cut = seen + len(block), cut + over
                self._count_truncated(over)
                yield block, vectors
        self._tell_truncated(cut, seen, options)

    def _count_truncated(self, texts: int) -> None:
        with _counting:
            self.truncated_texts += texts

    def _tell_truncated(self, cut: int, seen: int, options: Options) -> None:
        if cut and options.on_truncate == "warn":
            limit = self.of_role(options.task).max_tokens
            message = (
                f"{cut} of {seen} texts {'is' if cut == 1 else 'are'} longer than {limit} tokens, "
                f"the limit of {self.name}; only their beginnings were embedded. Split them into "
                "chunks."
            )
            warnings.warn(message, TruncationWarning, stacklevel=_level_of_caller())


def _level_of_caller() -> int:
    """Return the stacklevel of the first frame outside the classes of an embedder."""
    level, frame = 1, sys._getframe(1)
    own = (__name__, "minnow.peer_names")
    while frame.f_back is not None and frame.f_globals.get("__name__") in own:
        level, frame = level + 1, frame.f_back
    return level
