"""Forms in which `encode` returns vectors: arrays or tensors, in float32 or quantised."""

from __future__ import annotations

import sys
import warnings
from enum import Enum
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from minnow.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Floats = NDArray[np.float32]

_FEW = 100
"""Vectors below which ranges that are computed from them say little of other texts."""


class VectorPrecision(str, Enum):
    """The type of a vector's numbers; those of `quantize_embeddings` in sentence-transformers.

    INT8 and UINT8 have one of 256 steps between the least and the largest value of each dimension.
    BINARY and UBINARY have the sign of each dimension, eight of them in a byte.
    """

    FLOAT32 = "float32"
    INT8 = "int8"
    UINT8 = "uint8"
    BINARY = "binary"
    UBINARY = "ubinary"

    @property
    def needs_ranges(self) -> bool:
        """Whether the least and the largest value of each dimension have to be known."""
        return self in (VectorPrecision.INT8, VectorPrecision.UINT8)


class OutputForm(Struct, frozen=True):
    """The form of what one call returns.

    Attributes:
        per_token: Return the states of each text's tokens instead of its vector.
        tensors: Return tensors of torch instead of arrays.
        apart: Return a list with one tensor for each text.
        precision: The type of the numbers.
        ranges: The least and the largest value of each dimension, of shape (2, width).
    """

    per_token: bool = False
    tensors: bool = False
    apart: bool = False
    precision: VectorPrecision = VectorPrecision.FLOAT32
    ranges: NDArray[np.floating] | None = None

    @classmethod
    def check(cls, given: Mapping[str, object], width: int) -> OutputForm:
        """Check the arguments of a call that decide the form.

        Raises:
            InputError: There is no such value or precision, or they contradict each other.
        """
        value = given.get("output_value", "sentence_embedding")
        if value not in ("sentence_embedding", "token_embeddings"):
            raise InputError(
                f"output_value={value!r:.60} is not possible here: take 'sentence_embedding' or "
                "'token_embeddings'."
            )
        name = given.get("precision")
        try:
            precision = VectorPrecision("float32" if name is None else name)
        except ValueError:
            names = ", ".join(each.value for each in VectorPrecision)
            raise InputError(f"precision should be {names}, not {name!r:.60}.") from None
        per_token, tensors = value == "token_embeddings", bool(given.get("convert_to_tensor"))
        apart = not tensors and not given.get("convert_to_numpy", True)
        if per_token and precision is not VectorPrecision.FLOAT32:
            raise InputError(
                f"precision={precision.value!r} is not possible for token embeddings: quantise "
                "each with minnow.outputs.quantize_embeddings and ranges."
            )
        ranges = _check_ranges(given.get("ranges"), precision, width)
        return cls(per_token, tensors or apart, apart, precision, ranges)

    def of_vectors(self, vectors: Floats) -> Any:
        """Convert vectors of shape (texts, width).

        Raises:
            InputError: They are to be quantised by ranges, which one vector does not have.
            MissingExtraError: torch is not installed.
        """
        found: NDArray[Any] = vectors
        if self.precision is not VectorPrecision.FLOAT32:
            found = quantize_embeddings(vectors, self.precision, self.ranges)
        if not self.tensors:
            return found
        tensor = as_tensor(found)
        return list(tensor) if self.apart else tensor

    def of_states(self, states: Sequence[Floats]) -> list[Any]:
        """Convert the token states of each text, of shape (tokens, width)."""
        return [as_tensor(each) if self.tensors else each for each in states]


def quantize_embeddings(
    embeddings: object,
    precision: VectorPrecision | str,
    ranges: NDArray[np.floating] | None = None,
    calibration_embeddings: NDArray[np.floating] | None = None,
) -> NDArray[Any]:
    """Quantise vectors, as the function of this name in sentence-transformers 6.2 does.

    Vectors of int8 and uint8 can be compared only if they were quantised with the same ranges.

    Args:
        embeddings: Floats of shape (texts, width), as an array, a tensor or a list.
        precision: The type of the numbers to return.
        ranges: For int8 and uint8, the least and the largest value of each dimension, of shape
            (2, width).
        calibration_embeddings: Vectors to compute the ranges from, where they are not given; by
            default those that are quantised.

    Returns:
        float32, int8 or uint8 of shape (texts, width); "binary" gives int8 and "ubinary" uint8 of
        shape (texts, width / 8, rounded up).

    Raises:
        InputError: The numbers are integers already, there is no such precision, or ranges are to
            be computed from one vector.
    """
    vectors, precision = as_numbers(embeddings), VectorPrecision(precision)
    if not np.issubdtype(vectors.dtype, np.floating):
        raise InputError(f"Vectors of {vectors.dtype} are quantised already; give those of floats.")
    if precision is VectorPrecision.FLOAT32:
        return vectors.astype(np.float32)
    if not precision.needs_ranges:
        signs = np.packbits(vectors > 0, axis=-1)
        if precision is VectorPrecision.UBINARY:
            return signs
        return (signs.astype(np.int16) - 128).astype(np.int8)
    unsigned = precision is VectorPrecision.UINT8
    if not len(vectors):
        return vectors.astype(np.uint8 if unsigned else np.int8)
    if ranges is None:
        if calibration_embeddings is None:
            _check_enough(vectors, precision)
        known = vectors if calibration_embeddings is None else as_numbers(calibration_embeddings)
        ranges = np.stack([known.min(axis=0), known.max(axis=0)])
    low, high = ranges.astype(np.float32, copy=False)
    steps = (high - low) / 255
    steps = np.where(steps == 0, 1, steps)
    levels: Floats = np.clip(np.floor((vectors - low) / steps), 0, 255)
    return levels.astype(np.uint8) if unsigned else (levels - 128).astype(np.int8)


def _check_enough(vectors: NDArray[np.floating], precision: VectorPrecision) -> None:
    """Refuse to compute ranges from one vector, and warn of few."""
    if vectors.ndim == 1 or len(vectors) == 1:
        raise InputError(
            f"precision={precision.value!r} needs the range of each dimension, which one vector "
            "does not have. Give ranges, of shape (2, width)."
        )
    if len(vectors) < _FEW:
        warnings.warn(
            f"The ranges for {precision.value} were computed from {len(vectors)} vectors, and only "
            "vectors with the same ranges can be compared. Give ranges, of shape (2, width).",
            stacklevel=2,
        )


def _check_ranges(
    ranges: object, precision: VectorPrecision, width: int
) -> NDArray[np.floating] | None:
    if ranges is None:
        return None
    if not precision.needs_ranges:
        raise InputError(f"ranges belong to int8 and uint8; precision is {precision.value}.")
    found = as_numbers(ranges)
    if found.shape != (2, width) or not np.isfinite(found).all() or (found[0] > found[1]).any():
        raise InputError(
            f"ranges should be the least and the largest value of each dimension, of shape (2, "
            f"{width}), not an array of shape {found.shape}."
        )
    return found


# --- tensors -----------------------------------------------------------------------------


def is_tensor(value: object) -> bool:
    """Return whether this is a tensor of torch, or a list that begins with one."""
    torch = sys.modules.get("torch")
    if isinstance(value, (list, tuple)) and len(value):
        value = value[0]
    return torch is not None and isinstance(value, torch.Tensor)


def as_numbers(value: Any) -> NDArray[Any]:
    """Return vectors as an array: an array itself, a tensor, or a list of either."""
    if not is_tensor(value):
        return np.asarray(value)
    if isinstance(value, (list, tuple)):
        return np.stack([as_numbers(each) for each in value])
    tensor = value.detach().cpu()
    if tensor.is_floating_point() and tensor.dtype.itemsize < 4:
        tensor = tensor.float()  # NumPy has no bfloat16
    numbers: NDArray[Any] = tensor.numpy()
    return numbers


def as_tensor(array: NDArray[Any]) -> Any:
    """Return a tensor of torch that shares an array's memory.

    Raises:
        MissingExtraError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("A tensor of torch", "sentence-transformers") from error
    return torch.from_numpy(array)
