"""The size of a batch, checked before a runtime takes its memory or reaches a limit of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from minnow.errors import BatchSizeError
from minnow.resources import free_memory, require_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MOST_SCORES = 2**29
"""Numbers of a tensor from which on MNN addresses memory that is not its own (2 GiB of float32)."""
_UNCHECKED = 2**27
"""Bytes below which a batch is not compared with the memory that is left."""
_KEYS_IN_BLOCKS = 256
_TOKENS_AROUND = 8
"""More special tokens than any model puts around a text."""
_ADVICE = "Give fewer or shorter texts, or a smaller limit (`max_tokens=`)."


class Sizes(Protocol):
    """The sizes of a network that the memory of its forward pass depends on."""

    @property
    def width(self) -> int:
        """Length of a token state."""

    @property
    def inner_width(self) -> int:
        """Units of a feed-forward part."""

    @property
    def heads(self) -> int:
        """Heads whose scores are held at once."""


class NetworkSizes(Struct, frozen=True):
    """These sizes of a network that only another library describes."""

    width: int
    inner_width: int
    heads: int


def count_scores(shape: tuple[int, int], spec: Sizes, *, heads_apart: bool) -> int:
    """Count the attention scores of a batch that are one tensor.

    Args:
        shape: Its (batch, tokens).
        spec: The network.
        heads_apart: Whether its graph computes one head at a time; see `minnow.graph.long`.
    """
    batch, tokens = shape
    return batch * tokens**2 * (1 if heads_apart else spec.heads)


def batch_memory(shape: tuple[int, int], spec: Sizes, *, heads_apart: bool) -> int:
    """Estimate the bytes of float32 that a forward pass takes beside the weights.

    By measurement, all heads' scores and their masks are held three times, and those of one head
    and of windows in blocks twice: before and after the softmax. Of the states of tokens, about six
    are held at once, and three times the feed-forward part's units.
    """
    tokens = shape[0] * shape[1]
    scores = count_scores(shape, spec, heads_apart=heads_apart)
    in_blocks = tokens * spec.heads * min(shape[1], _KEYS_IN_BLOCKS)
    attended = 2 * max(scores, in_blocks) if heads_apart else 3 * scores
    states = tokens * (6 * spec.width + 3 * spec.inner_width)
    return 4 * (attended + states)


def check_scores(shape: tuple[int, int], spec: Sizes, *, heads_apart: bool) -> None:
    """Refuse a batch for which MNN would end the process.

    Raises:
        BatchSizeError: It has too many attention scores.
    """
    scores = count_scores(shape, spec, heads_apart=heads_apart)
    if scores >= MOST_SCORES:
        raise BatchSizeError(
            f"{_named(shape)} has {scores} attention scores, and MNN computes fewer than "
            f"{MOST_SCORES}. {_ADVICE}"
        )


def check_room(shape: tuple[int, int], spec: Sizes, *, heads_apart: bool) -> None:
    """Refuse a batch for which there is no memory.

    Raises:
        BatchSizeError: The estimate is above the memory that this process may still take.
    """
    needed = batch_memory(shape, spec, heads_apart=heads_apart)
    if needed >= _UNCHECKED:
        require_memory(needed, _named(shape), _ADVICE, BatchSizeError)


def fit_texts(
    texts: Sequence[str],
    batch_size: int,
    spec: Sizes,
    token_ids: Callable[[Sequence[str]], Sequence[Sequence[int]]],
) -> int:
    """Return a batch size for which there is memory, for a library that divides texts itself.

    Args:
        texts: All texts of a call, at least one.
        batch_size: Texts of a batch where memory allows it.
        spec: The network, of which all scores are held at once.
        token_ids: Returns the ids of each text, cut to the model's limit. It is only called where
            a token for each byte would not fit.

    Raises:
        BatchSizeError: Not even the longest text fits alone.
    """
    batch, free = min(batch_size, len(texts)), free_memory()
    room = _UNCHECKED if free is None else max(_UNCHECKED, free.size)
    most = max(len(text.encode()) for text in texts) + _TOKENS_AROUND
    if free is None or batch * batch_memory((1, most), spec, heads_apart=False) < room:
        return batch_size
    longest = max(map(len, token_ids(texts)))
    check_room((1, longest), spec, heads_apart=False)
    return min(batch_size, max(1, room // batch_memory((1, longest), spec, heads_apart=False)))


def _named(shape: tuple[int, int]) -> str:
    texts = f"{shape[0]} texts" if shape[0] > 1 else "one text"
    return f"A batch of {texts} padded to {shape[1]} tokens"
