"""Protocols of the engines, the batch that token engines run, and checks that they share."""

from __future__ import annotations

import os
import platform
from enum import Enum
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from minnow.errors import EngineError, InputError
from minnow.model.head import POOLING_MASK
from minnow.model.spec import Interface

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from minnow.model.spec import EncoderSpec
    from minnow.vectors import Similarity


TOKENS_PER_BATCH = 1024
BATCHES_PER_LANE = 2
"""With fewer batches, all threads on one batch after the other finish sooner."""
MANY_BATCHES = 10_000
"""More batches than any engine has lanes: `lanes` then returns all of them."""

ENCODER_INPUTS = frozenset({"input_ids", "attention_mask", "token_type_ids", POOLING_MASK})

MemoryName = Literal["normal", "low", "high"]
PrecisionName = Literal["normal", "low", "high"]
BackendName = Literal["cpu", "metal", "cuda", "opencl", "vulkan", "best"]


class MemoryMode(str, Enum):
    """MNN's use of RAM; see `MnnEngine`."""

    NORMAL = "normal"
    LOW = "low"
    HIGH = "high"


class Mode(Struct, frozen=True):
    """Way in which MNN computes.

    Attributes:
        backend: The processor that computes; the others than "cpu" are there only where MNN was
            built with them.
        precision: "low" computes in half precision where the CPU can; a GPU computes in half
            precision unless this is "high".
        memory: See `MnnEngine`.
    """

    backend: str = "cpu"
    precision: str = "normal"
    memory: str = "normal"

    def __str__(self) -> str:
        """Describe it: `cpu, precision low, memory normal`."""
        return f"{self.backend}, precision {self.precision}, memory {self.memory}"


class TokenBatch(Struct, frozen=True):
    """Token ids of several texts, padded on the right to the longest.

    Attributes:
        input_ids: int32 of shape (batch, tokens).
        attention_mask: 1 for a token, 0 for padding; int32 of the same shape.
        token_type_ids: All 0 for single texts; those of pairs may have others. int32 of the same
            shape.
        pooled: The attention mask, but 0 for tokens of a prompt that pooling leaves out; None
            where it leaves none out.
    """

    input_ids: NDArray[np.int32]
    attention_mask: NDArray[np.int32]
    token_type_ids: NDArray[np.int32]
    pooled: NDArray[np.int32] | None = None

    @classmethod
    def pad(
        cls,
        rows: Sequence[Sequence[int]],
        pad_token_id: int,
        left_out: Sequence[int] = (),
        types: Sequence[Sequence[int]] = (),
    ) -> TokenBatch:
        """Make a batch of rows of ids.

        Args:
            rows: At least one row; each holds at least one id.
            pad_token_id: The id that fills up shorter rows.
            left_out: How many of each row's first tokens pooling leaves out; by default none.
            types: The token types of each row; an empty one is all 0, and so is padding.
        """
        longest = max(len(row) for row in rows)
        ids = np.full((len(rows), longest), pad_token_id, dtype=np.int32)
        mask = np.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = row
            mask[i, : len(row)] = 1
        segments = np.zeros_like(ids)
        for i, kinds in enumerate(types):
            segments[i, : len(kinds)] = kinds
        pooled = mask.copy()
        for i, count in enumerate(left_out):
            pooled[i, :count] = 0
        return cls(ids, mask, segments, pooled if any(left_out) else None)

    def filled(self, shape: tuple[int, int], pad_token_id: int) -> TokenBatch:
        """Return a batch of exactly a shape, with the first row again where rows are missing.

        Args:
            shape: (batch, tokens), each at least that of this batch.
            pad_token_id: The id that fills up rows.
        """
        rows, tokens = self.shape
        order = [*range(rows), *[0] * (shape[0] - rows)]
        room = ((0, 0), (0, shape[1] - tokens))
        ids = np.pad(self.input_ids[order], room, constant_values=pad_token_id)
        masks = (self.attention_mask, self.token_type_ids, self.pooling_mask)
        return TokenBatch(ids, *(np.pad(mask[order], room) for mask in masks))

    @property
    def pooling_mask(self) -> NDArray[np.int32]:
        """1 for a token that is pooled; int32 of the shape."""
        return self.attention_mask if self.pooled is None else self.pooled

    @property
    def shape(self) -> tuple[int, int]:
        """(batch, tokens)."""
        batch, tokens = self.input_ids.shape
        return batch, tokens


def batches_by_length(lengths: Sequence[int], batch_size: int) -> Iterator[NDArray[np.intp]]:
    """Yield indices of texts to run together: similar in length, the longest first.

    The longest come first so that memory peaks, and fails, early.

    Args:
        lengths: Tokens of each text; at least 1.
        batch_size: Most texts in a batch; long ones go in smaller batches, see TOKENS_PER_BATCH.
    """
    order = np.argsort(-np.asarray(lengths, dtype=np.intp), kind="stable")
    start = 0
    while start < len(order):
        longest = lengths[order[start]]
        size = max(1, min(batch_size, TOKENS_PER_BATCH // longest))
        yield order[start : start + size]
        start += size


class Engine(Protocol):
    """A token engine: ids in, token states out, or vectors. Safe to call from several threads."""

    name: str
    interface: Interface

    def run(self, batch: TokenBatch) -> NDArray[np.float32]:
        """Run one forward pass: float32 of the shape that `output_shape` gives for its interface.

        Raises:
            EngineError: The batch does not fit the model, or the runtime failed.
        """
        ...

    def lanes(self, batches: int) -> Sequence[Engine]:
        """Return engines for a number of batches, to run side by side in threads of the caller.

        Together they use the threads that `run` uses alone. Where batches are too few, or the
        runtime gains nothing by it, the engine itself is the only one. Closing the engine closes
        its lanes.

        Raises:
            EngineError: The engine is closed.
        """
        ...

    def close(self) -> None:
        """Free the runtime's memory; `run` fails from then on."""
        ...


class TextEmbedder(Protocol):
    """A text engine: it tokenises and pools texts itself."""

    name: str

    @property
    def similarity_kind(self) -> Similarity:
        """The similarity that the model's vectors are made for."""
        ...

    def encode_query(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed questions: float32 of shape (texts, width), in the order of the texts.

        Raises:
            InputError: A text is not a string, or not valid Unicode.
            EngineError: The runtime failed, or the engine is closed.
        """
        ...

    def encode_document(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed passages; see `encode_query`."""
        ...

    def close(self) -> None:
        """Free the runtime's memory; encoding fails from then on."""
        ...


def check_threads(threads: int | None) -> None:
    """Check a number of threads.

    Raises:
        EngineError: It is below 1.
    """
    if threads is not None and threads < 1:
        raise EngineError(f"threads should be at least 1, not {threads}.")


def check_memory(memory: str) -> MemoryMode:
    """Return the mode of this name.

    Raises:
        InputError: There is none.
    """
    try:
        return MemoryMode(memory)
    except ValueError:
        modes = ", ".join(mode.value for mode in MemoryMode)
        raise InputError(f"memory should be {modes}, not {memory!r}.") from None


def check_word(name: str, value: str, words: Sequence[str]) -> None:
    """Check that an option has one of its words.

    Raises:
        InputError: It has not.
    """
    if value not in words:
        raise InputError(f"{name} should be {', '.join(words)}, not {value!r:.60}.")


def processor() -> str:
    """Return the kind of this machine's processor: aarch64, x86_64 or another."""
    machine = platform.machine()
    return {"arm64": "aarch64", "AMD64": "x86_64"}.get(machine, machine)


def usable_cpus() -> int:
    """Return the number of CPUs that this process may use."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return usable or 1


def default_threads() -> int:
    """Return `usable_cpus`, four at most: more threads slow down short texts."""
    return min(4, usable_cpus())


def check_batch(batch: TokenBatch, spec: EncoderSpec) -> None:
    """Refuse a batch that a runtime would silently compute nonsense for.

    Raises:
        EngineError: Shapes differ, values are not integers, a row is empty or too long, padding
            is not on the right, or an id is outside of its table.
    """
    arrays = (batch.input_ids, batch.attention_mask, batch.token_type_ids)
    shapes = [array.shape for array in arrays]
    if len(set(shapes)) != 1 or len(shapes[0]) != 2 or 0 in shapes[0]:
        raise EngineError(
            f"A batch is three arrays of one shape (batch, tokens), none of it 0; not {shapes}."
        )
    if not all(np.issubdtype(array.dtype, np.integer) for array in arrays):
        raise EngineError(f"A batch holds integers, not {[str(a.dtype) for a in arrays]}.")
    if batch.shape[1] > spec.max_positions:
        raise EngineError(
            f"The batch is {batch.shape[1]} tokens long; the model has {spec.max_positions} "
            "positions."
        )
    low, high = int(batch.input_ids.min()), int(batch.input_ids.max())
    if low < 0 or high >= spec.vocab_size:
        raise EngineError(
            f"Token id {low if low < 0 else high} is outside of the word table of "
            f"{spec.vocab_size} rows: this tokenizer does not belong to this model."
        )
    types = batch.token_type_ids
    if types.min() < 0 or types.max() >= max(1, spec.token_types):
        raise EngineError(f"The model has {spec.token_types} token types, all ids 0 for one text.")
    mask = batch.attention_mask
    real = mask == 1
    if not (real | (mask == 0)).all() or not real[:, 0].all() or (real[:, 1:] > real[:, :-1]).any():
        raise EngineError("Each row of a batch is at least one token, then padding.")
    pooled = batch.pooled
    if pooled is None:
        return
    if pooled.shape != mask.shape or not ((pooled == 0) | ((pooled == 1) & real)).all():
        raise EngineError("Pooling takes tokens of the batch only.")
    if not pooled.any(axis=1).all():
        raise EngineError("Pooling takes at least one token of each row.")


def output_rank(interface: Interface) -> int:
    """Return the number of axes of an output: 2 of vectors, 3 of token states."""
    return 2 if interface.per_text else 3


def output_shape(
    batch: TokenBatch, spec: EncoderSpec, interface: Interface, width: int | None = None
) -> tuple[int, ...]:
    """Return (batch, tokens, width) for token states, (batch, width) for vectors.

    The `width` given is that of vectors; it is that of token states if None.
    """
    if interface.per_text:
        return batch.shape[0], width or spec.width
    return *batch.shape, spec.width


def check_output(
    found: NDArray[np.float32],
    batch: TokenBatch,
    spec: EncoderSpec,
    interface: Interface = Interface.LAST_HIDDEN_STATE,
    width: int | None = None,
) -> None:
    """Check the shape of an output.

    Raises:
        EngineError: The shape is not that of `output_shape`.
    """
    expected = output_shape(batch, spec, interface, width)
    if found.shape != expected:
        raise EngineError(
            f"The encoder gave {interface.value} of shape {found.shape}, not {expected}."
        )


def model_name(model: Path | bytes) -> str:
    """Return the name of a model for messages: its path, or that it was never a file."""
    return "the rebuilt graph" if isinstance(model, bytes) else str(model)


def one_line(error: Exception) -> str:
    """Return a runtime's message without its line breaks."""
    return " ".join(str(error).split())
