"""The class that users open and call: prompts, options, warnings."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from minnow.bundle import ENCODER, TOKENIZER, Bundle
from minnow.engine_choice import compare_vectors, open_chosen
from minnow.engines import EngineOptions, open_engine
from minnow.engines.forks import ForkSafeLock
from minnow.errors import InputError
from minnow.model.spec import Interface
from minnow.model.tokenizer import TextTokenizer
from minnow.options import (
    BATCH_SIZE,
    EncodeOptions,
    OnTruncate,
    Role,
    check_iterable,
    check_options,
    engine_arguments,
    with_role,
)
from minnow.pipeline import Pipeline
from minnow.progress import show_progress
from minnow.vectors import similarity

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from minnow.engines import Engine, EngineArguments
    from minnow.model.spec import EmbeddingSpec, EncoderSpec
    from minnow.options import OpenArguments, Options, PeerOptions
    from minnow.vectors import Similarity

    Floats = NDArray[np.float32]

__all__ = ["Embedder", "EncodeOptions", "OnTruncate", "Role", "TruncationWarning"]

_MANY = 64
"""Enough batches for every lane."""

_counting = ForkSafeLock()


class TruncationWarning(UserWarning):
    """Texts are longer than the model's limit; their ends were cut off."""


class Embedder:
    """Embedder of texts with a bundle.

    Names and conventions are those of sentence-transformers: a string gives one vector of shape
    (width,), a list gives (texts, width), always float32, in the order of the input.
    It can be used from several threads, and after a fork.

    ```python
    with Embedder.open("bge-small.minnow") as embedder:
        queries = embedder.encode_query(["how do fish sleep?"])
        passages = embedder.encode_document(["Fish rest with open eyes.", "Ships have keels."])
        scores = embedder.similarity(queries, passages)
    ```
    """

    def __init__(
        self,
        engine: Engine,
        tokenizer: TextTokenizer,
        encoder: EncoderSpec,
        embedding: EmbeddingSpec,
        *,
        name: str = "embedder",
        on_truncate: OnTruncate = "warn",
    ) -> None:
        """Join a token engine with a tokenizer; `open` does it for a bundle.

        Args:
            engine: Ids in, token states or vectors out.
            tokenizer: Texts in, ids out.
            encoder: The network that the engine runs.
            embedding: How its token states become one vector, here or in the engine.
            name: Its name in messages and reports.
            on_truncate: What to do about texts over the limit: warn, refuse, or say nothing.
        """
        self.name = name
        self.encoder = encoder
        self.embedding = embedding
        self.on_truncate = on_truncate
        self.truncated_texts = 0
        self.engine_reason = f"{engine.name}, as it was given."
        self.queries: Embedder | None = None
        self.default_role: Role | None = None
        self.tokenizer = tokenizer
        self.pipeline = Pipeline(engine, tokenizer, encoder, embedding, name)

    @classmethod
    def open(
        cls,
        bundle: str | Path | Bundle,
        options: EngineOptions = EngineOptions(),
        *,
        on_truncate: OnTruncate = "warn",
        check_files: bool = True,
        **changes: Unpack[OpenArguments],
    ) -> Embedder:
        """Open a bundle.

        Any engine but "mnn" runs minnow's own graph, rebuilt in float32 from the checkpoint that
        the bundle was made from. It must be on this machine, with the weights that the manifest
        names: nothing is downloaded. The extra `convert` must be installed besides the engine's.
        Both ways to embed a few texts are compared first, and have to agree.

        Args:
            bundle: The folder that `minnow convert` wrote.
            options: Which engine runs it, and how. `engine_reason` says which one "auto" chose.
            on_truncate: What to do about texts over the limit: warn, refuse, or say nothing.
            check_files: Compare every file with its hash in the manifest first.
            **changes: Fields of the options, such as engine="auto" or threads=2; arguments of
                the class `SentenceTransformer` are taken at their defaults.

        Raises:
            BundleError: Not the bundle of an embedding model, a file in it has changed, or the
                checkpoint is another.
            SourceError: The checkpoint is not where it should be.
            EngineError: No such engine, or the runtime cannot load the model.
            ParityError: The engine does not give the bundle's vectors.
            InputError: `memory` is none of the three, or the engine is not MNN.
            MissingExtraError: The engine's extra, or `convert`, is not installed.
        """
        options = replace(options, **engine_arguments(changes))
        bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        bundle.check_kind(reranks=False)
        opened: list[Embedder] = []
        try:
            with bundle.unchanged():
                if check_files:
                    bundle.check_files()
                for part in bundle.parts:
                    embedder, reason = open_chosen(
                        options, part, partial(cls._open_part, part), compare_vectors
                    )
                    opened.append(embedder)
                    embedder.on_truncate, embedder.engine_reason = on_truncate, reason
        except BaseException:
            for embedder in opened:
                embedder.close()
            raise
        embedder, *queries = opened
        if queries:
            embedder.queries, embedder.default_role = queries[0], bundle.manifest.default_role
            embedder.engine_reason += f" Of queries: {queries[0].engine_reason}"
        return embedder

    @classmethod
    def _open_part(
        cls,
        bundle: Bundle,
        options: EngineOptions,
        model: bytes | None = None,
        interface: Interface | None = None,
    ) -> Embedder:
        manifest = bundle.manifest
        return cls.from_files(
            bundle.folder, manifest.encoder, manifest.embedding, options, model=model,
            interface=interface or manifest.recipe.interface, on_truncate="ignore",
        )  # fmt: skip

    @classmethod
    def from_files(
        cls,
        folder: Path,
        encoder: EncoderSpec,
        embedding: EmbeddingSpec,
        options: EngineOptions = EngineOptions(),
        *,
        model: Path | bytes | None = None,
        interface: Interface = Interface.LAST_HIDDEN_STATE,
        on_truncate: OnTruncate = "warn",
        **changes: Unpack[EngineArguments],
    ) -> Embedder:
        """Open a folder with a tokenizer.json that is not sealed, or not yet.

        Args:
            folder: The folder of the tokenizer.json.
            encoder: The network.
            embedding: How its token states become one vector.
            options: Which engine runs it, not "auto", and how.
            model: What the engine loads; by default the folder's encoder.mnn.
            interface: What the model gives: token states, or vectors.
            on_truncate: What to do about texts over the limit.
            **changes: Fields of the options.

        Raises:
            SourceError: The tokenizer cannot be read.
            EngineError, InputError, MissingExtraError: As in `open`.
        """
        options = replace(options, **changes)
        tokenizer = TextTokenizer(
            folder / TOKENIZER, max_tokens=embedding.max_tokens, lowercase=embedding.lowercase
        )
        engine = open_engine(
            model or folder / ENCODER, encoder, options, interface=interface,
            width=embedding.head.width(encoder.width), heads_apart=embedding.is_long,
        )  # fmt: skip
        return cls(engine, tokenizer, encoder, embedding, name=folder.name, on_truncate=on_truncate)

    @property
    def width(self) -> int:
        """Length of a vector."""
        return self.embedding.head.width(self.encoder.width)

    @property
    def similarity_kind(self) -> Similarity:
        """The similarity that the model's vectors are made for."""
        return self.embedding.similarity

    @property
    def max_tokens(self) -> int:
        """The longest text in tokens, special tokens included."""
        return self.embedding.max_tokens

    def encode(
        self,
        texts: str | Iterable[str],
        *,
        prompt_name: str | None = None,
        prompt: str | None = None,
        batch_size: int = BATCH_SIZE,
        show_progress_bar: bool | None = None,
        truncate_dim: int | None = None,
        normalize_embeddings: bool = False,
        on_truncate: OnTruncate | None = None,
        task: Role | None = None,
        **peer: Unpack[PeerOptions],
    ) -> Floats:
        """Embed texts, behind a prompt if there is one.

        Args:
            texts: One string, or several: a list, tuple, generator, Series or array of one axis.
            prompt_name: The name of one of the model's prompts (`embedding.prompts`).
            prompt: Another prompt, in place of `prompt_name`.
            batch_size: Most texts in one forward pass; long texts go in smaller batches.
            show_progress_bar: Show progress on stderr.
            truncate_dim: Keep only the first dimensions of each vector (Matryoshka models).
            normalize_embeddings: Scale the result to length 1, after `truncate_dim`.
            on_truncate: For this call, in place of the embedder's choice.
            task: The role of the texts, for a model with an encoder of queries and one of
                documents; it chooses no prompt.
            **peer: Other arguments of sentence-transformers' `encode`, at their defaults.

        Returns:
            float32 of shape (width,) for a string, (texts, width) for several; (0, width) for none.

        Raises:
            InputError: A text is not a string, a text is over the limit and `on_truncate` is
                "error", texts is a table, a mapping or bytes, or an argument is out of range.
            EngineError: The runtime failed, or gave NaN.
        """
        options = self._options(
            {
                **peer,
                "prompt": prompt,
                "prompt_name": prompt_name,
                "batch_size": batch_size,
                "show_progress_bar": show_progress_bar,
                "truncate_dim": truncate_dim,
                "normalize_embeddings": normalize_embeddings,
                "on_truncate": on_truncate,
                "task": task,
            }
        )
        rows = [texts] if isinstance(texts, str) else list(check_iterable(texts))
        vectors = np.empty((len(rows), options.width), dtype=np.float32)
        start = 0
        for block, found in self._stream(rows, options, len(rows)):
            vectors[start : start + len(block)] = found
            start += len(block)
        return vectors[0] if isinstance(texts, str) else vectors

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

    def encode_query(self, texts: str | Iterable[str], **options: Unpack[EncodeOptions]) -> Floats:
        """Embed questions: `encode` with the model's prompt for queries, if it has one.

        Takes the arguments of `encode`; `prompt` or `prompt_name` replace the query prompt.
        """
        return self.encode(texts, **self.role_options("query", options))

    def encode_document(
        self, texts: str | Iterable[str], **options: Unpack[EncodeOptions]
    ) -> Floats:
        """Embed passages: `encode` with the model's prompt for documents, if it has one.

        Takes the arguments of `encode`; `prompt` or `prompt_name` replace the document prompt.
        """
        return self.encode(texts, **self.role_options("document", options))

    def role_options(self, role: Role, options: EncodeOptions) -> EncodeOptions:
        """Add a role to options, and its prompt to those that choose no prompt themselves."""
        return with_role(role, options, self.embedding)

    def similarity(self, a: Floats, b: Floats) -> Floats:
        """Compare vectors by the model's similarity, which is the cosine unless it states another.

        Args:
            a: float32 of shape (rows, width) or (width,).
            b: float32 of shape (others, width) or (width,).

        Returns:
            float32 of shape (rows, others); larger is more alike.
        """
        return similarity(a, b, self.embedding.similarity)

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
        return [text.ids for text in self.pipeline.tokenizer.tokenize(texts)]

    def of_role(self, role: Role | None) -> Embedder:
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

    def warmup(self, *, bulk: bool = False) -> None:
        """Run the model once, so that no request has to wait for work that is slow the first time.

        Args:
            bulk: Also open the sessions for many texts at once, one per thread.

        Raises:
            EngineError: The runtime failed.
        """
        roles: tuple[Role, ...] = ("document",) if self.queries is None else ("query", "document")
        for task in roles:
            self.encode(["minnow"] * (_MANY if bulk else 1), batch_size=1, task=task)

    def close(self) -> None:
        """Free the runtime's memory; encoding fails from then on."""
        self.pipeline.engine.close()
        if self.queries is not None:
            self.queries.close()

    def __enter__(self) -> Embedder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _options(self, given: EncodeOptions) -> Options:
        options = check_options(given, self.embedding, self.width, self.on_truncate)
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
                with _counting:
                    self.truncated_texts += over
                yield block, vectors
        if cut and options.on_truncate == "warn":
            message = (
                f"{cut} of {seen} texts {'is' if cut == 1 else 'are'} longer than "
                f"{pipeline.embedding.max_tokens} tokens, the limit of {self.name}; only their "
                "beginnings were embedded. Split them into chunks."
            )
            warnings.warn(message, TruncationWarning, stacklevel=_level_of_caller())


def _level_of_caller() -> int:
    """Return the stacklevel of the first frame outside this file."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") == __name__:
        level, frame = level + 1, frame.f_back
    return level
