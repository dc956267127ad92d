"""The encoders of a bundle: a graph, made small by a recipe, converted to MNN."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnow.convert.author import adopt_graph
from minnow.convert.gelu import stored_model
from minnow.convert.graph_file import remove_graph, write_graph
from minnow.convert.mnn import convert_to_mnn
from minnow.convert.quantize import quantize
from minnow.graph.encoder import build_graph
from minnow.graph.form import GraphForm
from minnow.manifest import ENCODER, encoder_file, shape_name
from minnow.model.parameters import tensor_shapes
from minnow.model.source import author_graph
from minnow.model.spec import LONG
from minnow.recipe import Graph, Grid, Precision, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable

    from minnow.model.original import Original

    Progress = Callable[[str], None]

LOG = "conversion.log"
MANY_NUMBERS = 2**21
"""Numbers of a network from which its encoder has them in a file of their own."""


def write_encoders(
    original: Original,
    folder: Path,
    recipe: Recipe,
    *,
    shapes: Sequence[tuple[int, int]] = (),
    calibration: Sequence[str] | None = None,
    progress: Progress = lambda _: None,
) -> Original:
    """Write encoder.mnn, and an encoder for each fixed shape.

    Returns:
        The model as the encoders compute it: the numbers that they store, and MNN's GELU.

    Raises:
        SourceError: The author's graph cannot be converted.
        ConversionError: MNN's converter failed.
    """
    step = f"converting to MNN ({recipe.precision.value}"
    if recipe.graph is Graph.AUTHOR:
        progress(f"{step}, the author's graph)")
        graph = adopt_graph(author_graph(original.source), original.encoder)
        _Writer(folder, recipe, original.encoder.inputs, {}).write(lambda outside: graph)
        return original
    rounded = quantize(original, recipe, calibration, progress)
    heads = original.head.inputs if recipe.interface.per_text else ()
    if recipe.precision is Precision.FP16:
        rounded = rounded.with_fractions()
    numbers = sum(math.prod(shape) for shape in tensor_shapes(original.network).values())
    outside = numbers >= MANY_NUMBERS
    writer = _Writer(folder, recipe, (*original.encoder.inputs, *heads), rounded.grids, outside)
    build = partial(
        build_graph,
        original.network,
        rounded.tensors,
        rounded.packed,
        original.head if recipe.interface.per_text else None,
        multiplied=rounded.multiplied,
        output=recipe.interface,
    )
    form = graph_form(recipe, long=original.embedding.is_long)
    progress(f"{step})")
    writer.write(partial(build, form=form))
    for shape in shapes:
        progress(f"{step}, {shape_name(shape)})")
        fixed = replace(form, shape=shape, long=shape[1] >= LONG)
        writer.write(partial(build, form=fixed), shape)
    return stored_model(original, rounded.tensors, recipe)


def graph_form(recipe: Recipe, *, long: bool) -> GraphForm:
    """Return the form in which a recipe has a network written for MNN.

    Args:
        recipe: The recipe.
        long: Whether attention is for long texts.
    """
    return GraphForm(
        in_parts=not recipe.rounds,  # weights that share a step are not taken apart
        exact_gelu=recipe.exact_gelu,
        long=long,
        for_mnn=True,
    )


@dataclass(frozen=True)
class _Writer:
    """Converter of graphs to MNN files in a folder."""

    folder: Path
    recipe: Recipe
    inputs: Sequence[str]
    grids: Mapping[str, Grid]
    outside: bool = False

    def write(self, build: Callable[..., Any], shape: tuple[int, int] | None = None) -> None:
        """Convert an ONNX model to encoder.mnn, or to the encoder of a fixed shape."""
        graph = self.folder / "graph.onnx"
        write_graph(build, graph, self.recipe)
        encoder = self.folder / (encoder_file(shape) if shape else ENCODER)
        log = self.folder / (f"{encoder.stem}.log" if shape else LOG)
        inputs = [f"{name}:int:{shape_name(shape)}" if shape else name for name in self.inputs]
        convert_to_mnn(
            graph, encoder, self.recipe, inputs, grids=self.grids, log=log, outside=self.outside
        )
        remove_graph(graph)
