"""Fixed shapes that a user asks for: read, and checked against the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.engines.sizes import check_scores
from minnow.errors import BatchSizeError, InputError
from minnow.manifest import shape_name
from minnow.model.spec import LONG

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.model.spec import EmbeddingSpec, EncoderSpec

    Shape = tuple[int, int]


def parse_shapes(text: str) -> list[Shape]:
    """Parse shapes of batch and tokens: `1x32,1x128` is [(1, 32), (1, 128)].

    Raises:
        InputError: The text is something else.
    """
    return [_parse(part) for part in text.split(",")]


def _parse(part: str) -> Shape:
    numbers = part.strip().split("x")
    if len(numbers) != 2 or not all(n.isascii() and n.isdigit() and len(n) < 10 for n in numbers):
        raise InputError(
            f"{part!r} is not a shape. Give batch and tokens, as 1x32; several with commas."
        )
    return int(numbers[0]), int(numbers[1])


def check_shapes(shapes: Sequence[Shape]) -> None:
    """Check what can be checked before a model is read.

    Raises:
        InputError: A shape is repeated, or holds nothing.
    """
    for number, shape in enumerate(shapes):
        if min(shape) < 1:
            raise InputError(f"The shape {shape_name(shape)} holds nothing; the least is 1x1.")
        if shape in shapes[:number]:
            raise InputError(f"The shape {shape_name(shape)} is given twice. Give it once.")


def check_limit(
    shapes: Sequence[Shape], encoder: EncoderSpec, embedding: EmbeddingSpec, *, whole: bool = False
) -> None:
    """Compare the model's limit, and shapes, with what MNN computes; and shapes with the limit.

    Args:
        shapes: Shapes of encoders.
        encoder: The network.
        embedding: Its limit.
        whole: Whether the graph computes all heads at once at any limit, as an author's does.

    Raises:
        InputError: A text at the limit is too long for MNN, a shape is for longer texts than the
            model reads, or is too large for MNN.
    """
    try:
        apart = embedding.is_long and not whole
        check_scores((1, embedding.max_tokens), encoder, heads_apart=apart)
        for shape in shapes:
            check_scores(shape, encoder, heads_apart=shape[1] >= LONG)
    except BatchSizeError as error:
        raise InputError(str(error)) from error
    for shape in shapes:
        if shape[1] > embedding.max_tokens:
            raise InputError(
                f"The shape {shape_name(shape)} is longer than {embedding.max_tokens} tokens, "
                "where this model cuts texts off. Give a shorter one."
            )
