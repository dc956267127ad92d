"""Engines that turn text or token ids into vectors: the table of them, and their options."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypedDict, get_args

from msgspec import Struct, field
from msgspec.structs import asdict, force_setattr

from minnow.engines.base import (
    BackendName,
    Engine,
    MemoryMode,
    MemoryName,
    Mode,
    PrecisionName,
    TextEmbedder,
    TokenBatch,
    check_memory,
    check_word,
)
from minnow.errors import EngineError, InputError
from minnow.model.spec import Interface

if TYPE_CHECKING:
    from pathlib import Path

    from minnow.model.spec import EncoderSpec

__all__ = [
    "AGREEMENT",
    "AUTO",
    "ENGINES",
    "FASTEST",
    "MNN",
    "Engine",
    "EngineArguments",
    "EngineKind",
    "EngineOptions",
    "MemoryMode",
    "TextEmbedder",
    "TokenBatch",
    "open_engine",
]

MNN = "mnn"
AUTO, FASTEST, BEST = "auto", "fastest", "best"
AGREEMENT = 0.9999
"""The least cosine to the bundle's own vectors that another engine may have."""


class EngineKind(Struct, frozen=True):
    """One row of the table of token engines.

    Attributes:
        module: The module of its class; imported when the engine is opened.
        type: The class's name.
        options: Further arguments of the class.
        runs_encoder: Whether it runs a bundle's own encoder.mnn, in any `Mode`. The others run the
            graph rebuilt.
    """

    module: str
    type: str
    options: Mapping[str, Any] = field(default_factory=dict)
    runs_encoder: bool = False


ENGINES: Mapping[str, EngineKind] = {
    "mnn": EngineKind("minnow.engines.mnn", "MnnEngine", runs_encoder=True),
    "onnxruntime": EngineKind("minnow.engines.onnxruntime", "OnnxRuntimeEngine"),
    "openvino": EngineKind("minnow.engines.openvino", "OpenVinoEngine"),
    "openvino-bf16": EngineKind("minnow.engines.openvino", "OpenVinoEngine", {"precision": "bf16"}),
}


def _kind_of(engine: str) -> EngineKind:
    if engine not in ENGINES:
        raise EngineError(f"There is no engine {engine!r}; choose {', '.join(ENGINES)}.")
    return ENGINES[engine]


class EngineArguments(TypedDict, total=False):
    """The fields of `EngineOptions`, as keyword arguments."""

    engine: str
    threads: int | None
    memory: MemoryMode | MemoryName
    precision: PrecisionName
    backend: BackendName
    source: str | None
    agreement: float


class EngineOptions(Struct, frozen=True):
    """Choice of the engine that runs a bundle, and its options.

    Attributes:
        engine: "mnn", "onnxruntime", "openvino" or "openvino-bf16"; or "fastest", the fastest of
            the last three that works here and agrees, else "mnn"; or "auto": "mnn" for a few
            texts, and for many the fastest one whose extra is installed, on x86.
        threads: CPU threads; by default those of the machine, four at most.
        memory: "low" uses less RAM where weights are int8 or smaller, and gives coarser vectors,
            which only `minnow prove` proves; see `MnnEngine`.
        precision: "low" computes in half precision where the CPU can.
        backend: The processor that computes; or "best": the fastest backend, precision and memory
            that gives the vectors of the bundle's canaries here. It is tried once, and remembered.
        source: Where the checkpoint is now, for other engines than MNN. They need it for a bundle
            of the author's graph only; for others it is compared with the bundle.
        agreement: The least cosine to the bundle's own vectors that another engine may have on a
            few texts; 0 skips the comparison. For a reranker see `Reranker.open`.

    Raises:
        EngineError: There is no such engine.
        InputError: There is no such memory, precision or backend, or the engine has no choice of
            them.
    """

    engine: str = AUTO
    threads: int | None = None
    memory: MemoryMode | MemoryName = MemoryMode.NORMAL
    source: str | None = None
    agreement: float = AGREEMENT
    precision: PrecisionName = "normal"
    backend: BackendName = "cpu"

    def __post_init__(self) -> None:
        """Check the options before any work starts."""
        has_modes = self.engine in (AUTO, FASTEST) or _kind_of(self.engine).runs_encoder
        force_setattr(self, "memory", check_memory(self.memory))
        check_word("precision", self.precision, get_args(PrecisionName))
        check_word("backend", self.backend, get_args(BackendName))
        for name, usual in asdict(Mode()).items():
            value = getattr(self.mode, name)
            if value != usual and not has_modes:
                raise InputError(
                    f"{name}={value!r} is an option of MNN; the engine {self.engine!r} does "
                    'not have it. Leave it out, or open the bundle with engine="mnn".'
                )
        if self.backend == BEST and self.mode != Mode(BEST):
            raise InputError(
                "backend='best' chooses precision and memory by itself. Leave both out, or choose "
                "a backend."
            )

    @property
    def mode(self) -> Mode:
        """The way in which MNN computes; its backend may be "best"."""
        return Mode(self.backend, self.precision, MemoryMode(self.memory).value)


def open_engine(
    model: Path | bytes,
    spec: EncoderSpec,
    options: EngineOptions = EngineOptions(),  # noqa: B008  a frozen record
    *,
    interface: Interface = Interface.LAST_HIDDEN_STATE,
    width: int | None = None,
    heads_apart: bool = False,
) -> Engine:
    """Open a token engine.

    Args:
        model: An encoder.mnn for "mnn"; for all others an ONNX file, or its content.
        spec: The network in it.
        options: Which engine, and its threads and memory; "auto" and "fastest" are MNN here, where
            nothing tells which other engine agrees.
        interface: The output of the model to read.
        width: Length of the vectors of a model that gives them; by default the network's.
        heads_apart: Whether an encoder.mnn computes one head of attention at a time.

    Raises:
        EngineError: There is no such engine, or it refuses the model.
        MissingExtraError: The engine's extra is not installed.
    """
    kind = _kind_of(MNN if options.engine in (AUTO, FASTEST) else options.engine)
    given = {**kind.options, "interface": interface, "width": width}
    if kind.runs_encoder:
        given |= asdict(options.mode) | {"heads_apart": heads_apart}
    engine: Engine = getattr(import_module(kind.module), kind.type)(
        model, spec, threads=options.threads, **given
    )
    return engine
