"""Things that turn text or token ids into vectors, and the table of the token engines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING

from minnow.engines.base import Engine, Memory, TextEmbedder, TokenBatch, check_memory
from minnow.errors import EngineError, InputError
from minnow.model.spec import Interface

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.model.spec import EncoderSpec

__all__ = [
    "ENGINES",
    "REBUILT",
    "Engine",
    "EngineKind",
    "Memory",
    "TextEmbedder",
    "TokenBatch",
    "check_engine",
    "open_engine",
]


REBUILT = Interface.LAST_HIDDEN_STATE
"""What a rebuilt graph gives, whatever the bundle's encoder does: vectors are pooled outside."""


@dataclass(frozen=True)
class EngineKind:
    """One row of the table of token engines.

    Attributes:
        module: Where its class is; imported when the engine is opened.
        type: The class's name.
        options: What the class is told besides the model.
        runs_encoder: Whether it runs a bundle's own encoder.mnn, with the options `memory` and
            `interface`. The others run the graph rebuilt, which gives token states.
    """

    module: str
    type: str
    options: Mapping[str, str] = field(default_factory=dict)
    runs_encoder: bool = False


ENGINES: Mapping[str, EngineKind] = {
    "mnn": EngineKind("minnow.engines.mnn", "MnnEngine", runs_encoder=True),
    "onnxruntime": EngineKind("minnow.engines.onnxruntime", "OnnxRuntimeEngine"),
    "openvino": EngineKind("minnow.engines.openvino", "OpenVinoEngine"),
    "openvino-bf16": EngineKind("minnow.engines.openvino", "OpenVinoEngine", {"precision": "bf16"}),
}


def check_engine(
    name: str, memory: str = "normal", interface: Interface = Interface.LAST_HIDDEN_STATE
) -> EngineKind:
    """The row of an engine, before any of its work is done.

    Args:
        name: A key of ENGINES.
        memory: What it would be opened with.
        interface: Likewise.

    Raises:
        EngineError: No engine is called so.
        InputError: `memory` is no mode of memory, or the engine has no modes; or the engine gives
            token states only.
    """
    kind = ENGINES.get(name)
    if kind is None:
        raise EngineError(f"There is no engine {name!r}; choose {', '.join(ENGINES)}.")
    check_memory(memory)
    if memory != "normal" and not kind.runs_encoder:
        raise InputError(
            f"memory={memory!r} is an option of MNN; the engine {name!r} does not have it. "
            'Leave it out, or open the bundle with engine="mnn".'
        )
    if interface is not REBUILT and not kind.runs_encoder:
        raise InputError(f"The engine {name!r} gives {REBUILT.value} only, not {interface.value}.")
    return kind


def open_engine(
    name: str,
    model: Path | bytes,
    spec: EncoderSpec,
    *,
    threads: int | None = None,
    memory: Memory = "normal",
    interface: Interface = Interface.LAST_HIDDEN_STATE,
) -> Engine:
    """Open a token engine by its name in the table.

    Args:
        name: A key of ENGINES.
        model: An encoder.mnn for "mnn"; for all others an ONNX file, or its content.
        spec: The network in it.
        threads: CPU threads of a forward pass; by default the engine's own choice.
        memory: What MNN may hold in RAM, see `MnnEngine`; for all others "normal".
        interface: What the encoder.mnn gives; for all others token states.

    Raises:
        EngineError: No engine is called so, or it refuses the model.
        InputError: As `check_engine`.
        MissingExtraError: The engine's extra is not installed.
    """
    kind = check_engine(name, memory, interface)
    of_encoder = {"memory": memory, "interface": interface} if kind.runs_encoder else {}
    engine: Engine = getattr(import_module(kind.module), kind.type)(
        model, spec, threads=threads, **of_encoder, **kind.options
    )
    return engine
