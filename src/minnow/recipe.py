"""What is done to a model on its way into a bundle, as data."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Literal

from minnow.model.spec import Interface

if TYPE_CHECKING:
    from collections.abc import Mapping

ReferenceName = Literal["checkpoint", "sentence-transformers", "author-onnx"]
"""The yardsticks of a proof."""


class Precision(str, Enum):
    """How numbers are stored: as floats, or as whole numbers of so many bits on the whole."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"
    INT6 = "int6"
    INT5 = "int5"
    INT4 = "int4"


class Rounding(str, Enum):
    """How weights come to be whole numbers: each to the nearest, or calibrated on text."""

    NEAREST = "nearest"
    CALIBRATED = "calibrated"


_SIXTEEN = 16


@dataclass(frozen=True)
class Grid:
    """Whole numbers in place of floats.

    Attributes:
        bits: Bits of a number, 2 to 8.
        block: How many neighbours in a row share a step; 0 is all of it. For weights MNN knows
            multiples of 16.
    """

    bits: int
    block: int = 0

    def block_in(self, row: int) -> int:
        """How many neighbours share a step in a row of so many numbers.

        Where the block does not divide the row, fewer: the most that do, in steps of 16; all of the
        row where none do.
        """
        smaller = (size for size in range(self.block, 0, -_SIXTEEN) if row % size == 0)
        return next(smaller, row)

    def __str__(self) -> str:
        return f"{self.bits}/{self.block}" if self.block else str(self.bits)


class Graph(str, Enum):
    """Where the graph comes from: written by minnow, or the author's own ONNX file."""

    CANONICAL = "canonical"
    AUTHOR = "author"


@dataclass(frozen=True)
class Recipe:
    """What is done to a model on its way into a bundle.

    Attributes:
        precision: The name of how numbers are stored.
        bar: The lowest cosine to the reference that the worst text may have.
        exact_gelu: Compute GELU with erf; else with MNN's faster tanh polynomial.
        graph: Where the graph comes from.
        biz_code: The business code that the converter writes into the model.
        weights: The grid of the layers' matrices; None leaves them floats.
        words: The grid of the word table; likewise.
        positions: The grid of the position table; likewise.
        rounding: How the matrices get to their grid.
        calibration: The text that they were calibrated on, in words; empty where they were not.
        largest_fall: How far nDCG@10 on the built-in data set may be below the reference's; None
            where the bar leaves nothing to look for.
        interface: What the encoder gives: token states, or vectors that it has pooled itself.
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
    largest_fall: float | None = None
    interface: Interface = Interface.LAST_HIDDEN_STATE

    @property
    def grids(self) -> dict[str, Grid]:
        """The grids, by the names of their fields."""
        grids = {"weights": self.weights, "words": self.words, "positions": self.positions}
        return {name: grid for name, grid in grids.items() if grid}

    @property
    def rounds(self) -> bool:
        """Whether any numbers become whole ones."""
        return bool(self.grids)


def _whole(
    precision: Precision,
    weights: Grid,
    words: Grid,
    positions: Grid,
    *,
    bar: float,
    largest_fall: float,
) -> Recipe:
    return Recipe(
        precision,
        bar,
        exact_gelu=True,
        weights=weights,
        words=words,
        positions=positions,
        rounding=Rounding.CALIBRATED,
        calibration="built-in text",
        largest_fall=largest_fall,
    )


RECIPES: Mapping[str, Recipe] = {
    "fp32": Recipe(Precision.FP32, bar=0.999999, exact_gelu=True),
    "fp16": Recipe(Precision.FP16, bar=0.9999, exact_gelu=False),
    "int8": _whole(Precision.INT8, Grid(8, 64), Grid(8), Grid(8), bar=0.998, largest_fall=0.01),
    "int6": _whole(Precision.INT6, Grid(7, 64), Grid(5, 64), Grid(8), bar=0.99, largest_fall=0.02),
    "int5": _whole(Precision.INT5, Grid(6, 64), Grid(4, 64), Grid(8), bar=0.96, largest_fall=0.02),
    "int4": _whole(Precision.INT4, Grid(5, 96), Grid(3, 64), Grid(6), bar=0.9, largest_fall=0.03),
}
"""Words get fewer bits: a word's error is one token's, a matrix's goes through all layers."""
