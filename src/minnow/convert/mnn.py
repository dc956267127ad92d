"""ONNX to MNN, by MNN's converter in a child process."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING

from minnow.errors import ConversionError
from minnow.graph.mnn_file import CONVERTED, missing_numbers
from minnow.processes import TIMEOUT, run_child
from minnow.recipe import Precision

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from minnow.recipe import Grid, Recipe

GRIDS = "grids.json"
_PROBE = 1 << 20
"""Bytes that a disk with room takes."""
CHILD = Path(__file__).with_name("mnn_child.py")


def convert_to_mnn(
    graph: Path,
    encoder: Path,
    recipe: Recipe,
    inputs: Sequence[str],
    *,
    grids: Mapping[str, Grid] = MappingProxyType({}),
    log: Path,
    outside: bool = False,
    timeout: float = TIMEOUT,
) -> None:
    """Convert a graph, then load and run the result once.

    Each conversion has a working directory of its own: the converter writes a scratch file of a
    fixed name there, and two at once in one directory give wrong models without a word.

    Args:
        graph: The ONNX file.
        encoder: The MNN file to write, in the same folder.
        recipe: Decides precision and options.
        inputs: Names of the graph's inputs; of others than int32 of any (batch, seq) also kind and
            shape, as in NAME:int:1x32.
        grids: The grid of each matrix that the converter stores as whole numbers, by the name of
            its linear layer. Weights that are on their grid come through unchanged.
        log: Where all that the converter prints goes.
        outside: Write the numbers to a file of their own beside the encoder, which has its name
            and `minnow.graph.mnn_file.WEIGHTS`; MNN holds numbers inside a model twice.
        timeout: Seconds after which the converter counts as hung, and is killed.

    Raises:
        ConversionError: It failed, crashed or hung; the message has the end of the log and the
            place of a copy that outlives the staging folder. Or it left out numbers.
        OSError: The disk is full: the converter writes half a file then, and reports success.
    """
    with TemporaryDirectory(prefix="converter-", dir=graph.parent) as working:
        folder = Path(working)
        if recipe.weights:
            (folder / GRIDS).write_text(grids_file(grids), encoding="utf-8")
        command = [
            sys.executable, str(CHILD), f"../{graph.name}", f"../{encoder.name}",
            ",".join(inputs), *converter_options(recipe),
            *(["--saveExternalData"] if outside else []),
        ]  # fmt: skip
        try:
            run_child(
                "MNN's converter", command, log=log, folder=folder, result=encoder, timeout=timeout
            )
        finally:  # on a full disk this fails, whatever the converter says
            (folder / "probe").write_bytes(bytes(_PROBE))
    if outside and (missing := missing_numbers(encoder)):
        raise ConversionError(
            f"MNN's converter left out {missing} bytes of the model's numbers, as it does where "
            "the disk is full. Free some space, or choose another folder."
        )


def converter_options(recipe: Recipe) -> list[str]:
    """Return the recipe as options of MNN's converter."""
    gelu = str(int(not recipe.exact_gelu))
    options = ["--bizCode", recipe.biz_code, "--useGeluApproximation", gelu]
    if recipe.precision is Precision.FP16:
        options.append("--fp16")
    if recipe.weights:  # a --fp16 beside them would leave the weights in half precision
        options += ["--weightQuantBits", str(recipe.weights.bits), "--weightQuantScaleBit", "16"]
        options += ["--compressionParamsFile", GRIDS]
    return options


def grids_file(grids: Mapping[str, Grid]) -> str:
    """Return grids as MNN's compression file: JSON of `MNN.Compression.Pipeline`."""
    layers = []
    for name, grid in grids.items():
        operator = f"{name}{CONVERTED}"
        weight = {
            "name": operator,
            "bits": grid.bits,
            "asymmetric": True,
            "blockSize": grid.block or -1,
        }
        layers.append({"opName": operator, "weight": [weight]})
    algorithms = [{"type": "QUANTIZE", "quantParams": {"layer": layers}}]
    return json.dumps({"version": "1", "algo": algorithms})
