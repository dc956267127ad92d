"""The class that users open and call."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from minnow.encoding import TruncationWarning
from minnow.engine_choice import Check, checked_vectors, judge_vectors, open_chosen
from minnow.engines import EngineOptions, open_engine
from minnow.manifest import ENCODER, TOKENIZER
from minnow.model.spec import Interface
from minnow.model.tokenizer import TextTokenizer
from minnow.model_cache import (
    ConversionOptions,
    bundle_of_call,
    of_the_hub,
    open_bundle,
    print_step,
)
from minnow.options import EncodeOptions, OnTruncate, Role, split_arguments
from minnow.peer_names import SentenceTransformerNames
from minnow.pipeline import Pipeline
from minnow.records import replace

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import Self

    from typing_extensions import Unpack

    from minnow.bundle import Bundle
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
    with Embedder("BAAI/bge-small-en-v1.5") as embedder:  # or Embedder.open("bge-small.minnow")
        queries = embedder.encode_query(["how do fish sleep?"])
        passages = embedder.encode_document(["Fish rest with open eyes.", "Ships have keels."])
        scores = embedder.similarity(queries, passages)
    ```

    Attributes:
        encoder: The network that the engine runs.
    """

    encoder: EncoderSpec
    _reason: Callable[[], str]

    def __init__(
        self,
        model_name_or_path: str | Path | Bundle,
        options: EngineOptions = EngineOptions(),
        *,
        conversion: ConversionOptions = ConversionOptions(),
        progress: Callable[[str], None] = print_step,
        on_truncate: OnTruncate = "warn",
        check_files: bool = True,
        **changes: Unpack[OpenArguments],
    ) -> None:
        """Open a model by its name; convert it first if that has not been done yet.

        The conversion needs the extra `convert`, and takes a minute or more. Its bundle is proven,
        and kept in the cache ($MINNOW_CACHE, or minnow in the user's); see `minnow cache`.

        Args:
            model_name_or_path: A bundle's folder, a Hub id, a model's folder, `package:NAME`, or
                `hf:USER/NAME` for a bundle on the Hub. A name without a slash is one of
                sentence-transformers' own models.
            options: Which engine runs it, and how.
            conversion: How a model is converted: in float16 unless its recipe says otherwise.
            progress: Receives a line of text before each step of a conversion; by default stderr.
            on_truncate: What to do about texts over the limit: warn, refuse, or say nothing.
            check_files: Compare every file with its hash in the manifest first, not only its size.
            **changes: As in `open`; `revision` and `local_files_only` are of the Hub.

        Raises:
            SourceError: The model cannot be found, read or understood.
            ConversionError, ParityError: It cannot be converted, or not to the same model.
            MissingExtraError: It has to be converted, and the extra `convert` is not installed.
            BundleError, EngineError, InputError, OutputError: As in `open`, and of the cache.
        """
        bundle = bundle_of_call(model_name_or_path, changes, conversion, progress)
        opened = self.open(
            bundle, options, on_truncate=on_truncate, check_files=check_files, **changes
        )
        vars(self).update(vars(opened))

    @classmethod
    def from_parts(
        cls,
        engine: Engine,
        tokenizer: TextTokenizer,
        encoder: EncoderSpec,
        embedding: EmbeddingSpec,
        *,
        name: str = "embedder",
        on_truncate: OnTruncate = "warn",
    ) -> Self:
        """Join a token engine with a tokenizer; `open` does it for a bundle.

        Args:
            engine: Ids in, token states or vectors out.
            tokenizer: Texts in, ids out.
            encoder: The network that the engine runs.
            embedding: How its token states become one vector, here or in the engine.
            name: Its name in messages and reports.
            on_truncate: What to do about texts over the limit: warn, refuse, or say nothing.
        """
        self = cls.__new__(cls)
        self.name = name
        self.encoder = encoder
        self.embedding = embedding
        self.on_truncate = on_truncate
        self.truncated_texts = 0
        self._reason = lambda: f"{engine.name}, as it was given."
        self.queries = None
        self.default_role = None
        self.truncate_dim = None
        self.text_tokenizer = tokenizer
        self._proven_tokens = embedding.max_tokens
        self.pipeline = Pipeline(engine, tokenizer, encoder, embedding, name)
        return self

    @classmethod
    def open(
        cls,
        bundle: str | Path | Bundle,
        options: EngineOptions = EngineOptions(),
        *,
        on_truncate: OnTruncate = "warn",
        check_files: bool = True,
        **changes: Unpack[OpenArguments],
    ) -> Self:
        """Open a bundle.

        MNN embeds a few texts. Many, about 16 000 tokens and more, run on the fastest of the
        engines whose extras are installed, which is opened then: on a model of the very numbers
        that the bundle stores. It is kept in the user's cache. Both ways to embed a few texts are
        compared first, and have to agree; otherwise MNN embeds many too. `engine` chooses one.

        Args:
            bundle: The folder that `minnow convert` wrote, or `hf:USER/NAME` for one on the Hub,
                which is downloaded; `revision` is a branch, tag or commit there.
            options: Which engine runs it, and how. `engine_reason` says which one was chosen.
            on_truncate: What to do about texts over the limit: warn, refuse, or say nothing.
            check_files: Compare every file with its hash in the manifest first, not only its size.
            **changes: Fields of the options, such as engine="mnn" or threads=2; and arguments of
                the class `SentenceTransformer`, of which `prompts`, `default_prompt_name`,
                `similarity_fn_name` and `truncate_dim` replace the model's, and others are refused
                at another value than their default.

        Raises:
            BundleError: Not the bundle of an embedding model, a file in it has changed, or
                `source` has other weights.
            SourceError: The model is not at `source`; or, for another engine and a bundle of the
                author's graph, not where the manifest says.
            EngineError: No such engine, or the runtime cannot load the model.
            ParityError: The engine does not give the bundle's vectors.
            InputError: `memory` is none of the three, or the engine is not MNN.
            MissingExtraError: The engine's extra is not installed.
        """
        engine, settings = split_arguments(changes)
        options = replace(options, **engine)
        bundle = open_bundle(bundle, **of_the_hub(settings))
        bundle.check_kind(reranks=False)
        opened: list[Self] = []
        try:
            with bundle.unchanged():
                with bundle.checking_encoders(hashes=check_files):
                    tokenizers = [
                        _tokenizer_of(p.folder, p.manifest.embedding) for p in bundle.parts
                    ]
                for part, tokenizer in zip(bundle.parts, tokenizers, strict=True):
                    embedder, reason = open_chosen(
                        options, part, partial(cls._open_part, part, tokenizer), _CHECK
                    )
                    opened.append(embedder)
                    embedder.on_truncate, embedder._reason = on_truncate, reason
        except BaseException:
            for embedder in opened:
                embedder.close()
            raise
        embedder, *queries = opened
        if queries:
            embedder.queries, embedder.default_role = queries[0], bundle.manifest.default_role
        embedder._apply(settings)
        return embedder

    @classmethod
    def _open_part(
        cls,
        bundle: Bundle,
        tokenizer: TextTokenizer,
        options: EngineOptions,
        model: bytes | None = None,
        interface: Interface | None = None,
    ) -> Self:
        manifest = bundle.manifest
        return cls.from_files(
            bundle.folder, manifest.encoder, manifest.embedding, options, model=model,
            tokenizer=tokenizer, interface=interface or manifest.recipe.interface,
            on_truncate="ignore",
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
        tokenizer: TextTokenizer | None = None,
        interface: Interface = Interface.LAST_HIDDEN_STATE,
        on_truncate: OnTruncate = "warn",
        **changes: Unpack[EngineArguments],
    ) -> Self:
        """Open a folder with a tokenizer.json that is not sealed, or not yet.

        Args:
            folder: The folder of the tokenizer.json.
            encoder: The network.
            embedding: How its token states become one vector.
            options: Which engine runs it, and how; "auto" is MNN here.
            model: What the engine loads; by default the folder's encoder.mnn.
            tokenizer: The folder's tokenizer, where it is loaded already.
            interface: What the model gives: token states, or vectors.
            on_truncate: What to do about texts over the limit.
            **changes: Fields of the options.

        Raises:
            SourceError: The tokenizer cannot be read.
            EngineError, InputError, MissingExtraError: As in `open`.
        """
        options = replace(options, **changes)
        tokenizer = tokenizer or _tokenizer_of(folder, embedding)
        engine = open_engine(
            model or folder / ENCODER, encoder, options, interface=interface,
            width=embedding.head.width(encoder.width), heads_apart=embedding.is_long,
        )  # fmt: skip
        return cls.from_parts(
            engine, tokenizer, encoder, embedding, name=folder.name, on_truncate=on_truncate
        )

    @property
    def engine_reason(self) -> str:
        """Which engine runs the model, and why: sentences that may change with a call in bulk."""
        if self.queries is None:
            return self._reason()
        return f"{self._reason()} Of queries: {self.queries.engine_reason}"

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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _tokenizer_of(folder: Path, embedding: EmbeddingSpec) -> TextTokenizer:
    return TextTokenizer(
        folder / TOKENIZER, max_tokens=embedding.max_tokens, lowercase=embedding.lowercase
    )


_CHECK: Check[Any] = Check(checked_vectors, judge_vectors)
