"""ONNX to MNN, by MNN's converter in a child process."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.bundle import Precision
from minnow.errors import ConversionError

if TYPE_CHECKING:
    from minnow.bundle import Recipe

CHILD = Path(__file__).with_name("mnn_child.py")
TIMEOUT = 900.0
_TAIL = 3


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
    with log.open("wb") as output:
        try:
            code = subprocess.run(
                command,
                cwd=graph.parent,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise ConversionError(
                _message(f"did not finish within {timeout:.0f} s and was stopped", log)
            ) from None
    if code < 0:
        raise ConversionError(_message(f"crashed with signal {-code}", log))
    if code or not encoder.is_file():
        raise ConversionError(_message("failed", log))


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


def _message(what: str, log: Path) -> str:
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    with tempfile.NamedTemporaryFile(
        "w", prefix="minnow-converter-", suffix=".log", delete=False, encoding="utf-8"
    ) as kept:
        kept.write("\n".join(lines))
    tail = " | ".join(lines[-_TAIL:]).rstrip(".") or "it printed nothing"
    return f"MNN's converter {what}: {tail}. Its whole log is in {kept.name}."
