"""Attention that reads keys and queries of distances, as nodes.

What a layer's matrices make of the table of distances does not depend on the text, so the graph
holds the result: a column for each row of the table. Scores with all columns are computed, and
those of the tokens' distances picked.

The columns get an axis for the texts of a batch, by adding zeros: where MNN repeats a constant of
batch 1 in a product, it reads beyond its end once a batch is larger than the one before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.graph.long import LongNodes
from minnow.model.network import LayerNorm

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from minnow.model.network import Attention, Disentangled


class DisentangledNodes(LongNodes):
    """The nodes of scores with keys and queries of distances."""

    def _distance_scores(
        self, scores: str, query: str, key: str, name: str, attention: Attention
    ) -> str:
        """Add the scores with distances to those of tokens.

        Args:
            scores: The products of queries and keys: (batch, heads, seq, seq).
            query: (batch, heads, seq, size).
            key: (batch, heads, size, seq).
            name: The layer.
            attention: Its heads.
        """
        given = self._network.distances
        if given is None:
            return scores
        to_key, to_query = given.matrices()
        if to_key:
            columns = self._columns(given, f"{name}.{to_key}", attention)
            each = self.node("MatMul", [query, columns], f"{name}.to_distances")
            picked = self._once("places.picked", lambda: self._picked(given))
            each = self._pick(each, picked, f"{name}.of_query")
            scores = self.node("Add", [scores, each], f"{name}.with_queries")
        if to_query:
            columns = self._columns(given, f"{name}.{to_query}", attention)
            rows = self.node("Transpose", [key], f"{name}.key.rows", perm=[0, 1, 3, 2])
            each = self.node("MatMul", [rows, columns], f"{name}.from_distances")
            picked = self._once("places.turned", lambda: self._turned(given))
            each = self._pick(each, picked, f"{name}.of_key")
            each = self.node("Transpose", [each], f"{name}.of_key.columns", perm=[0, 1, 3, 2])
            scores = self.node("Add", [scores, each], f"{name}.with_keys")
        return scores

    def _pick(self, each: str, picked: str, name: str) -> str:
        return self.node("GatherElements", [each, picked], name, axis=3)

    def _columns(self, given: Disentangled, matrix: str, attention: Attention) -> str:
        """Add what a matrix makes of the table: (batch, heads, size, rows).

        An encoder holds only that; the tensors read back from one have it.
        """
        stored = self._tensors.get(f"{matrix}.table")
        if stored is None:
            made = _rows(given, matrix, self._tensors)
            heads = made.reshape(len(made), attention.heads, attention.head_size)
            stored = heads.transpose(1, 2, 0)[None]
        table = self.table(f"{matrix}.table", stored)
        none = self._once("texts.zeros", self._zeros)
        return self.node("Add", [table, none], f"{matrix}.distances")

    def _zeros(self) -> str:
        """Add a zero for each text: float, (batch, 1, 1, 1)."""
        ends = map(self._integer, (0, 1, 3))
        first = self.node("Slice", ["mask", *ends], "texts.first")
        return self.with_number("Mul", first, 0.0, "texts.zeros")

    def _picked(self, given: Disentangled) -> str:
        """Find the row of the distance of each query and key: int32, (batch, heads, seq, seq).

        Zeros of these axes widen it.
        """
        longest = self._network.longest
        middle = self.constant("places.middle", longest - 1, np.int32)
        ahead = self.node("Add", [self._distances(), middle], "places.ahead")
        rows = self.table("places.rows", rows_of_distances(given, longest))
        found = self.node("Gather", [rows, ahead], "places.row_of", axis=0)
        none = self.with_number("Mul", "mask", 0.0, "places.none")
        none = self.whole(none, "places.zeros")
        heads = np.zeros((1, self._network.blocks[0].attention.heads, 1, 1), np.int32)
        by_text = self.node("Add", [found, none], "places.by_text")
        return self.node("Add", [by_text, self.table("places.heads", heads)], "places.picked")

    def _turned(self, given: Disentangled) -> str:
        picked = self._once("places.picked", lambda: self._picked(given))
        return self.node("Transpose", [picked], "places.turned", perm=[0, 1, 3, 2])


def _rows(
    given: Disentangled, matrix: str, tensors: Mapping[str, NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Compute a key or a query of each row of the table, in float64: (rows, width of all heads)."""
    rows = tensors["distances.table"].astype(np.float64)
    if isinstance(given.norm, LayerNorm):
        rows = rows - rows.mean(1, keepdims=True)
        rows /= np.sqrt(np.square(rows).mean(1, keepdims=True) + given.norm.eps)
        rows = rows * tensors["distances.norm.weight"] + tensors["distances.norm.bias"]
    made: NDArray[np.float32] = (
        rows @ tensors[f"{matrix}.weight"].T + tensors[f"{matrix}.bias"]
    ).astype(np.float32)
    return made


def rows_of_distances(given: Disentangled, longest: int) -> NDArray[np.int32]:
    """Return the row of each distance, from a key that is longest - 1 behind its query on."""
    behind = np.arange(longest - 1, -longest, -1)
    if given.distance is not None:
        half = given.span // 2
        ends = half * ((given.distance - 1) / half) ** (np.arange(half) / (half - 1))
        growing = half + np.searchsorted(ends, np.abs(behind) - 1e-6)
        behind = np.where(np.abs(behind) <= half, behind, np.sign(behind) * growing)
    return np.clip(behind + given.span, 0, 2 * given.span - 1).astype(np.int32)
