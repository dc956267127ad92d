"""Attention for long texts, as nodes: one head at a time, and windows in blocks.

The scores of all heads of an 8192-token text do not fit into a tensor that MNN can address. One
head after the other takes no longer, and the memory of one. A window needs a band of the scores
only: texts are cut into blocks as long as the window reaches, and the queries of a block meet the
keys of three, its own and its neighbours. That is several times faster for long texts, but slower
for short ones; a graph has one spelling, so the limit of a bundle's texts decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from minnow.graph.positions import MASKED, PositionNodes, distance_rows, mask_of, sight_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from minnow.model.network import Attention, Relative

_BLOCKS_SEEN = 3
_END = np.iinfo(np.int32).max


class LongNodes(PositionNodes):
    """The nodes of attention for long texts.

    Queries, keys and values have the shape (batch, heads, seq, size), and so has the result.
    """

    _long = False

    def _mask(self, attention: Attention, *, first: bool) -> str:
        """Return what is added to scores; for the first token of long texts, of one row only."""
        if not (self._long and first):
            return super()._mask(attention, first=first)
        mask, window = "mask", attention.window
        relative = self._network.relative
        if relative is not None:
            mask = self._once("first.relative", lambda: self._first_relative(relative))
        if window is not None:
            whole = mask
            mask = self._once(("first", window), lambda: self._first_window(whole, window))
        return mask

    def _first_relative(self, relative: Relative) -> str:
        rows = distance_rows(relative, self._tensors, self._network.longest)
        ahead = rows[:, rows.shape[1] // 2 :]
        bias = self._first_columns("first.relative", ahead[None, :, None])
        return self.node("Add", ["mask", bias], "mask.first.relative")

    def _first_window(self, mask: str, window: int) -> str:
        beyond = np.arange(self._network.longest, dtype=np.float32) > window
        row = np.float32(-MASKED) * beyond[None, None, None]
        outside = self._first_columns(f"first.window{window}", row)
        return self.node("Add", [mask, outside], f"mask.first.window{window}")

    def _first_columns(self, name: str, table: NDArray[np.float32]) -> str:
        """Fetch the columns of the batch's positions: shape (1, 1 or heads, 1, seq)."""
        ends = [self._integer(0), self._once("tokens", self._tokens), self._integer(3)]
        return self.node("Slice", [self.table(name, table), *ends], f"{name}.columns")

    def _mix_long(self, query: str, key: str, value: str, name: str, attention: Attention) -> str:
        """Let all tokens mix the values of those that they see."""
        window = attention.window
        if window is None or self._network.relative or 4 * window > self._network.longest:
            return self._mix_by_head(query, key, value, name, attention)
        return self._mix_in_blocks(query, key, value, name, attention, max(window, 1))

    def _mix_by_head(
        self, query: str, key: str, value: str, name: str, attention: Attention
    ) -> str:
        heads = range(attention.heads)
        split = [self.parts(x, [f"{x}.{i}" for i in heads], axis=1) for x in (query, key, value)]
        mixed = []
        for head, (asking, asked, values) in enumerate(zip(*split, strict=True)):
            part = f"{name}.head{head}"
            columns = self.node("Transpose", [asked], f"{part}.columns", perm=[0, 1, 3, 2])
            scores = self.node("MatMul", [asking, columns], f"{part}.query_key")
            scores = self.with_number("Mul", scores, attention.scale, f"{part}.scaled")
            mask = self._mask_of_head(head, attention)
            scores = self.node("Add", [scores, mask], f"{part}.masked")
            weights = self._weights(scores, part, attention)
            mixed.append(self.node("MatMul", [weights, values], f"{part}.mixed"))
        return self.node("Concat", mixed, f"{name}.mixed", axis=1)

    def _mask_of_head(self, head: int, attention: Attention) -> str:
        """Return what is added to a head's scores: shape (batch, 1, 1 or seq, seq)."""
        relative = self._network.relative
        mask = "mask"
        if relative is not None:
            rows = distance_rows(relative, self._tensors, self._network.longest)
            mask = self._once(("relative", head), lambda: self._add_row(head, rows[head]))
        if attention.sees_all:
            return mask
        whole, sight = mask, (sight_of(attention), mask)
        name = "" if relative is None else f".head{head}"
        return self._once(sight, lambda: self._add_sight(whole, attention, name))

    def _add_row(self, head: int, row: NDArray[np.float32]) -> str:
        """Add a head's numbers by distance, of shape (2 * longest - 1,), to the padding."""
        name, middle = f"relative.head{head}", len(row) // 2
        place = self._once("relative.places", lambda: self._shifted(middle))
        bias = self.node("Gather", [self.table(name, row), place], f"{name}.bias", axis=0)
        return self.node("Add", ["mask", bias], f"mask.{name}")

    def _shifted(self, middle: int) -> str:
        start = self.constant("relative.middle", middle, np.int32)
        return self.node("Add", [self._distances(), start], "relative.places")

    def _mix_in_blocks(
        self, query: str, key: str, value: str, name: str, attention: Attention, block: int
    ) -> str:
        """Let tokens mix the values of those in a window, a block of tokens as long as it."""
        shape = [0, attention.heads, -1, block, attention.head_size]
        inside = self._once(("inside", block), lambda: self._pads(block, 0))
        asking = self.node("Pad", [query, inside], f"{name}.query.padded")
        asking = self.reshape(asking, shape, f"{name}.query.blocks")
        keys = self._neighbours(key, shape, f"{name}.key")
        keys = self.node("Transpose", [keys], f"{name}.key.columns", perm=[0, 1, 2, 4, 3])
        values = self._neighbours(value, shape, f"{name}.value")
        scores = self.node("MatMul", [asking, keys], f"{name}.query_key")
        scores = self.with_number("Mul", scores, attention.scale, f"{name}.scaled")
        sight = ("band", sight_of(attention))
        band = self._once(sight, lambda: self._band(attention, block))
        scores = self.node("Add", [scores, band], f"{name}.masked")
        weights = self._weights(scores, name, attention)
        mixed = self.node("MatMul", [weights, values], f"{name}.mixed.blocks")
        mixed = self.reshape(
            mixed, [0, attention.heads, -1, attention.head_size], f"{name}.mixed.padded"
        )
        tokens = self._once("tokens", self._tokens)
        ends = [self._integer(0), tokens, self._integer(2)]
        return self.node("Slice", [mixed, *ends], f"{name}.mixed")

    def _neighbours(self, x: str, shape: list[int], name: str, fill: float = 0.0) -> str:
        """Put each block between its neighbours: (batch, heads, blocks, 3 * block, size)."""
        block = shape[3]
        around = self._once(("around", block), lambda: self._pads(block, block))
        padded = self.node("Pad", [x, around, self.scalar(f"{name}.fill", fill)], f"{name}.padded")
        found = []
        for i in range(_BLOCKS_SEEN):
            past = i + 1 - _BLOCKS_SEEN
            ends = [self._integer(n) for n in (i * block, past * block if past else _END, 2)]
            part = self.node("Slice", [padded, *ends], f"{name}.shifted{i}")
            found.append(self.reshape(part, shape, f"{name}.blocks{i}"))
        return self.node("Concat", found, f"{name}.around", axis=3)

    def _band(self, attention: Attention, block: int) -> str:
        """Return what is added to the scores of blocks: (batch, 1, blocks, block, 3 * block)."""
        name = sight_of(attention)
        column = self.reshape("mask", [0, 1, -1, 1], f"{name}.column")
        padding = self._neighbours(column, [0, 1, -1, block, 1], name, -MASKED)
        padding = self.node("Transpose", [padding], f"{name}.padding", perm=[0, 1, 2, 4, 3])
        keys, queries = np.arange(_BLOCKS_SEEN * block)[None, :], np.arange(block)[:, None]
        band = self.table(f"{name}.band", mask_of(keys - (queries + block), attention))
        return self.node("Add", [padding, band], f"mask.{name}")

    def _pads(self, block: int, more: int) -> str:
        """Return the pads of the tokens' axis that fill up whole blocks, and more on both sides."""
        name = f"blocks{block}.{more}"
        before = self.constant(f"{name}.before", [0, 0, more, 0, 0, 0], np.int64)
        missing = self._once(("missing", block), lambda: self._missing(block))
        wide = self.node("Add", [missing, self._integer(more)], f"{name}.after")
        return self.node("Concat", [before, wide, self._integer(0)], f"{name}.pads", axis=0)

    def _missing(self, block: int) -> str:
        """Count the tokens that are missing to whole blocks: int64 of shape (1,)."""
        name, tokens = f"blocks{block}", self._once("tokens", self._tokens)
        above = self.node("Add", [tokens, self._integer(block - 1)], f"{name}.above")
        count = self.node("Div", [above, self._integer(block)], f"{name}.count")
        whole = self.node("Mul", [count, self._integer(block)], f"{name}.tokens")
        return self.node("Sub", [whole, tokens], f"{name}.missing")

    def _tokens(self) -> str:
        """Read the tokens of each text of the batch, padding included: int64 of shape (1,)."""
        shape = self.node("Shape", ["mask"], "tokens.shape")
        return self.node("Gather", [shape, self._integer(3)], "tokens", axis=0)
