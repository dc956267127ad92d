"""A guess at what is wrong: the reference, changed in the way of a known fault, that comes nearest.

The network and its head are data, so each fault of the field is a change of that data or of the
tokens, and the plain forward pass computes what a model with this fault gives.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from minnow.model.head import Head
from minnow.model.network import Network
from minnow.model.original import Tensors
from minnow.model.reference import ReferenceModel
from minnow.model.tensors import LazyTensors
from minnow.parity import HALF_MAX
from minnow.proof.references import TokenRow
from minnow.records import replace
from minnow.vectors import Pooling, rowwise_cosine

if TYPE_CHECKING:
    from minnow.audit.trial import Trial
    from minnow.proof.verdict import Vectors

_NEARER = 4.0
"""How many times nearer than the source a changed reference must be to count as the cause."""


class Cause(str, Enum):
    """Kinds of faults."""

    POOLING = "pooling"
    MASK = "mask"
    CAUSAL = "causal"
    NORMALIZATION = "normalisation"
    TOKENIZER = "tokenizer"
    HALF_RANGE = "half range"
    TOKEN_TYPES = "token types"  # noqa: S105
    POSITIONS = "positions"
    LIMIT = "limit"
    ROUNDING = "rounding"
    SHAPE = "shape"
    RUNTIME = "runtime"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Finding:
    """A likely cause, and a sentence about it."""

    cause: Cause
    detail: str


_NO_FAULT = Finding(Cause.UNKNOWN, "")
_OFFSETS = 4
"""Positions at which a text may begin in a model with that fault."""


@dataclass(frozen=True)
class _Variant:
    finding: Finding
    network: Network
    head: Head
    tensors: Tensors
    rows: Sequence[TokenRow]


def explain(
    trial: Trial, found: Vectors, rows: Sequence[TokenRow], texts: Sequence[int]
) -> Finding | None:
    """Find the known fault by which the reference comes nearer to what a model gave.

    Args:
        trial: What the model was tried with.
        found: Its vectors or logits of some probes, each run alone.
        rows: The tokens of these.
        texts: Indices of these probes.

    Returns:
        The fault; None where the unchanged reference, or nothing, is near.
    """
    expected = trial.reference.probe_vectors[list(texts)]
    own = _distance(trial, found, expected)
    best, nearest = own / _NEARER, None
    for variant in _variants(trial, rows):
        model = ReferenceModel(variant.network, variant.head, variant.tensors)
        types = [row.types for row in variant.rows]
        vectors = model.vectors([row.ids for row in variant.rows], types=types)
        if vectors.shape != found.shape:
            continue
        distance = _distance(trial, found, vectors)
        if distance < best:
            best, nearest = distance, variant.finding
    return nearest


def _distance(trial: Trial, found: Vectors, expected: Vectors) -> float:
    if trial.original.reranking is not None:
        return float(np.abs(found - expected).mean())
    return float(1 - rowwise_cosine(found, expected).mean())


def _variants(trial: Trial, rows: Sequence[TokenRow]) -> Iterator[_Variant]:
    original = trial.original
    plain = _Variant(_NO_FAULT, original.network, original.head, original.tensors, rows)
    for changed in (_poolings, _attention, _positions, _token_types, _half_range):
        yield from changed(plain)


def _poolings(plain: _Variant) -> Iterator[_Variant]:
    head = plain.head
    for pooling in Pooling:
        if pooling is not head.pooling:
            detail = f"it pools by {pooling.value}, and the source by {head.pooling.value}"
            finding = Finding(Cause.POOLING, detail)
            yield replace(plain, finding=finding, head=replace(head, pooling=pooling))


def _attention(plain: _Variant) -> Iterator[_Variant]:
    network, causal = plain.network, not plain.network.is_causal
    blocks = tuple(
        replace(block, attention=replace(block.attention, causal=causal))
        for block in network.blocks
    )
    detail = "a token sees all others, and in the source only earlier ones"
    if causal:
        detail = "a token sees only earlier ones, and in the source all others"
    if blocks:
        finding = Finding(Cause.CAUSAL, detail)
        yield replace(plain, finding=finding, network=replace(network, blocks=blocks))


def _positions(plain: _Variant) -> Iterator[_Variant]:
    positions = plain.network.positions
    if positions is None:
        return
    longest = max(len(row.ids) for row in plain.rows)
    for offset in range(min(_OFFSETS, positions.rows - longest + 1)):
        if offset != positions.offset:
            detail = f"positions count from {offset}, and the source's from {positions.offset}"
            moved = replace(plain.network, positions=replace(positions, offset=offset))
            yield replace(plain, finding=Finding(Cause.POSITIONS, detail), network=moved)


def _token_types(plain: _Variant) -> Iterator[_Variant]:
    for value in range(min(2, plain.network.words.token_types)):
        typed = [replace(row, types=[value] * len(row.ids)) for row in plain.rows]
        if value or any(any(row.types) for row in plain.rows):
            finding = Finding(Cause.TOKEN_TYPES, f"all tokens have token type {value}")
            yield replace(plain, finding=finding, rows=typed)


def _half_range(plain: _Variant) -> Iterator[_Variant]:
    large = [name for name, tensor in plain.tensors.items() if np.abs(tensor).max() > HALF_MAX]
    if large:
        detail = f"numbers beyond {HALF_MAX:g}, where half precision ends, were cut ({large[0]})"
        cut = {name: np.clip(plain.tensors[name], -HALF_MAX, HALF_MAX) for name in large}
        tensors = LazyTensors(plain.tensors) | cut
        yield replace(plain, finding=Finding(Cause.HALF_RANGE, detail), tensors=tensors)
