"""Served models, by name."""

from __future__ import annotations

import logging
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from minnow.bundle import Bundle
from minnow.embedder import Embedder
from minnow.engine_choice import settle_auto
from minnow.engines import MNN
from minnow.engines.base import MANY_BATCHES
from minnow.engines.mnn import MnnEngine
from minnow.errors import BatchSizeError, InputError, ServeError
from minnow.options import check_options
from minnow.reranker import Reranker
from minnow.resources import release_memory
from minnow.serve.answers import Model
from minnow.serve.errors import bad_request, too_large, unknown_model

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from minnow.engines import Engine, EngineOptions
    from minnow.manifest import Manifest
    from minnow.model.tokenizer import TokenizedText
    from minnow.options import EncodeOptions, Role
    from minnow.pipeline import Pipeline
    from minnow.serve.settings import Settings

    Floats = NDArray[np.float32]

Self = TypeVar("Self", bound="ServedModel")

log = logging.getLogger("minnow.serve")

_ROLES: Mapping[str, Role] = {
    "query": "query",
    "search_query": "query",
    "document": "document",
    "search_document": "document",
    "passage": "document",
}
"""Words of other services for the two roles (Cohere's and NVIDIA's among them)."""

_WARMING = "minnow"


class ServedModel:
    """Open bundle with a name, warmed up for batches.

    Attributes:
        kind: What it is, with an article.
        runner: The model whose lanes compute: itself, or one of the same bundle with another name.
    """

    kind: ClassVar[str] = "a model"

    def __init__(
        self,
        name: str,
        bundle: Bundle,
        pipeline: Pipeline[Any],
        warming: Sequence[TokenizedText],
        *,
        lean: bool = False,
    ) -> None:
        """Warm up an open bundle, so that no request waits for what is slow the first time.

        Where it is lean, all batches run on one engine, which takes less memory than several.

        Raises:
            EngineError: The runtime failed.
        """
        self.name, self.bundle = name, bundle
        self.runner: ServedModel = self
        self.manifest: Manifest = bundle.manifest
        self._pipeline = pipeline
        self._created = int(bundle.folder.stat().st_mtime)  # it may be moved away later
        self.whole: Engine = pipeline.engine
        self.lanes: Sequence[Engine] = (self.whole,) if lean else self.whole.lanes(MANY_BATCHES)
        for lane in (self.whole, *self.lanes):
            pipeline.forward(lane, warming)

    @property
    def parts(self) -> tuple[ServedModel, ...]:
        """The models that run batches: itself, and others that it consists of."""
        return (self,)

    def called(self: Self, name: str) -> Self:
        """Return the same open model with another name."""
        other = copy(self)
        other.name = name
        return other

    def rest(self) -> bool:
        """Free the memory of a runtime that can load its model again when it is next asked.

        Returns:
            Whether there is such a runtime: MNN.
        """
        engines = [part.whole for part in self.parts if isinstance(part.whole, MnnEngine)]
        for engine in engines:
            engine.rest()
        release_memory()
        return bool(engines)

    @property
    def width(self) -> int:
        """Length of a row of numbers that a text, or a pair, gets."""
        raise NotImplementedError

    @property
    def max_tokens(self) -> int:
        """Most tokens of a text, or of a pair, special tokens included."""
        return self.manifest.embedding.max_tokens

    def forward(self, lane: Engine, rows: Sequence[TokenizedText]) -> Floats:
        """Run a lane on tokenised texts or pairs: float32 of shape (rows, width).

        Raises:
            ApiError: A text is too long for the memory that is left.
            EngineError: The runtime failed, or gave NaN.
        """
        try:
            return self._pipeline.forward(lane, rows)
        except BatchSizeError as error:
            raise too_large(str(error)) from error

    def facts(self) -> Model:
        """Describe the model to clients."""
        manifest = self.manifest
        return Model(
            id=self.name,
            kind="embedder",
            created=self._created,
            max_tokens=self.max_tokens,
            prompts=list(manifest.embedding.prompts),
            source=manifest.source.name,
            precision=manifest.recipe.precision.value,
        )

    def close(self) -> None:
        """Free the runtime's memory."""
        self.whole.close()


class ServedEmbedder(ServedModel):
    """Served model that gives vectors."""

    kind = "an embedding model"

    def __init__(
        self, name: str, bundle: Bundle, embedder: Embedder, *, lean: bool = False
    ) -> None:
        """Warm up an open embedder; see `ServedModel`."""
        warming = embedder.text_tokenizer.tokenize([_WARMING])
        super().__init__(name, bundle, embedder.pipeline, warming, lean=lean)
        self.embedder, self.tokenizer = embedder, embedder.text_tokenizer
        self.special_ids = self.tokenizer.special_ids()
        own = (bundle.queries, embedder.queries)
        self.queries = (
            ServedEmbedder(name, own[0], own[1], lean=lean) if own[0] and own[1] else None
        )

    @property
    def parts(self) -> tuple[ServedModel, ...]:
        """The model itself, and that of queries where they have an encoder of their own."""
        return (self,) if self.queries is None else (self, self.queries)

    def of_role(self, input_type: str | None) -> ServedEmbedder:
        """Return the model of queries or of documents: itself, unless queries have their own.

        Raises:
            ApiError: A text without a role has no encoder.
        """
        role = None if input_type is None else _ROLES[input_type]
        try:
            chosen = self.embedder.of_role(role)
        except InputError as error:
            raise bad_request(
                f"{self.name} needs an input_type: query or document.", "input_type"
            ) from error
        return self.queries if self.queries and chosen is self.embedder.queries else self

    @property
    def width(self) -> int:
        """Length of a vector."""
        return self.embedder.width

    @property
    def vocabulary(self) -> int:
        """Number of token ids."""
        return self.manifest.encoder.vocab_size

    def tokens(self, texts: Sequence[str], prompt: str) -> list[TokenizedText]:
        """Tokenise texts, each behind a prompt; see `Pipeline.tokens`.

        Raises:
            InputError: A text is not valid; the message has its number.
        """
        return self._pipeline.tokens(texts, prompt)

    def prompt(self, input_type: str | None, prompt_name: str | None) -> str:
        """Return the text to put before each input, as `Embedder.encode` chooses it.

        Raises:
            ApiError: Both are given, or the model has no such prompt.
        """
        if input_type is not None and prompt_name is not None:
            raise bad_request("Give input_type or prompt_name, not both.", "prompt_name")
        options: EncodeOptions = {"prompt_name": prompt_name}
        if input_type is not None:
            options = self.embedder.role_options(_ROLES[input_type], {})
        try:
            return check_options(options, self.manifest.embedding, self.width, "ignore").prompt
        except InputError as error:
            raise bad_request(str(error), "prompt_name") from error

    def facts(self) -> Model:
        """Describe the model to clients, with its vectors."""
        facts = super().facts()
        facts.dimensions = self.width
        facts.similarity = self.manifest.embedding.similarity.value
        return facts

    def close(self) -> None:
        """Free the runtime's memory, also that of an encoder of queries."""
        self.embedder.close()


class ServedReranker(ServedModel):
    """Served model that scores a query and a document together."""

    kind = "a reranker"

    def __init__(
        self, name: str, bundle: Bundle, reranker: Reranker, *, lean: bool = False
    ) -> None:
        """Warm up an open reranker; see `ServedModel`."""
        warming = reranker.tokenize([(_WARMING, _WARMING)])
        super().__init__(name, bundle, reranker.pipeline, warming, lean=lean)
        self._prompt = check_options({}, reranker.embedding, reranker.num_labels, "ignore").prompt

    @property
    def width(self) -> int:
        """Numbers of a pair: its logit."""
        return 1

    def tokens(self, query: str, documents: Sequence[str]) -> list[TokenizedText]:
        """Tokenise a query, behind the model's default prompt if it has one, with each document.

        Raises:
            InputError: The query leaves no room for a document, in a model that never cuts queries.
        """
        return self._pipeline.tokens([(query, text) for text in documents], self._prompt)

    def facts(self) -> Model:
        """Describe the model to clients."""
        facts = super().facts()
        facts.kind = "reranker"
        return facts


Kind = TypeVar("Kind", bound=ServedModel)


def find_bundles(arguments: Sequence[str]) -> dict[str, Bundle]:
    """Open the bundles of a command line, by the names that clients use.

    Args:
        arguments: Each a folder, or NAME=FOLDER; by default the name is the folder's without
            `.minnow`. A name may have a slash, as on the Hub.

    Raises:
        BundleError: One is not a bundle.
        ServeError: None is given, two have the same name, or a reranker has several scores.
    """
    if not arguments:
        raise ServeError("There is no bundle to serve.")
    found: dict[str, Bundle] = {}
    for argument in arguments:
        name, folder = _named(argument)
        if name in found:
            raise ServeError(f"Two bundles are called {name}. Rename one: NAME=FOLDER.")
        found[name] = bundle = Bundle.open(folder)
        reranking = bundle.manifest.reranking
        if reranking is not None and len(reranking.labels) != 1:
            raise ServeError(
                f"{name} gives {len(reranking.labels)} scores ({', '.join(reranking.labels)}), of "
                "which none orders documents: the server takes rerankers of one. Leave it out."
            )
    return found


def _named(argument: str) -> tuple[str, Path]:
    name, equals, folder = argument.partition("=")
    if equals and name and not name.startswith((".", "/")) and not Path(argument).exists():
        return name, Path(folder)
    path = Path(argument)
    return path.resolve().name.removesuffix(".minnow"), path


def open_model(
    name: str,
    bundle: Bundle,
    options: EngineOptions,
    others: Sequence[ServedModel] = (),
    settings: Settings | None = None,
) -> ServedModel:
    """Open and warm up a bundle, or share an open model of the same bundle in the same folder.

    Raises:
        BundleError, EngineError, SourceError, MissingExtraError: As `Embedder.open`.
    """
    for other in others:
        same_folder = other.bundle.folder.resolve() == bundle.folder.resolve()
        if same_folder and other.manifest == bundle.manifest:
            return other.called(name)
    lean = settings is not None and settings.lean
    options = settle_auto(options, bundle)
    if bundle.manifest.reranking is not None:
        reranker = Reranker.open(bundle, options, on_truncate="ignore")
        _log(name, options, reranker)
        return _served(reranker, lambda: ServedReranker(name, bundle, reranker, lean=lean))
    embedder = Embedder.open(bundle, options, on_truncate="ignore")
    _log(name, options, embedder)
    return _served(embedder, lambda: ServedEmbedder(name, bundle, embedder, lean=lean))


def _log(name: str, options: EngineOptions, opened: Embedder | Reranker) -> None:
    """Log which engine runs a model, where another than MNN was in question."""
    if options.engine != MNN:
        log.info("%s runs on %s", name, opened.engine_reason)


def _served(opened: Embedder | Reranker, make: Callable[[], ServedModel]) -> ServedModel:
    """Make a served model of an open one, which is closed where that fails."""
    try:
        return make()
    except BaseException:
        opened.close()
        raise


def model_named(
    models: Mapping[str, ServedModel], name: str | None, kind: type[Kind], param: str = "model"
) -> Kind:
    """Return the model that a request names; without a name, the only one of its kind.

    Args:
        models: The served models, by name.
        name: The name, if there is one.
        kind: What the model has to be.
        param: The field of the request that has the name.

    Raises:
        ApiError: There is no such model, it is of the other kind, or there are several and no name.
    """
    place = "this path" if param == "model" else f"`{param}`"
    of_kind = {found: model for found, model in models.items() if isinstance(model, kind)}
    if name is None and len(of_kind) == 1:
        return next(iter(of_kind.values()))
    if not of_kind:
        raise bad_request(
            f"{place[0].upper()}{place[1:]} takes {kind.kind}, and this server has none: start "
            "`minnow serve` with the bundle of one.",
            param,
        )
    names = ", ".join(of_kind)
    if name is None:
        raise bad_request(f"Name a model: {names}.", param)
    if name not in models:
        raise unknown_model(name, list(models), param)
    if name not in of_kind:
        raise bad_request(
            f"{name} is {models[name].kind}, and {place} takes {kind.kind}: {names}.", param
        )
    return of_kind[name]
