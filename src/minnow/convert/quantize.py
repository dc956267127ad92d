"""Rounding of a network's tables and matrices to integers of a few bits, by its recipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from minnow.convert.calibrate import round_network
from minnow.convert.calibration import as_pairs, calibration_rows
from minnow.convert.gelu import corrected_biases
from minnow.convert.graph_file import nearest_halves
from minnow.convert.room import check_calibration
from minnow.convert.rounding import round_matrix
from minnow.errors import ConversionError
from minnow.graph.fractions import fraction_table
from minnow.graph.multiplied import Multiplied
from minnow.graph.packed import TURN_BITS, StoredTable, pack_table
from minnow.model.head import layer_shapes
from minnow.model.parameters import linear_layers, tensor_shapes
from minnow.model.tensors import LazyTensors
from minnow.recipe import Grid, Rounding
from minnow.records import replace

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from minnow.model.network import Network
    from minnow.model.original import Original
    from minnow.recipe import Recipe

    Tensors = Mapping[str, NDArray[np.float32]]

_BYTE = 8
_WORDS = "embeddings.word"
HEAD_GRID = Grid(8, 64)
"""The grid of a head's matrices where those of the network are rounded: they are small, and no
later layer evens out their errors."""


@dataclass(frozen=True)
class Rounded:
    """A model's numbers, as the graph stores them.

    Attributes:
        tensors: All tensors; those on a grid have values of that grid.
        packed: Tables to store packed.
        grids: The grid of each matrix, by the name of its operator.
        multiplied: Matrices whose inputs the graph multiplies.
    """

    tensors: Tensors
    packed: Mapping[str, StoredTable] = field(default_factory=dict)
    grids: Mapping[str, Grid] = field(default_factory=dict)
    multiplied: Multiplied = field(default_factory=Multiplied)

    def with_fractions(self) -> Rounded:
        """Return the same with the word table as fractions, for a recipe of float16.

        They are rounded to halves first. Phones compute in half precision: it holds each of these
        fractions, so that they have the numbers that the proof had.

        Raises:
            ConversionError: A number is too large for half precision.
        """
        tensors = LazyTensors(self.tensors)
        words = fraction_table(nearest_halves(tensors[_WORDS], _WORDS))
        tensors.put(_WORDS, words.unpack)
        return replace(self, tensors=tensors, packed={**self.packed, _WORDS: words})


def quantize(
    original: Original,
    recipe: Recipe,
    texts: Sequence[str] | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Rounded:
    """Round a model's tables and matrices.

    Args:
        original: The model.
        recipe: The grids of tables and matrices, and the way to round.
        texts: Text to calibrate on, of the kind that will be embedded; by default the built-in
            text. It has no effect where the recipe does not calibrate.
        progress: Receives a line of text before each layer.

    Returns:
        Tensors, packed tables, grids, and matrices of multiplied inputs. Where the recipe has MNN's
        fast GELU, biases correct its mean error.

    Raises:
        ConversionError: The model is too narrow to be packed.
        InputError: The texts are too few to calibrate on.
    """
    network, tensors = original.network, LazyTensors(original.tensors)
    tables = {_WORDS: recipe.words}
    if network.positions:
        tables["embeddings.position"] = recipe.positions
    if any(tables.values()):
        _check_width(network.table_width)
    packed = {
        name: pack_table(
            tensors[name],
            grid.bits,
            grid.block_in(network.table_width),
            turned=True,
        )
        for name, grid in tables.items()
        if grid
    }
    if recipe.weights is None:
        return Rounded(_stored(tensors, packed, network, recipe), packed)
    shapes = tensor_shapes(network)
    grids = {
        name: _for_rows(recipe.weights, shapes[f"{name}.weight"][1])
        for name in linear_layers(network)
    }
    heads = {
        name.removesuffix(".weight"): _for_rows(HEAD_GRID, shape[1])
        for name, shape in layer_shapes(original.head, network.output_width).items()
        if len(shape) == 2
    }
    _round(tensors, heads)
    turns = heads | {
        f"{n}.turned": Grid(TURN_BITS) for n, t in packed.items() if t.turn is not None
    }
    if recipe.rounding is Rounding.CALIBRATED and grids:
        rows = calibration_rows(original, texts)
        types: list[list[int]] = []
        if original.reranking is not None:
            rows, types = as_pairs(original, rows)
        check_calibration(network, rows)
        rounded, multiplied = round_network(
            network, tensors, rows, grids.__getitem__, progress, types
        )
        grids = {multiplied.operator(name): grid for name, grid in grids.items()}
        return Rounded(_stored(rounded, packed, network, recipe), packed, grids | turns, multiplied)
    progress("rounding matrices")
    _round(tensors, grids)
    return Rounded(_stored(tensors, packed, network, recipe), packed, grids | turns)


def _round(tensors: LazyTensors, grids: Mapping[str, Grid]) -> None:
    """Round matrices to the nearest numbers of their grids."""
    for name, grid in grids.items():
        tensors.put(f"{name}.weight", round_matrix(tensors[f"{name}.weight"], grid).values)


def _stored(
    tensors: LazyTensors, packed: Mapping[str, StoredTable], network: Network, recipe: Recipe
) -> Tensors:
    """Return the tensors with the numbers that packed tables stand for, and corrected biases."""
    for name, table in packed.items():
        tensors.put(name, table.unpack)
    return tensors | ({} if recipe.exact_gelu else corrected_biases(network, tensors))


def _for_rows(grid: Grid, row: int) -> Grid:
    """Return the grid with a block that divides a row, or without blocks."""
    block = grid.block_in(row)
    return Grid(grid.bits, block if block < row else 0)


def _check_width(width: int) -> None:
    if width % _BYTE:
        raise ConversionError(
            f"The model's tables are {width} wide. Tables are packed where the width is a multiple "
            f"of {_BYTE}; take `precision=fp16`."
        )
