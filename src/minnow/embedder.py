"""Text in, vectors out: tokenise, batch by length, run the engine, pool, normalise."""

from __future__ import annotations

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal, TypedDict

import numpy as np

from minnow.bundle import ENCODER, Bundle
from minnow.engines.base import TokenBatch
from minnow.engines.mnn import MnnEngine
from minnow.errors import EngineError, InputError
from minnow.model.spec import DOCUMENT_PROMPT_NAMES, QUERY_PROMPT_NAMES
from minnow.model.tokenizer import TextTokenizer
from minnow.vectors import normalize, pool, similarity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from typing_extensions import Unpack

    from minnow.engines.base import Engine
    from minnow.model.spec import EmbeddingSpec, EncoderSpec

    Floats = NDArray[np.float32]

OnTruncate = Literal["warn", "error", "ignore"]
Role = Literal["query", "document"]

BATCH_SIZE = 32
TOKENS_PER_BATCH = 1024
WINDOW = 4096


class TruncationWarning(UserWarning):
    """Texts were longer than the model's limit, and their ends were cut off."""


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
class _Options:
    """What one call asks for, checked."""

    prompt: str
    batch_size: int
    truncate_dim: int | None
    normalize: bool
    on_truncate: OnTruncate


class Embedder:
    """Turns texts into vectors with a bundle.

    Names and habits are those of sentence-transformers: a string gives one vector of shape
    (width,), a list gives (texts, width), always float32, in the order of the input.
    Safe to call from several threads, and after a fork.

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
            engine: Ids in, token states out.
            tokenizer: Texts in, ids out.
            encoder: The network that the engine runs.
            embedding: How its token states become one vector.
            name: What to call it in messages and reports.
            on_truncate: What to do about texts over the limit: warn, refuse, or say nothing.
        """
        self.name = name
        self.encoder = encoder
        self.embedding = embedding
        self.on_truncate = on_truncate
        self.truncated_texts = 0
        self._engine = engine
        self._tokenizer = tokenizer

    @classmethod
    def open(
        cls,
        bundle: str | Path | Bundle,
        *,
        threads: int | None = None,
        on_truncate: OnTruncate = "warn",
        check_files: bool = True,
    ) -> Embedder:
        """Open a bundle.

        Args:
            bundle: The folder that `minnow convert` wrote.
            threads: CPU threads; by default those of the machine, four at most.
            on_truncate: What to do about texts over the limit: warn, refuse, or say nothing.
            check_files: Compare every file with its hash in the manifest first.

        Raises:
            BundleError: Not a bundle, or a file in it has changed.
            EngineError: The runtime cannot load it.
        """
        bundle = bundle if isinstance(bundle, Bundle) else Bundle.open(bundle)
        if check_files:
            bundle.check_files()
        return cls.from_files(
            bundle.folder,
            bundle.manifest.encoder,
            bundle.manifest.embedding,
            threads=threads,
            on_truncate=on_truncate,
        )

    @classmethod
    def from_files(
        cls,
        folder: Path,
        encoder: EncoderSpec,
        embedding: EmbeddingSpec,
        *,
        threads: int | None = None,
        on_truncate: OnTruncate = "warn",
    ) -> Embedder:
        """Open a folder with encoder.mnn and tokenizer.json that is not sealed, or not yet.

        Raises:
            SourceError: The tokenizer cannot be read.
            EngineError: The runtime cannot load the encoder.
        """
        tokenizer = TextTokenizer(
            folder / "tokenizer.json",
            max_tokens=embedding.max_tokens,
            lowercase=embedding.lowercase,
        )
        engine = MnnEngine(folder / ENCODER, encoder, threads=threads)
        return cls(engine, tokenizer, encoder, embedding, name=folder.name, on_truncate=on_truncate)

    @property
    def width(self) -> int:
        """Length of a vector."""
        return self.encoder.width

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
        show_progress_bar: bool = False,
        truncate_dim: int | None = None,
        normalize_embeddings: bool = False,
        on_truncate: OnTruncate | None = None,
    ) -> Floats:
        """Embed texts as they are, or behind a prompt.

        Args:
            texts: One string, or several.
            prompt_name: One of the model's prompts (`embedding.prompts`) to put before each text.
            prompt: A prompt of your own; wins over `prompt_name`.
            batch_size: Most texts in one forward pass; long texts go in smaller batches.
            show_progress_bar: Show progress on stderr.
            truncate_dim: Keep only the first dimensions of each vector (Matryoshka models).
            normalize_embeddings: Scale the result to length 1, also where the model does not;
                after `truncate_dim`.
            on_truncate: Another choice than the embedder's, for this call.

        Returns:
            float32 of shape (width,) for a string, (texts, width) for several; (0, width) for none.

        Raises:
            InputError: A text is not a string or not valid Unicode, a text is over the limit and
                `on_truncate` is "error", or an argument is out of range. Nothing is half done.
            EngineError: The runtime failed, or gave NaN.
        """
        options = self._options(
            {
                "prompt": prompt,
                "prompt_name": prompt_name,
                "batch_size": batch_size,
                "truncate_dim": truncate_dim,
                "normalize_embeddings": normalize_embeddings,
                "on_truncate": on_truncate,
            }
        )
        if isinstance(texts, bytes):
            raise InputError("texts is bytes, not a string: decode it first.")
        rows = [texts] if isinstance(texts, str) else list(texts)
        with _progress(len(rows), show_progress_bar) as advance:
            vectors = self._embed(rows, options, advance)
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
        rest, start, cut = iter(texts), 0, 0
        while block := list(islice(rest, WINDOW)):
            vectors, over = self._embed_window(block, checked, start)
            start, cut = start + len(block), cut + len(over)
            yield block, vectors
        self._report_cut(cut, start, checked)

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
        """The options with the prompt of a role, unless they choose a prompt themselves."""
        if options.get("prompt") is not None or options.get("prompt_name") is not None:
            return options
        names = QUERY_PROMPT_NAMES if role == "query" else DOCUMENT_PROMPT_NAMES
        name = next((name for name in names if name in self.embedding.prompts), None)
        return {**options, "prompt_name": name}

    def similarity(self, a: Floats, b: Floats) -> Floats:
        """Compare vectors as the model means them to be compared (cosine unless it says so).

        Args:
            a: float32 of shape (rows, width) or (width,).
            b: float32 of shape (others, width) or (width,).

        Returns:
            float32 of shape (rows, others); larger is more alike.
        """
        return similarity(a, b, self.embedding.similarity)

    def encode_batch(self, texts: Sequence[str]) -> Floats:
        """Embed texts in one forward pass, all padded to the longest, in the given order.

        This is for measuring and proving; `encode` makes better batches.

        Args:
            texts: At least one text, without prompts.

        Returns:
            float32 of shape (texts, width).
        """
        return self._forward([text.ids for text in self._tokenizer.tokenize(texts)])

    def token_ids(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids that the encoder is given for each text, special tokens included."""
        return [text.ids for text in self._tokenizer.tokenize(texts)]

    def close(self) -> None:
        """Free the runtime's memory; encoding fails from then on."""
        self._engine.close()

    def __enter__(self) -> Embedder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prompt(self, prompt: str | None, name: str | None) -> str:
        prompts = self.embedding.prompts
        if prompt is not None:
            return prompt
        name = name or self.embedding.default_prompt_name
        if name is None:
            return ""
        if name not in prompts:
            known = ", ".join(prompts) or "none"
            raise InputError(f"{self.name} has no prompt named {name!r}; it has {known}.")
        return prompts[name]

    def _options(self, given: EncodeOptions) -> _Options:
        batch_size, dim = given.get("batch_size", BATCH_SIZE), given.get("truncate_dim")
        policy = given.get("on_truncate") or self.on_truncate
        if batch_size < 1:
            raise InputError(f"batch_size should be at least 1, not {batch_size}.")
        if dim is not None and not 0 < dim <= self.width:
            raise InputError(f"truncate_dim should be 1 to {self.width}, not {dim}.")
        if policy not in ("warn", "error", "ignore"):
            raise InputError(f"on_truncate should be warn, error or ignore, not {policy!r}.")
        return _Options(
            prompt=self._prompt(given.get("prompt"), given.get("prompt_name")),
            batch_size=batch_size,
            truncate_dim=dim,
            normalize=given.get("normalize_embeddings", False),
            on_truncate=policy,
        )

    def _embed(self, texts: list[str], options: _Options, advance: Callable[[int], None]) -> Floats:
        vectors = np.empty((len(texts), options.truncate_dim or self.width), dtype=np.float32)
        cut = 0
        for start in range(0, len(texts), WINDOW):
            window = texts[start : start + WINDOW]
            rows, over = self._embed_window(window, options, start, advance)
            vectors[start : start + len(window)] = rows
            cut += len(over)
        self._report_cut(cut, len(texts), options)
        return vectors

    def _embed_window(
        self,
        texts: list[str],
        options: _Options,
        start: int,
        advance: Callable[[int], None] = lambda _: None,
    ) -> tuple[Floats, list[int]]:
        """Vectors of some texts, and which of them were cut off; `start` is the first's number."""
        prefixed = [options.prompt + t if isinstance(t, str) else t for t in texts]
        rows = self._tokenizer.tokenize(prefixed, first=start)
        cut = [start + i for i, row in enumerate(rows) if row.truncated]
        if cut and options.on_truncate == "error":
            raise InputError(
                f"Text {cut[0]} is longer than {self.max_tokens} tokens, the limit of {self.name}. "
                "Split it into chunks, or allow truncation with on_truncate='warn'."
            )
        vectors = np.empty((len(texts), options.truncate_dim or self.width), dtype=np.float32)
        for batch in _batches([len(row.ids) for row in rows], options.batch_size):
            vectors[batch] = self._finish([rows[i].ids for i in batch], options)
            advance(len(batch))
        return vectors, cut

    def _report_cut(self, cut: int, texts: int, options: _Options) -> None:
        self.truncated_texts += cut
        if cut and options.on_truncate == "warn":
            message = (
                f"{cut} of {texts} texts are longer than {self.max_tokens} tokens, the limit of "
                f"{self.name}; only their beginnings were embedded. Split them into chunks."
            )
            warnings.warn(message, TruncationWarning, stacklevel=4)

    def _finish(self, ids: list[list[int]], options: _Options) -> Floats:
        vectors = self._forward(ids)[:, : options.truncate_dim]
        return normalize(vectors) if options.normalize else vectors

    def _forward(self, ids: list[list[int]]) -> Floats:
        batch = TokenBatch.pad(ids, self.encoder.pad_token_id)
        vectors = pool(self._engine.run(batch), batch.attention_mask, self.embedding.pooling)
        if not np.isfinite(vectors).all():
            raise EngineError(
                f"{self.name} gave NaN or infinity on a batch of shape {batch.shape}."
            )
        return normalize(vectors) if self.embedding.normalize else vectors


def _batches(lengths: list[int], batch_size: int) -> Iterator[NDArray[np.intp]]:
    """Indices of texts to run together: alike in length, the longest first.

    The longest go first so that memory peaks, and fails, early.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.intp), kind="stable")
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        size = max(1, min(batch_size, TOKENS_PER_BATCH // longest))
        yield order[start : start + size]
        start += size


@contextmanager
def _progress(total: int, show: bool) -> Iterator[Callable[[int], None]]:
    if not show:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (*Progress.get_default_columns()[:2], MofNCompleteColumn(), TextColumn("texts"),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("embedding", total=total)
        yield lambda texts: progress.advance(task, texts)
