"""ONNX to MNN, by MNN's converter in a child process."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.bundle import Precision
from minnow.convert.child import TIMEOUT, failure, run_child

if TYPE_CHECKING:
    from minnow.bundle import Recipe

CHILD = Path(__file__).with_name("mnn_child.py")
_WHO = "MNN's converter"


def convert_to_mnn(
    graph: Path,
    encoder: Path,
    recipe: Recipe,
    inputs: tuple[str, ...],
    *,
    log: Path,
    timeout: float = TIMEOUT,
) -> None:
    """Convert a graph, then load and run the result once.

    Args:
        graph: The ONNX file.
        encoder: The MNN file to write, in the same folder.
        recipe: Decides precision and options.
        inputs: Names of the graph's inputs.
        log: Where all that the converter prints goes.
        timeout: Seconds after which the converter counts as hung, and is killed.

    Raises:
        ConversionError: It failed, crashed or hung; the message has the end of the log and the
            place of a copy that outlives the staging folder.
    """
    encoder.unlink(missing_ok=True)
    command = [
        sys.executable, str(CHILD), graph.name, encoder.name, ",".join(inputs),
        *converter_options(recipe),
    ]  # fmt: skip
    run_child(_WHO, command, log=log, folder=graph.parent, timeout=timeout)
    if not encoder.is_file():
        raise failure(_WHO, "failed", log)


def converter_options(recipe: Recipe) -> list[str]:
    """The recipe as options of MNN's converter."""
    options = [
        "--bizCode",
        recipe.biz_code,
        "--useGeluApproximation",
        str(int(not recipe.exact_gelu)),
    ]
    if recipe.precision is Precision.FP16:
        options.append("--fp16")
    return options
