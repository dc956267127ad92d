"""The class that users open and call."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from minnow.bundle import ENCODER, TOKENIZER, Bundle
from minnow.encoding import TruncationWarning
from minnow.engine_choice import compare_vectors, open_chosen
from minnow.engines import EngineOptions, open_engine
from minnow.model.spec import Interface
from minnow.model.tokenizer import TextTokenizer
from minnow.options import EncodeOptions, OnTruncate, Role, split_arguments
from minnow.peer_names import SentenceTransformerNames
from minnow.pipeline import Pipeline

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Unpack

    from minnow.engines import Engine, EngineArguments
    from minnow.model.spec import EmbeddingSpec, EncoderSpec
    from minnow.options import OpenArguments
    from minnow.vectors import Similarity

__all__ = ["Embedder", "EncodeOptions", "OnTruncate", "Role", "TruncationWarning"]

_MANY = 64
"""Enough batches for every lane."""


class Embedder(SentenceTransformerNames):
    """Embedder of texts with a bundle.

    Names and conventions are those of sentence-transformers: a string gives one vector of shape
    (width,), a list gives (texts, width), in the order of the input; arrays of float32, unless the
    call asks for another form. It can be used from several threads, and after a fork.

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
        self.queries = None
        self.default_role = None
        self.truncate_dim = None
        self.text_tokenizer = tokenizer
        self._proven_tokens = embedding.max_tokens
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
            **changes: Fields of the options, such as engine="auto" or threads=2; and arguments of
                the class `SentenceTransformer`, of which `prompts`, `default_prompt_name`,
                `similarity_fn_name` and `truncate_dim` replace the model's, and others are refused
                at another value than their default.

        Raises:
            BundleError: Not the bundle of an embedding model, a file in it has changed, or the
                checkpoint is another.
            SourceError: The checkpoint is not where it should be.
            EngineError: No such engine, or the runtime cannot load the model.
            ParityError: The engine does not give the bundle's vectors.
            InputError: `memory` is none of the three, or the engine is not MNN.
            MissingExtraError: The engine's extra, or `convert`, is not installed.
        """
        engine, settings = split_arguments(changes)
        options = replace(options, **engine)
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
        embedder._apply(settings)
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
        return self.get_embedding_dimension()

    @property
    def similarity_kind(self) -> Similarity:
        """The similarity that the model's vectors are made for."""
        return self.embedding.similarity

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
