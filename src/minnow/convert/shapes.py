"""Fixed shapes that a user asks for: read, and checked against the model."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.bundle import shape_name
from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.model.spec import EmbeddingSpec

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


def check_limit(shapes: Sequence[Shape], embedding: EmbeddingSpec) -> None:
    """Compare shapes with the model's limit.

    Raises:
        InputError: A shape is for longer texts than the model reads.
    """
    for shape in shapes:
        if shape[1] > embedding.max_tokens:
            raise InputError(
                f"The shape {shape_name(shape)} is longer than {embedding.max_tokens} tokens, "
                "where this model cuts texts off. Give a shorter one."
            )
