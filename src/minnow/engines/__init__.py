"""Things that turn text or token ids into vectors, and the table of the token engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from minnow.engines.base import Engine, TextEmbedder, TokenBatch
from minnow.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.model.spec import EncoderSpec

__all__ = ["ENGINES", "Engine", "EngineKind", "TextEmbedder", "TokenBatch", "open_engine"]


@dataclass(frozen=True)
class EngineKind:
    """One row of the table of token engines.

    Attributes:
        module: Where its class is; imported when the engine is opened.
        type: The class's name.
        options: What the class is told besides the model.
    """

    module: str
    type: str
    options: Mapping[str, str] = field(default_factory=dict)


ENGINES: Mapping[str, EngineKind] = {
    "mnn": EngineKind("minnow.engines.mnn", "MnnEngine"),
    "onnxruntime": EngineKind("minnow.engines.onnxruntime", "OnnxRuntimeEngine"),
    "openvino": EngineKind("minnow.engines.openvino", "OpenVinoEngine"),
    "openvino-bf16": EngineKind("minnow.engines.openvino", "OpenVinoEngine", {"precision": "bf16"}),
}


def open_engine(
    name: str, model: Path | bytes, spec: EncoderSpec, *, threads: int | None = None
) -> Engine:
    """Open a token engine by its name in the table.

    Args:
        name: A key of ENGINES.
        model: An encoder.mnn for "mnn"; for all others an ONNX file, or its content.
        spec: The network in it.
        threads: CPU threads of a forward pass; by default the engine's own choice.

    Raises:
        EngineError: No engine is called so, or it refuses the model.
        MissingExtraError: The engine's extra is not installed.
    """
    kind = ENGINES.get(name)
    if kind is None:
        raise EngineError(f"There is no engine {name!r}; choose {', '.join(ENGINES)}.")
    engine: Engine = getattr(import_module(kind.module), kind.type)(
        model, spec, threads=threads, **kind.options
    )
    return engine
