"""MNN-LLM's word table on disk: a row of numbers for each token id, read on demand.

Floats are raw rows. Whole numbers are rows of codes, a byte each or two in a byte, the first in
its high half; after all rows come two numbers per block, `start` and `step`, and a code q stands
for q * step + start - 2^(bits - 1) * step. The source is
transformers/llm/engine/src/diskembedding.cpp of MNN 3.6.1. What kind of rows a file has stands in
`tie_embeddings` of llm_config.json; bfloat16 rows have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minnow.errors import InputError
from minnow.export import WordKind

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SHRINKS = np.linspace(1, 0.6, 17, dtype=np.float32)
_BITS = {WordKind.FP16: 16, WordKind.BF16: 16, WordKind.INT8: 8, WordKind.INT4: 4}
_BLOCKS = {WordKind.INT8: 0, WordKind.INT4: 32}
"""How many neighbours share a step; 0 is a row."""
_STEPS: dict[WordKind, type[np.floating[Any]]] = {
    WordKind.INT8: np.float32,
    WordKind.INT4: np.float16,
}
"""How `start` and `step` are stored."""


@dataclass(frozen=True)
class WordTable:
    """A word table as it is stored.

    Attributes:
        kind: How the numbers are stored.
        width: The numbers in a row.
        rows: uint16 of shape (rows, width), the bits of floats; or uint8 codes of that shape.
        steps: Of shape (rows, blocks, 2), start and step, float32 or for int4 float16; None for
            floats.
    """

    kind: WordKind
    width: int
    rows: NDArray[np.uint16] | NDArray[np.uint8]
    steps: NDArray[np.float32] | NDArray[np.float16] | None = None

    def unpack(self) -> NDArray[np.float32]:
        """Return the numbers that the table stands for: float32 of shape (rows, width)."""
        if self.kind is WordKind.FP16:
            return self.rows.view(np.float16).astype(np.float32)
        if self.kind is WordKind.BF16:
            return (self.rows.astype(np.uint32) << 16).view(np.float32)
        assert self.steps is not None
        blocks = self.rows.reshape(*self.steps.shape[:2], -1).astype(np.float32)
        start, step = np.split(self.steps.astype(np.float32), 2, axis=-1)
        zero = start + step * np.float32(-(2 ** (_BITS[self.kind] - 1)))
        return (blocks * step + zero).reshape(self.rows.shape)

    def to_bytes(self) -> bytes:
        """Encode the file's content."""
        if self.steps is None:
            return self.rows.astype("<u2").tobytes()
        codes = self.rows
        if self.kind is WordKind.INT4:
            codes = (codes[:, ::2] * 16 + codes[:, 1::2]).astype(np.uint8)
        return codes.tobytes() + np.ascontiguousarray(self.steps).tobytes()

    def settings(self) -> dict[str, int | str] | None:
        """Return the engine's `tie_embeddings` for the table; None if it needs none."""
        if self.kind is WordKind.BF16:
            return None
        bits = _BITS[self.kind]
        start = self.rows.size * bits // 8
        blocks = 1 if self.steps is None else self.steps.shape[1]
        return {
            "weight_offset": 0,
            "alpha_offset": start,
            "alpha_size": 0 if self.steps is None else self.steps.nbytes,
            "quant_bit": bits,
            "quant_block": 0 if blocks == 1 else self.width // blocks,
            "alpha_dtype": "fp32" if self.steps is None else _named(self.steps.dtype),
        }


def _named(dtype: np.dtype[Any]) -> str:
    return {"float32": "fp32", "float16": "fp16"}[dtype.name]


def store_words(table: NDArray[np.float32], kind: WordKind) -> WordTable:
    """Round a word table.

    Args:
        table: float32 of shape (rows, width).
        kind: How to store it.

    Raises:
        InputError: The table cannot be stored as that kind.
    """
    rows, width = table.shape
    if kind is WordKind.FP16:
        with np.errstate(over="ignore"):
            halves = table.astype(np.float16)
        if not np.isfinite(halves).all():
            raise InputError("The word table holds numbers beyond 65504; take `words=bf16`.")
        return WordTable(kind, width, halves.view(np.uint16))
    if kind is WordKind.BF16:
        bits = np.ascontiguousarray(table, np.float32).view(np.uint32)
        rounded = bits + np.uint32(0x7FFF) + ((bits >> 16) & 1)
        return WordTable(kind, width, (rounded >> 16).astype(np.uint16))
    block = _BLOCKS[kind] or width
    if width % block or width % 2:
        raise InputError(
            f"The model is {width} wide; {kind.value} words come in blocks of {block}. "
            "Take `words=int8` or `words=bf16`."
        )
    codes, steps = _round(table.reshape(rows, -1, block), 2 ** _BITS[kind], _STEPS[kind])
    return WordTable(kind, width, codes.reshape(rows, width), steps)


def _round(
    blocks: NDArray[np.float32], levels: int, dtype: type[np.floating[Any]]
) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return codes of the same shape, and each block's start and step with the least error."""
    low, high = blocks.min(-1, keepdims=True), blocks.max(-1, keepdims=True)
    middle, reach = (low + high) / 2, (high - low) / 2
    smallest, half = np.finfo(dtype).smallest_normal, np.float32(levels // 2)
    least = np.full(low.shape, np.inf, np.float32)
    codes = np.zeros(blocks.shape, np.uint8)
    best = np.zeros((*low.shape[:2], 2), dtype)
    for shrink in _SHRINKS:
        step = np.maximum(2 * reach * shrink / np.float32(levels - 1), smallest)
        step = step.astype(dtype).astype(np.float32)
        start = (middle - reach * shrink + half * step).astype(dtype).astype(np.float32)
        zero = start - half * step
        tried = np.clip(np.rint((blocks - zero) / step), 0, levels - 1)
        error = ((tried * step + zero - blocks) ** 2).sum(-1, keepdims=True)
        better = error < least
        least = np.where(better, error, least)
        codes = np.where(better, tried.astype(np.uint8), codes)
        best = np.where(better, np.concatenate([start, step], -1).astype(dtype), best)
    return codes, best


def read_words(
    path: Path, width: int, settings: Mapping[str, int | str] | None = None
) -> WordTable:
    """Read a file.

    Args:
        path: The file.
        width: The numbers in a row: `hidden_size`.
        settings: `tie_embeddings` of llm_config.json, if it has any.

    Raises:
        InputError: The file is missing, has another size, or a kind that minnow does not write.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    try:
        return _parse(content, width, settings)
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{path} is not a word table as llm_config.json has it: {error}.") from (
            error
        )


def _parse(content: bytes, width: int, settings: Mapping[str, int | str] | None) -> WordTable:
    if settings is None or settings["quant_bit"] == 16:
        kind = WordKind.BF16 if settings is None else WordKind.FP16
        return WordTable(kind, width, np.frombuffer(content, "<u2").reshape(-1, width))
    bits, start = int(settings["quant_bit"]), int(settings["alpha_offset"])
    kind = WordKind(f"int{bits}")
    dtype = _STEPS[kind]
    if settings["alpha_dtype"] != _named(np.dtype(dtype)):
        raise ValueError(f"its steps are not {np.dtype(dtype).name}")
    if settings["weight_offset"] != 0:
        raise ValueError("its rows do not come first")
    if start + int(settings["alpha_size"]) != len(content):
        raise ValueError(f"it has {len(content)} bytes")
    codes = np.frombuffer(content[:start], np.uint8)
    if kind is WordKind.INT4:
        codes = np.stack([codes >> 4, codes & 15], -1).reshape(-1)
    codes = codes.reshape(-1, width)
    blocks = width // (int(settings["quant_block"]) or width)
    steps = np.frombuffer(content[start:], dtype).reshape(len(codes), blocks, 2)
    return WordTable(kind, width, codes, steps)
