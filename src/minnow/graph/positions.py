"""Nodes that depend on where a token is: padding, windows, tables by position and by distance.

A converter that stores floats in half precision takes the constants of a graph too, so no angle and
no bucket is computed in it: the graph holds their cosines and sines, or a number for each distance.
Distances are whole numbers until a window is subtracted: a phone's half precision counts only up
to 2048.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.graph.nodes import Nodes
from minnow.model.network import Slopes

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from minnow.graph.form import GraphForm
    from minnow.graph.nodes import Outside
    from minnow.model.network import Attention, Network, Relative, Rotary

MASKED = 10_000.0

_LEAST_POWER = 80
"""The negative power of two that is added to causal weights of attention for MNN."""


class PositionNodes(Nodes):
    """The nodes of a graph that know positions; a method that adds some returns a value's name."""

    def __init__(
        self,
        network: Network,
        tensors: Mapping[str, NDArray[np.float32]],
        form: GraphForm,
        outside: Outside,
    ) -> None:
        super().__init__(outside)
        self._for_mnn = form.for_mnn and form.shape is None
        self._network = network
        self._tensors = tensors
        self._shape = form.shape
        self._made: dict[object, str] = {}
        self._rotary: dict[Rotary, tuple[str, str]] = {}

    def _once(self, key: object, make: Callable[[], str]) -> str:
        """Return what was made for a key before; make it where it was not."""
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _padding(self) -> str:
        """Add 0 for a token, -MASKED for padding: float of shape (batch, 1, 1, seq)."""
        mask = self.cast("attention_mask", "mask.float")
        axes = self.constant("mask.axes", [1, 2], np.int64)
        return self._far_below(self.node("Unsqueeze", [mask, axes], "mask.4d"))

    def _far_below(self, mask: str) -> str:
        """Turn a mask of 1 and 0 into 0 and -MASKED, under the name "mask"."""
        mask = self.with_number("Sub", mask, 1.0, "mask.shifted")
        return self.with_number("Mul", mask, MASKED, "mask")

    def _position_rows(self, name: str, table: NDArray[Any]) -> str:
        """Fetch a table's rows of the batch's positions: shape (1 or batch, seq, columns)."""
        positions = self._network.positions
        start = positions.offset if positions else 0
        padding = positions.padding if positions else None
        if padding is not None:
            rows = self.table(name, table[start - 1 :])
            counted = self._once("kept", lambda: self._kept(padding))
            return self.node("Gather", [rows, counted], f"{name}.rows", axis=0)
        return self._first_rows(name, table[None, start:], axis=1)

    def _kept(self, padding: int) -> str:
        """Count the tokens that are not padding from 1, and padding as 0: int32, (batch, seq)."""
        one = self.constant("kept.one", 1, np.int32)
        axis = self.constant("kept.axis", 1, np.int32)
        equal = self.node(
            "Equal", ["input_ids", self.constant("kept.id", padding, np.int32)], "kept.equal"
        )
        kept = self.node("Sub", [one, self.whole(equal, "kept.padding")], "kept.tokens")
        counted = self.node("CumSum", [kept, axis], "kept.counted")
        return self.node("Mul", [counted, kept], "kept")

    def _first_rows(self, name: str, table: NDArray[Any], *, axis: int) -> str:
        """Fetch the first `seq` rows of an axis of a table."""
        if self._shape is not None:
            return self.table(name, table.take(range(self._shape[1]), axis))
        length, rows = self._once("length", self._length), self.table(name, table)
        return self.node(
            "Slice", [rows, self._integer(0), length, self._integer(axis)], f"{name}.rows"
        )

    def _integer(self, value: int) -> str:
        """Add an int64 of shape (1,)."""
        return self._once(value, lambda: self.constant(f"integer{value}", [value], np.int64))

    def _length(self) -> str:
        """Read the tokens of each text of the batch, padding included: int64 of shape (1,)."""
        shape = self.node("Shape", ["input_ids"], "shape")
        return self.node("Gather", [shape, self._integer(1)], "length", axis=0)

    def _places(self) -> str:
        """Count the tokens of a text from 0: int32 of shape (seq,)."""
        length = self._once("length", self._length)
        end = self.node("Squeeze", [length, self._integer(0)], "places.length")
        end = self.whole(end, "places.end")
        start, step = (self.constant(f"places.{n}", n, np.int32) for n in (0, 1))
        return self.node("Range", [start, end, step], "places")

    def _distances(self) -> str:
        """Compute how far token j is ahead of token i: int32 of shape (seq, seq)."""

        def subtract() -> str:
            places = self._places()
            ahead = self.reshape(places, [1, -1], "places.row")
            behind = self.reshape(places, [-1, 1], "places.column")
            return self.node("Sub", [ahead, behind], "distances")

        return self._once("distances", subtract)

    def _mask(self, attention: Attention, *, first: bool) -> str:
        """Return what is added to scores, the same for all layers of a window and direction.

        Args:
            attention: Says which tokens see each other.
            first: Whether only each text's first token asks.

        Returns:
            The name of a float of shape (batch, 1 or heads, 1 or seq, seq).
        """
        mask = "mask"
        relative = self._network.relative
        if relative is not None:
            mask = self._once("relative", lambda: self._add_relative("mask", relative))
        if not attention.sees_all:
            whole, sight = mask, sight_of(attention)
            mask = self._once(sight, lambda: self._add_sight(whole, attention))
        if not first or mask == "mask":
            return mask
        return self._once(("first", mask), lambda: self._first_row(mask))

    def _add_sight(self, mask: str, attention: Attention, tail: str = "") -> str:
        """Add -MASKED where a token does not see another to a mask; a second one needs a tail."""
        name = f"{sight_of(attention)}{tail}"
        if self._shape is not None:
            outside = self.table(f"{name}.mask", mask_of(distances_of(self._shape[1]), attention))
            return self.node("Add", [mask, outside], f"mask.{name}")
        ahead, window, beyond = self._distances(), attention.window, []
        if window is not None:
            least = self.constant(f"{name}.least", -window, np.int32)
            beyond.append(self.node("Sub", [least, ahead], f"{name}.behind"))
        furthest = 0 if attention.causal or window is None else window
        most = self.constant(f"{name}.most", furthest, np.int32)
        beyond.append(self.node("Sub", [ahead, most], f"{name}.ahead"))
        far = [self.node("Relu", [self.cast(x, f"{x}.float")], f"{x}.steps") for x in beyond]
        steps = far[0] if len(far) == 1 else self.node("Add", far, f"{name}.steps")
        hidden = self.node("Min", [steps, self.scalar(f"{name}.one", 1.0)], f"{name}.hidden")
        outside = self.with_number("Mul", hidden, -MASKED, f"{name}.mask")
        return self.node("Add", [mask, outside], f"mask.{name}")

    def _add_relative(self, mask: str, relative: Relative) -> str:
        longest = self._network.longest
        rows = distance_rows(relative, self._tensors, longest)
        if self._shape is None:
            place = self.constant("relative.middle", longest - 1, np.int32)
            place = self.node("Add", [self._distances(), place], "relative.places")
            bias = self.node(
                "Gather", [self.table("relative", rows), place], "relative.bias", axis=1
            )
        else:
            bias = self.table("relative", rows[:, distances_of(self._shape[1]) + longest - 1])
        bias = self.node("Unsqueeze", [bias, self._integer(0)], "relative.4d")
        return self.node("Add", [mask, bias], "mask.relative")

    def _weights(self, scores: str, name: str, attention: Attention) -> str:
        """Turn scores into weights of values; for MNN no causal one is a subnormal number.

        MNN's exponential ends at that of -87, so half of a causal layer's weights are near 1e-40,
        and x86 multiplies by such numbers many times slower than by others. No weight above 1e-16
        changes, and none of a hidden token moves a sum.
        """
        weights = self.node("Softmax", [scores], f"{name}.weights", axis=-1)
        if not (self._for_mnn and attention.causal):
            return weights
        return self.node("Add", [weights, self._once("least", self._least)], f"{name}.lifted")

    def _least(self) -> str:
        """Compute 2 ** -_LEAST_POWER, float32 of shape (1,), which no half precision can store.

        MNN computes what depends on shapes alone when shapes change, not in every run.
        """
        length = self.cast(self._once("length", self._length), "least.length")
        power = self.with_number("Min", length, 2.0 ** -(_LEAST_POWER // 8), "least.root")
        for i in range(3):
            power = self.node("Mul", [power, power], f"least.{i}")
        return power

    def _first_row(self, mask: str) -> str:
        return self.node("Slice", [mask, *map(self._integer, (0, 1, 2))], f"{mask}.first")

    def _turn(self, x: str, rotary: Rotary, name: str) -> str:
        """Turn queries or keys of shape (batch, heads, seq, size) by their positions."""
        cosines, sines = self._rotations(rotary)
        first, second = self.halves(x, name)
        swapped = self.node("Concat", [second, first], f"{name}.swapped", axis=-1)
        kept = self.node("Mul", [x, cosines], f"{name}.cosines")
        moved = self.node("Mul", [swapped, sines], f"{name}.sines")
        return self.node("Add", [kept, moved], f"{name}.rotated")

    def _rotations(self, rotary: Rotary) -> tuple[str, str]:
        """Fetch cosines and sines of the batch's positions: shape (1, 1, seq, size)."""
        if rotary not in self._rotary:
            tables = rotary_tables(rotary, self._network.longest)
            names = (f"rotary{len(self._rotary)}.{kind}" for kind in ("cosines", "sines"))
            cosines, sines = map(self._rotary_rows, names, tables)
            self._rotary[rotary] = cosines, sines
        return self._rotary[rotary]

    def _rotary_rows(self, name: str, table: NDArray[np.float32]) -> str:
        """Fetch a table's rows of the batch's positions: shape (1, 1, seq, columns)."""
        return self._first_rows(name, table[None, None], axis=2)


def rotary_tables(rotary: Rotary, longest: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the cosines of all positions, and the sines, negative for the first half of a head.

    Args:
        rotary: The frequencies.
        longest: The number of positions.

    Returns:
        Both float32 of shape (longest, size).
    """
    size = rotary.size
    frequencies = 1 / rotary.theta ** (np.arange(0, size, 2) / size) / rotary.factor
    angles = np.outer(np.arange(longest), frequencies)
    cosines, sines = np.cos(angles), np.sin(angles)
    return (
        np.hstack([cosines, cosines]).astype(np.float32),
        np.hstack([-sines, sines]).astype(np.float32),
    )


def distance_rows(
    relative: Relative, tensors: Mapping[str, NDArray[np.float32]], longest: int
) -> NDArray[np.float32]:
    """Return the number of each head for each distance from -(longest - 1) to longest - 1.

    Args:
        relative: Buckets, or slopes.
        tensors: The network's; buckets have a table, relative_bias.
        longest: The longest sequence, in tokens.

    Returns:
        float32 of shape (heads, 2 * longest - 1).
    """
    ahead = np.arange(1 - longest, longest)
    if isinstance(relative, Slopes):
        slopes = np.asarray(relative.by_head, np.float32)
        return -slopes[:, None] * np.abs(ahead).astype(np.float32)
    side, exact = relative.buckets // 2, relative.buckets // 4
    steps = (relative.distance / exact) ** (np.arange(side - exact) / (side - exact)) * exact
    reached = np.searchsorted(steps, np.abs(ahead) + 1e-6, side="right")
    bucket = np.where(np.abs(ahead) < exact, np.abs(ahead), exact + reached - 1)
    rows: NDArray[np.float32] = tensors["relative_bias"][bucket + side * (ahead > 0)].T
    return rows


def mask_of(ahead: NDArray[np.integer[Any]], attention: Attention) -> NDArray[np.float32]:
    """Return 0 for distances, from query to key, at which a token sees another, else -MASKED."""
    behind = np.inf if attention.window is None else attention.window
    hidden = (ahead > (0 if attention.causal else behind)) | (-ahead > behind)
    return np.float32(-MASKED) * hidden


def sight_of(attention: Attention) -> str:
    """Name what a token sees: "window8", "causal", "causal8"."""
    window = "" if attention.window is None else str(attention.window)
    return f"causal{window}" if attention.causal else f"window{window}"


def distances_of(tokens: int) -> NDArray[np.int32]:
    """Return how far token j is ahead of token i: int32 of shape (tokens, tokens)."""
    places = np.arange(tokens, dtype=np.int32)
    return places[None, :] - places[:, None]
