"""The choice of probe texts that an emulated processor can run in a minute or two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.proof.references import CheckpointReference

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from minnow.proof.probes import Probe

SHORT = 24
"""Tokens of a text that also runs in padded batches."""
HARD = 5
"""How many of the short texts that lose most in half precision are chosen."""
LENGTHS = (1, 40, 96)
"""Tokens near which one more text each is chosen."""


def choose_hard_texts(reference: CheckpointReference) -> list[Probe]:
    """Choose the short probe texts that lose most in half precision, and one near each length.

    The loss is that of a forward pass in NumPy that rounds every tensor to float16. Texts of the
    same tokens count as one.
    """
    rows = {(*row.ids, *row.types): i for i, row in reversed([*enumerate(reference.probe_rows)])}
    lengths = {i: len(reference.probe_ids[i]) for i in sorted(rows.values())}
    most = max(SHORT, sorted(lengths.values())[len(lengths) // 2])
    short = [i for i, length in lengths.items() if length <= most]
    hardest = _losses(reference, [reference.probes[i] for i in short]).argsort()[::-1]
    chosen = [short[i] for i in hardest[:HARD]]
    for length in LENGTHS:
        left = [i for i in lengths if i not in chosen]
        chosen += sorted(left, key=lambda i: abs(lengths[i] - length))[:1]
    return [reference.probes[i] for i in sorted(chosen)]


def _losses(reference: CheckpointReference, probes: Sequence[Probe]) -> NDArray[np.float64]:
    """Return how far rounding moves each vector, in units of its length, or each pair's logits."""
    exact = reference.vectors_of(probes)
    rounded = _HalfReference(reference.original, probes=probes).vectors_of(probes)
    with np.errstate(invalid="ignore"):
        moved: NDArray[np.float64] = np.linalg.norm(rounded - exact, axis=1)
    if reference.original.reranking is None:
        moved = moved / np.maximum(np.linalg.norm(exact, axis=1), 1e-9)
    return np.nan_to_num(moved, nan=np.inf)


class _HalfReference(CheckpointReference):
    """The forward pass whose tensors are rounded to float16 as they are computed."""

    def note(self, name: str, tensor: NDArray[np.float64]) -> None:
        """Round a tensor in place; what is beyond the range becomes infinite."""
        del name
        with np.errstate(over="ignore"):
            tensor[...] = tensor.astype(np.float16)
