"""Pipeline from texts to vectors: tokenise, batch by length, run, pool, normalise."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from minnow.engines import Engine, TokenBatch
from minnow.engines.base import batches_by_length
from minnow.engines.lanes import run_batches
from minnow.errors import BatchSizeError, EngineError, InputError
from minnow.model.spec import EmbeddingSpec, EncoderSpec, Interface
from minnow.model.tokenizer import TokenizedText
from minnow.records import replace
from minnow.vectors import normalize, pool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from minnow.options import Options


Floats = NDArray[np.float32]
T = TypeVar("T")
Text = TypeVar("Text", str, tuple[str, str])
"""A text, or a pair of a query and a document."""
Given = TypeVar("Given", str, tuple[str, str], contravariant=True)

_EMPTY = "is empty, and this model adds no token of its own"
WINDOW = 4096
"""Texts in a block: enough to batch many of one length, few enough for flat memory."""


class Tokenizes(Protocol[Given]):
    """A tokenizer with a limit, of texts or of pairs."""

    def tokenize(
        self, texts: Sequence[Given], *, first: int = 0, prompt: str = ""
    ) -> list[TokenizedText]:
        """Tokenise texts behind a prompt; the first has the number `first` in messages."""
        ...

    def prompt_tokens(self, prompt: str) -> int:
        """Count the tokens of a prompt that a pooling leaves out."""
        ...


class RowOutcomes(Struct, frozen=True):
    """The result of embedding texts one by one, as far as that is possible.

    Attributes:
        vectors: float32 of shape (texts, width); zeros where a text has none.
        truncated: Whether each text was cut off; bool of shape (texts,).
        faults: Why a text has no vector, by its number.
    """

    vectors: Floats
    truncated: NDArray[np.bool_]
    faults: dict[int, str]


class Pipeline(Struct, Generic[Text], frozen=True):
    """The steps between texts and vectors, or between pairs of texts and logits.

    Attributes:
        engine: Ids in, token states or vectors out.
        tokenizer: Texts in, ids out.
        encoder: The network that the engine runs.
        embedding: How its token states become one vector; where the engine gives vectors, how it
            has made them.
        name: Its name in messages.
    """

    engine: Engine
    tokenizer: Tokenizes[Text]
    encoder: EncoderSpec
    embedding: EmbeddingSpec
    name: str

    @property
    def width(self) -> int:
        """Length of a vector, or the number of logits."""
        return self.embedding.head.width(self.encoder.width)

    def stream(
        self, texts: Iterable[Text], options: Options, advance: Callable[[int], None]
    ) -> Iterator[tuple[list[Text], Floats, int]]:
        """Embed texts block by block; a thread tokenises the next block meanwhile.

        Args:
            texts: Read one block ahead; an error of reading is raised after the block before.
            options: Checked options.
            advance: Receives the number of texts of each finished batch.

        Yields:
            The texts, their vectors (float32 of shape (texts, width)), and how many were cut off.

        Raises:
            InputError: A text is not valid, is empty where the model adds no token, or is over
                the limit where the options refuse that; the message has its number.
            EngineError: The runtime failed, or gave NaN.
        """
        rest, start = iter(texts), 0
        block = list(islice(rest, WINDOW))
        rows = self._tokenize(block, options, start)
        while block:
            following, fault = _read(rest) if len(block) == WINDOW else ([], None)
            start += len(block)
            with _in_thread(
                partial(self._tokenize, following, options, start), following
            ) as tokens:
                vectors = self._embed(rows, options, advance, start - len(block))
            yield block, vectors, sum(row.truncated for row in rows)
            if fault is not None:
                raise fault
            block, rows = following, tokens() if following else []

    def embed_each(self, texts: Sequence[Text], options: Options) -> RowOutcomes:
        """Embed texts of which some may be impossible: such a text costs only itself.

        Texts over the limit are cut off, whatever the options say.

        Args:
            texts: Strings, or pairs of them; a block of at most WINDOW keeps memory flat.
            options: Checked options.

        Raises:
            EngineError: The runtime failed on every one of several texts, so that not they are the
                reason.
        """
        rows, faults = self._tokens_each(texts, options.prompt)
        sound = [i for i in range(len(rows)) if i not in faults]
        vectors = np.zeros((len(rows), options.width), np.float32)
        numbers = batches_by_length([len(rows[i]) for i in sound], options.batch_size)
        batches = [[sound[i] for i in batch] for batch in numbers]
        chosen = [[rows[i] for i in batch] for batch in batches]
        errors: list[EngineError] = []
        for n, found in run_batches(self.engine, chosen, self._forward_each):
            for i, vector in zip(batches[n], found, strict=True):
                if isinstance(vector, EngineError):
                    faults[i] = str(vector)
                    errors.append(vector)
                else:
                    vectors[i] = vector[: options.width]
        if len(errors) == len(sound) > 1:
            raise errors[0]
        truncated = np.fromiter((row.truncated for row in rows), np.bool_, len(rows))
        return RowOutcomes(normalize(vectors) if options.normalize else vectors, truncated, faults)

    def _tokens_each(
        self, texts: Sequence[Text], prompt: str
    ) -> tuple[list[TokenizedText], dict[int, str]]:
        """Tokenise texts; return the rows, and why some of them are none."""
        faults = {}
        try:
            rows = self.tokens(texts, prompt)
        except InputError:
            rows = []
            for i, text in enumerate(texts):
                try:
                    rows += self.tokens([text], prompt, first=i)
                except InputError as error:
                    rows.append(TokenizedText([], truncated=False, count=0))
                    faults[i] = str(error)
        rows = self._with_a_token(rows)
        empty = (i for i, row in enumerate(rows) if len(row) <= row.left_out)
        return rows, dict.fromkeys(empty, f"The text {_EMPTY}.") | faults

    def _forward_each(
        self, engine: Engine, rows: Sequence[TokenizedText]
    ) -> Sequence[Floats | EngineError]:
        """Run a batch; where that fails, run each row alone, and return its error if it fails."""
        try:
            return list(self.forward(engine, rows))
        except EngineError as error:
            if len(rows) == 1:
                return [error]
        return [found for row in rows for found in self._forward_each(engine, [row])]

    def tokens(
        self, texts: Sequence[Text], prompt: str = "", *, first: int = 0
    ) -> list[TokenizedText]:
        """Tokenise texts behind a prompt; say which tokens of it the model's pooling leaves out.

        Args:
            texts: Any strings, or pairs of them.
            prompt: Text to put before each.
            first: Number of the first text in messages.

        Raises:
            InputError: A text is not a string; the message names it.
        """
        rows = self.tokenizer.tokenize(texts, first=first, prompt=prompt)
        if self.embedding.include_prompt or not prompt:
            return rows
        count = self.tokenizer.prompt_tokens(prompt)
        return [replace(row, left_out=min(count, len(row))) for row in rows]

    def forward(self, engine: Engine, rows: Sequence[TokenizedText]) -> Floats:
        """Run the whole model on a batch: float32 of shape (texts, width).

        A batch that is too large is divided until its parts fit.

        Args:
            engine: The engine of the pipeline, or a lane of it.
            rows: At least one text or pair.

        Raises:
            BatchSizeError: A text alone is too long for the runtime, or for the memory left.
            EngineError: The runtime failed, or gave NaN.
        """
        try:
            return self._forward(engine, rows)
        except BatchSizeError:
            half = len(rows) // 2
            if not half:
                raise
            parts = (rows[:half], rows[half:])
            return np.concatenate([self.forward(engine, part) for part in parts])

    def token_states(
        self, texts: Sequence[Text], options: Options, advance: Callable[[int], None]
    ) -> tuple[list[Floats], int]:
        """Compute the states of each text's tokens, special tokens and prompt included.

        Args:
            texts: Any number of them; all states are held in memory.
            options: Checked options.
            advance: Receives the number of texts of each finished batch.

        Returns:
            For each text float32 of shape (tokens, width); and how many texts were cut off.

        Raises:
            InputError: The engine gives vectors; or as `stream`.
            EngineError: The runtime failed.
        """
        if self.engine.interface is not Interface.LAST_HIDDEN_STATE:
            raise InputError(
                f"output_value='token_embeddings' is not possible here: the encoder of {self.name} "
                f"gives {self.engine.interface.value}. Convert the model with "
                "`interface=last_hidden_state`."
            )
        rows = self._tokenize(list(texts), options, 0)
        found: list[Floats] = [np.empty(0, np.float32)] * len(rows)
        batches = list(batches_by_length([len(row) for row in rows], options.batch_size))

        def run(engine: Engine, batch: NDArray[np.intp]) -> Floats:
            return engine.run(
                TokenBatch.pad([rows[i].ids for i in batch], self.encoder.pad_token_id)
            )

        for n, states in run_batches(self.engine, batches, run):
            for i, row in zip(batches[n], states, strict=True):
                found[i] = row[: len(rows[i])].copy()
            advance(len(states))
        return found, sum(row.truncated for row in rows)

    def _forward(self, engine: Engine, rows: Sequence[TokenizedText]) -> Floats:
        batch = TokenBatch.pad(
            [row.ids for row in rows],
            self.encoder.pad_token_id,
            [row.left_out for row in rows],
            [row.types for row in rows],
        )
        vectors, pooled = engine.run(batch), engine.interface.per_text
        if not pooled:
            with np.errstate(invalid="ignore", over="ignore"):
                vectors = pool(vectors, batch.attention_mask, self.embedding.pooling)
        if not np.isfinite(vectors).all():
            raise EngineError(
                f"{self.name} gave NaN or infinity on a batch of shape {batch.shape}."
            )
        if not pooled:
            vectors = normalize(vectors) if self.embedding.normalize else vectors
            vectors = vectors[:, : self.embedding.truncate_dim]
        return vectors

    def _tokenize(self, texts: list[Text], options: Options, start: int) -> list[TokenizedText]:
        """Tokenise texts, of which the first has the number `start` in the stream."""
        rows = self.tokens(texts, options.prompt, first=start)
        if options.on_truncate == "error":
            cut = next((start + i for i, row in enumerate(rows) if row.truncated), None)
            if cut is not None:
                text = texts[cut - start]
                start_of_it, unit = (text, "Text") if isinstance(text, str) else (text[1], "Pair")
                raise InputError(
                    f"{unit} {cut} is longer than {self.embedding.max_tokens} tokens, the limit of "
                    f"{self.name}; it begins {start_of_it[:60]!r}. Split it into "
                    "chunks, or allow truncation with on_truncate='warn'."
                )
        rows = self._with_a_token(rows)
        empty = next((start + i for i, row in enumerate(rows) if len(row) <= row.left_out), None)
        if empty is not None:
            raise InputError(f"Text {empty} {_EMPTY}.")
        return rows

    def _with_a_token(self, rows: list[TokenizedText]) -> list[TokenizedText]:
        """Give a text without a token, where pooling leaves some out, one of those."""
        if not self.embedding.unpooled_ids:
            return rows
        left_out = [self.embedding.unpooled_ids[0]]
        return [row if row.ids else replace(row, ids=left_out) for row in rows]

    def _embed(
        self,
        rows: list[TokenizedText],
        options: Options,
        advance: Callable[[int], None],
        start: int,
    ) -> Floats:
        """Embed a block of texts, of which the first has the number `start` in the stream."""
        vectors = np.empty((len(rows), options.width), dtype=np.float32)
        batches = list(batches_by_length([len(row) for row in rows], options.batch_size))
        chosen = [[rows[i] for i in batch] for batch in batches]
        try:
            for n, found in run_batches(self.engine, chosen, self.forward):
                part = found[:, : options.width]
                vectors[batches[n]] = normalize(part) if options.normalize else part
                advance(len(part))
        except BatchSizeError as error:
            longest = max(range(len(rows)), key=lambda i: len(rows[i].ids))
            raise BatchSizeError(
                f"Text {start + longest} of {len(rows[longest].ids)} tokens is too long for "
                f"{self.name} here. {error}"
            ) from error
        return vectors


@contextmanager
def _in_thread(work: Callable[[], T], needed: object) -> Iterator[Callable[[], T]]:
    """Run a function in a thread, if needed; yield a function that returns its result, or raises.

    The thread ends with the block, so that a forked child never waits for it.
    """
    if not needed:
        yield work
        return
    with ThreadPoolExecutor(1, thread_name_prefix="minnow-tokenizer") as thread:
        yield thread.submit(work).result


def _read(texts: Iterator[Text]) -> tuple[list[Text], Exception | None]:
    """Read the next block; return it, or the error."""
    try:
        return list(islice(texts, WINDOW)), None
    except Exception as error:  # of the caller's iterable; `stream` raises it
        return [], error
