"""Served models, by name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from minnow.bundle import MANIFEST, Bundle
from minnow.embedder import Embedder
from minnow.errors import BatchSizeError, InputError, ServeError
from minnow.options import check_options
from minnow.serve.errors import bad_request, too_large, unknown_model
from minnow.serve.schemas import Model

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from minnow.bundle import Manifest
    from minnow.engines import Engine, EngineOptions
    from minnow.model.tokenizer import TokenizedText
    from minnow.options import EncodeOptions, Role

    Floats = NDArray[np.float32]

_MANY_BATCHES = 10_000
"""More batches than any engine has lanes."""

_ROLES: Mapping[str, Role] = {
    "query": "query",
    "search_query": "query",
    "document": "document",
    "search_document": "document",
    "passage": "document",
}
"""Words of other services for the two roles (Cohere's and NVIDIA's among them)."""


class ServedModel:
    """Open bundle with a name, warmed up for batches."""

    def __init__(self, name: str, bundle: Bundle, embedder: Embedder) -> None:
        """Warm up an open bundle, so that no request waits for what is slow the first time.

        Raises:
            EngineError: The runtime failed.
        """
        self.name, self.bundle, self.embedder = name, bundle, embedder
        self.manifest: Manifest = bundle.manifest
        self._pipeline = embedder.pipeline
        self.tokenizer = embedder.tokenizer
        self.special_ids = self.tokenizer.special_ids()
        self.whole: Engine = self._pipeline.engine
        self.lanes: Sequence[Engine] = self.whole.lanes(_MANY_BATCHES)
        rows = self.tokenizer.tokenize(["minnow"])
        for lane in (self.whole, *self.lanes):
            self._pipeline.forward(lane, rows)

        own = (bundle.queries, embedder.queries)
        self.queries = ServedModel(name, own[0], own[1]) if own[0] and own[1] else None

    @property
    def parts(self) -> tuple[ServedModel, ...]:
        """The model itself, and that of queries where they have an encoder of their own."""
        return (self,) if self.queries is None else (self, self.queries)

    def of_role(self, input_type: str | None) -> ServedModel:
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
    def max_tokens(self) -> int:
        """Most tokens of a text, special tokens included."""
        return self.embedder.max_tokens

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

    def forward(self, lane: Engine, rows: Sequence[TokenizedText]) -> Floats:
        """Run a lane on tokenised texts: float32 of shape (rows, width).

        Raises:
            ApiError: A text is too long for the memory that is left.
            EngineError: The runtime failed, or gave NaN.
        """
        try:
            return self._pipeline.forward(lane, rows)
        except BatchSizeError as error:
            raise too_large(str(error)) from error

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
        """Describe the model to clients."""
        embedding = self.manifest.embedding
        return Model(
            id=self.name,
            created=int((self.bundle.folder / MANIFEST).stat().st_mtime),
            dimensions=self.width,
            max_tokens=self.max_tokens,
            similarity=embedding.similarity.value,
            prompts=list(embedding.prompts),
            source=self.manifest.source.name,
            precision=self.manifest.recipe.precision.value,
        )

    def close(self) -> None:
        """Free the runtime's memory."""
        self.embedder.close()


def find_bundles(arguments: Sequence[str]) -> dict[str, Bundle]:
    """Open the bundles of a command line, by the names that clients use.

    Args:
        arguments: Each a folder, or NAME=FOLDER; by default the name is the folder's without
            `.minnow`. A name may have a slash, as on the Hub.

    Raises:
        BundleError: One is not a bundle.
        ServeError: None is given, or two have the same name.
    """
    if not arguments:
        raise ServeError("There is no bundle to serve.")
    found: dict[str, Bundle] = {}
    for argument in arguments:
        name, folder = _named(argument)
        if name in found:
            raise ServeError(f"Two bundles are called {name}. Rename one: NAME=FOLDER.")
        found[name] = Bundle.open(folder)
    return found


def _named(argument: str) -> tuple[str, Path]:
    name, equals, folder = argument.partition("=")
    if equals and name and not name.startswith((".", "/")) and not Path(argument).exists():
        return name, Path(folder)
    path = Path(argument)
    return path.resolve().name.removesuffix(".minnow"), path


def open_model(name: str, bundle: Bundle, options: EngineOptions) -> ServedModel:
    """Open and warm up a bundle.

    Raises:
        BundleError, EngineError, SourceError, MissingExtraError: As `Embedder.open`.
    """
    embedder = Embedder.open(bundle, options, on_truncate="ignore")
    try:
        return ServedModel(name, bundle, embedder)
    except BaseException:
        embedder.close()
        raise


def model_named(models: Mapping[str, ServedModel], name: str | None) -> ServedModel:
    """Return the model that a request names; without a name, the only one.

    Raises:
        ApiError: There is no such model, or several and no name.
    """
    if name is None and len(models) == 1:
        return next(iter(models.values()))
    if name is None:
        raise bad_request(f"Name a model: {', '.join(models)}.", "model")
    if name not in models:
        raise unknown_model(name, list(models))
    return models[name]
