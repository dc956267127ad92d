"""Recipes: how a model is made small on its way into a bundle, as data."""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from minnow.errors import InputError
from minnow.model.spec import Interface
from minnow.records import replace

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ReferenceName = Literal["checkpoint", "sentence-transformers", "author-onnx"]
"""The yardsticks of a proof."""

Purpose = Literal["latency", "size", "fidelity"]
"""What matters most of a bundle; see `PURPOSES`."""


class Precision(str, Enum):
    """Storage of numbers: floats, or integers of about the bits in the name."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
    INT6 = "int6"
    INT5 = "int5"
    INT4 = "int4"


class Rounding(str, Enum):
    """Rounding of weights to integers: each to the nearest, or calibrated on text."""

    NEAREST = "nearest"
    CALIBRATED = "calibrated"


_SIXTEEN = 16


class Grid(Struct, frozen=True):
    """A grid of integers in place of floats.

    Attributes:
        bits: Bits of a number, 2 to 8.
        block: How many neighbours in a row share a step; 0 means the whole row. For weights, MNN
            supports multiples of 16.
    """

    bits: int
    block: int = 0

    def block_in(self, row: int) -> int:
        """Return how many neighbours share a step in a row of `row` numbers.

        If the block does not divide the row, it is the largest smaller size that does, in steps of
        16; the whole row if none does.
        """
        smaller = (size for size in range(self.block, 0, -_SIXTEEN) if row % size == 0)
        return next(smaller, row)

    def __str__(self) -> str:
        return f"{self.bits}/{self.block}" if self.block else str(self.bits)


class Graph(str, Enum):
    """Origin of the graph: written by minnow, the author's own ONNX file, or a published MNN file.

    A published file is what `minnow audit` seals; nothing is converted to it.
    """

    CANONICAL = "canonical"
    AUTHOR = "author"
    PUBLISHED = "published"


class Recipe(Struct, frozen=True):
    """Recipe by which a model is made small on its way into a bundle.

    Attributes:
        precision: The name of how numbers are stored.
        bar: The lowest cosine to the reference that the worst text may have.
        exact_gelu: Compute GELU with erf; otherwise with MNN's faster tanh polynomial.
        graph: Where the graph comes from.
        biz_code: The business code that the converter writes into the model.
        weights: The grid of the layers' matrices; None leaves them floats.
        words: The grid of the word table; None leaves it floats.
        positions: The grid of the position table; None leaves it floats.
        rounding: How the matrices are rounded to their grid.
        calibration: A description of the text that they were calibrated on; empty if they were not.
        max_ndcg_drop: How far nDCG@10 on the built-in data set may be below the reference's; None
            searches nothing. minnow.json calls it largest_fall.
        interface: What the encoder gives: token states, or vectors that it has pooled itself; a
            reranker's gives scores.
        max_difference: For a reranker, the greatest difference that a logit may have from the
            reference's, in units of the largest logit where that is above 1; None takes the
            precision's.
    """

    precision: Precision
    bar: float
    exact_gelu: bool
    graph: Graph = Graph.CANONICAL
    biz_code: str = "minnow"
    weights: Grid | None = None
    words: Grid | None = None
    positions: Grid | None = None
    rounding: Rounding = Rounding.NEAREST
    calibration: str = ""
    max_ndcg_drop: float | None = None
    interface: Interface = Interface.LAST_HIDDEN_STATE
    max_difference: float | None = None

    @property
    def ranking_bars(self) -> RankingBars:
        """What a reranker's logits and its order of documents have to reach."""
        bars = RANKING_BARS[self.precision]
        if self.max_difference is None:
            return bars
        return replace(bars, difference=self.max_difference)

    @property
    def grids(self) -> dict[str, Grid]:
        """The grids, by the names of their fields."""
        grids = {"weights": self.weights, "words": self.words, "positions": self.positions}
        return {name: grid for name, grid in grids.items() if grid}

    @property
    def rounds(self) -> bool:
        """Whether any numbers are rounded to integers."""
        return bool(self.grids)

    @property
    def stored_bar(self) -> float | None:
        """The bar against a forward pass over the very numbers stored; None if none are rounded."""
        return RECIPES["fp32"].bar if self.rounds else None

    @property
    def stored_difference(self) -> float | None:
        """The bar of `stored_bar` for a reranker's logits, in the units of `max_difference`."""
        return RANKING_BARS[Precision.FP32].difference if self.rounds else None

    @property
    def engine_difference(self) -> float:
        """How far logits of another engine, whose GELU is exact, may be from the encoder's."""
        return RANKING_BARS[Precision.FP32 if self.exact_gelu else Precision.FP16].difference


class RankingBars(Struct, frozen=True):
    """What a reranker has to reach.

    Attributes:
        difference: See `Recipe.max_difference`.
        agreement: The least share of pairs of documents in the reference's order.
    """

    difference: float
    agreement: float


RANKING_BARS: Mapping[Precision, RankingBars] = {
    Precision.FP32: RankingBars(1e-4, 1.0),
    Precision.FP16: RankingBars(5e-3, 0.99),
    Precision.INT8: RankingBars(0.07, 0.98),
    Precision.INT6: RankingBars(0.12, 0.96),
    Precision.INT5: RankingBars(0.25, 0.94),
    Precision.INT4: RankingBars(0.6, 0.9),
}
"""The bars of a reranker. Below 16 bits a bar is 1.5 to 2.2 times the difference that a real model
reaches; see docs/rerankers.md."""


_BYTES = Grid(8, 64)


def _whole(
    precision: Precision,
    weights: Grid,
    words: Grid,
    positions: Grid = _BYTES,
    *,
    bar: float,
    max_ndcg_drop: float,
) -> Recipe:
    return Recipe(
        precision,
        bar,
        exact_gelu=False,
        weights=weights,
        words=words,
        positions=positions,
        rounding=Rounding.CALIBRATED,
        calibration="built-in text",
        max_ndcg_drop=max_ndcg_drop,
    )


RECIPES: Mapping[str, Recipe] = {
    "fp32": Recipe(Precision.FP32, bar=0.999999, exact_gelu=True),
    "fp16": Recipe(Precision.FP16, bar=0.9999, exact_gelu=False),
    "int8": _whole(Precision.INT8, _BYTES, _BYTES, bar=0.998, max_ndcg_drop=0.01),
    "int6": _whole(Precision.INT6, Grid(7, 64), Grid(5, 64), bar=0.99, max_ndcg_drop=0.02),
    "int5": _whole(Precision.INT5, Grid(6, 64), Grid(4, 64), bar=0.96, max_ndcg_drop=0.02),
    "int4": _whole(
        Precision.INT4, Grid(5, 96), Grid(3, 64), Grid(6, 64), bar=0.9, max_ndcg_drop=0.03
    ),
}
"""Words get fewer bits: the error of a word stays in one token, that of a matrix reaches all."""

PURPOSES: Mapping[Purpose, Recipe] = {
    "latency": RECIPES["fp16"],
    "size": RECIPES["int5"],
    "fidelity": RECIPES["fp32"],
}
"""The recipe for each purpose, by the figures in docs/precision.md."""


def check_recipe(recipe: Recipe) -> None:
    """Check that a recipe contradicts neither itself nor what MNN can store.

    Raises:
        InputError: It does; the message says what to change.
    """
    name, floats = recipe.precision.value, (Precision.FP32, Precision.FP16)
    if recipe.rounds and recipe.precision in floats:
        raise InputError(f"{name} rounds nothing; take another precision and change its grids.")
    if recipe.rounds and recipe.graph is Graph.AUTHOR:
        raise InputError(
            f"The author's graph is converted as fp32 or fp16; for {name} take minnow's own graph."
        )
    if recipe.interface is not Interface.LAST_HIDDEN_STATE and recipe.graph is Graph.AUTHOR:
        raise InputError(
            f"The author's graph gives {Interface.LAST_HIDDEN_STATE.value}; for "
            f"{recipe.interface.value} take minnow's own graph (`graph=canonical`)."
        )
    for what, grid in recipe.grids.items():
        if not 2 <= grid.bits <= 8:
            raise InputError(f"{what} can have 2 to 8 bits, not {grid.bits}.")
        if grid.block < 0 or (what == "weights" and grid.block % 16):
            raise InputError(
                f"{what} cannot share steps in blocks of {grid.block}: "
                + ("MNN knows multiples of 16." if what == "weights" else "give 0 or more.")
            )


def describe_calibration(texts: Sequence[str], recipe: Recipe) -> str:
    """Describe the user's calibration text, for `Recipe.calibration`: the number and the hash.

    Raises:
        InputError: The recipe calibrates nothing.
    """
    if recipe.rounding is not Rounding.CALIBRATED:
        raise InputError(
            f"{recipe.precision.value} with rounding {recipe.rounding.value} calibrates nothing: "
            "leave the calibration text out, or take int8 or less."
        )
    digest = hashlib.sha256("\n".join(texts).encode()).hexdigest()
    return f"{len(texts)} texts of the user's, SHA-256 {digest[:16]}"
