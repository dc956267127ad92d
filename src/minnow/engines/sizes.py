"""The size of a batch, checked before a runtime takes its memory or reaches a limit of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.errors import BatchSizeError
from minnow.resources import require_memory

if TYPE_CHECKING:
    from minnow.model.spec import EncoderSpec

MOST_SCORES = 2**29
"""Numbers of a tensor from which on MNN addresses memory that is not its own (2 GiB of float32)."""
_UNCHECKED = 2**27
"""Bytes below which a batch is not compared with the memory that is left."""
_KEYS_IN_BLOCKS = 256
_ADVICE = "Give fewer or shorter texts, or a smaller limit (`max_tokens=`)."


def count_scores(shape: tuple[int, int], spec: EncoderSpec, *, heads_apart: bool) -> int:
    """Count the attention scores of a batch that are one tensor.

    Args:
        shape: Its (batch, tokens).
        spec: The network.
        heads_apart: Whether its graph computes one head at a time; see `minnow.graph.long`.
    """
    batch, tokens = shape
    return batch * tokens**2 * (1 if heads_apart else spec.heads)


def batch_memory(shape: tuple[int, int], spec: EncoderSpec, *, heads_apart: bool) -> int:
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


def check_scores(shape: tuple[int, int], spec: EncoderSpec, *, heads_apart: bool) -> None:
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


def check_room(shape: tuple[int, int], spec: EncoderSpec, *, heads_apart: bool) -> None:
    """Refuse a batch for which there is no memory.

    Raises:
        BatchSizeError: The estimate is above the memory that this process may still take.
    """
    needed = batch_memory(shape, spec, heads_apart=heads_apart)
    if needed >= _UNCHECKED:
        require_memory(needed, _named(shape), _ADVICE, BatchSizeError)


def _named(shape: tuple[int, int]) -> str:
    texts = f"{shape[0]} texts" if shape[0] > 1 else "one text"
    return f"A batch of {texts} padded to {shape[1]} tokens"
