"""The OpenVINO token engine, on the CPU, in float32 or bfloat16."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from minnow.engines.base import (
    BATCHES_PER_LANE,
    ENCODER_INPUTS,
    check_batch,
    check_output,
    check_threads,
    default_threads,
    model_name,
    one_line,
    output_rank,
    usable_cpus,
)
from minnow.engines.forks import RuntimeThreads
from minnow.engines.openvino_library import own_signal_stack, without_telemetry
from minnow.engines.sizes import check_room
from minnow.errors import EngineError, MissingExtraError
from minnow.model.spec import LONG, Interface

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.engines.base import Engine, TokenBatch
    from minnow.model.spec import EncoderSpec


_threads = RuntimeThreads()


def _refuse_after_fork() -> None:
    if _threads.lost:
        raise EngineError(
            "OpenVINO was used before this process was forked, and cannot load a model any "
            "more. Open and use the engine before the fork, or start processes with 'spawn'."
        )


class OpenVinoEngine:
    """Engine that runs an ONNX encoder: ids in, float32 token states or vectors out.

    One request behind one lock, and more for `lanes`. Both have weights of their own, and are
    compiled when they are first used. What was compiled before a fork still runs in the child;
    nothing can be compiled there.
    """

    name = "openvino"

    def __init__(
        self,
        model: Path | bytes,
        spec: EncoderSpec,
        *,
        threads: int | None = None,
        precision: Literal["f32", "bf16"] = "f32",
        interface: Interface = Interface.LAST_HIDDEN_STATE,
        width: int | None = None,
    ) -> None:
        """Load the model.

        Args:
            model: An ONNX file, or its content, with the inputs input_ids, attention_mask and
                optionally token_type_ids; the engine reads its first output of the rank that the
                interface has.
            spec: The network in it, for checking batches.
            threads: CPU threads of a forward pass; by default OpenVINO's own choice.
            precision: The type that OpenVINO computes in. Its own default is bf16 wherever the
                CPU has instructions for it.
            interface: What the model gives: token states, or vectors.
            width: Length of the vectors, if it gives those; by default the network's.

        Raises:
            EngineError: OpenVINO refuses the file, or it is not an encoder; or OpenVINO was used
                before this process was forked.
            MissingExtraError: The extra `openvino` is not installed.
        """
        check_threads(threads)
        _refuse_after_fork()
        self._model, self._spec, self.interface, self._width = model, spec, interface, width
        self._hints: dict[str, str | int | bool] = {
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads or 0,
        }
        if threads is not None and threads < usable_cpus():
            # processes side by side would all bind their threads to the same, the first CPUs
            self._hints["ENABLE_CPU_PINNING"] = False
        self.threads = threads or default_threads()
        self._lock = threading.Lock()
        self._lanes: tuple[_Lane, ...] = ()
        self._whole: _Lane | None = None
        self._closed = False
        self._core: Any = None
        self._network: Any = self._read()

    def run(self, batch: TokenBatch) -> NDArray[np.float32]:
        """Run one forward pass: float32 of the shape that `output_shape` gives.

        Raises:
            EngineError: The batch does not fit the model, or OpenVINO failed.
        """
        with self._lock:
            self._check_open()
            if self._whole is None:
                self._whole = self._compile({"PERFORMANCE_HINT": "LATENCY"}, requests=1)[0]
            whole = self._whole
        return whole.run(batch)

    def lanes(self, batches: int) -> Sequence[Engine]:
        """Return a stream for each thread, where there are enough batches for all.

        Streams share the weights. The first call compiles them, and a forked child compiles none;
        they take few batches too while nothing else is compiled.

        Raises:
            EngineError: The engine is closed.
        """
        with self._lock:
            self._check_open()
            if self._lanes and self._whole is None:
                return self._lanes
            if self.threads == 1 or batches < self.threads * BATCHES_PER_LANE or _threads.lost:
                return (self,)
            if not self._lanes:
                streams = {"NUM_STREAMS": str(self.threads)}
                self._lanes = self._compile(streams, requests=self.threads)
            return self._lanes

    def close(self) -> None:
        """Free the requests and their models; `run` fails from then on."""
        with self._lock:
            for lane in self._lanes if self._whole is None else (self._whole, *self._lanes):
                lane.close()
            self._closed, self._whole, self._lanes = True, None, ()
            self._network = self._core = None

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError("This engine is closed.")

    def _read(self) -> Any:
        """Read the model, and check that it is an encoder."""
        runtime, name = _import_openvino(), model_name(self._model)
        _threads.started = True
        model = self._model if isinstance(self._model, bytes) else str(self._model)
        try:
            with own_signal_stack():
                self._core = self._core or runtime.Core()
                network = self._core.read_model(model=model)
        except Exception as error:  # OpenVINO raises RuntimeError and others
            raise EngineError(f"OpenVINO cannot load {name}: {one_line(error)}") from error
        inputs = {port.any_name for port in network.inputs}
        rank = output_rank(self.interface)
        if not inputs <= ENCODER_INPUTS or not _outputs(network, rank):
            raise EngineError(
                f"{name} has inputs {sorted(inputs)}; an encoder has integer inputs among "
                f"{sorted(ENCODER_INPUTS)} and an output of {rank} axes, {self.interface.value}."
            )
        return network

    def _compile(self, hints: Mapping[str, str], requests: int) -> tuple[_Lane, ...]:
        _refuse_after_fork()
        network, self._network = self._network or self._read(), None
        try:
            with own_signal_stack():
                compiled = self._core.compile_model(network, "CPU", {**self._hints, **hints})
        except Exception as error:  # OpenVINO raises RuntimeError and others
            name = model_name(self._model)
            raise EngineError(f"OpenVINO cannot load {name}: {one_line(error)}") from error
        output = (self.interface, self._width)
        return tuple(_Lane(compiled, self._spec, *output) for _ in range(requests))


def _outputs(model: Any, rank: int) -> list[Any]:
    """Return the outputs of a number of axes."""
    return [port for port in model.outputs if len(port.partial_shape) == rank]


class _Lane:
    """One request of a compiled model, behind one lock."""

    name = "openvino"

    def __init__(
        self, compiled: Any, spec: EncoderSpec, interface: Interface, width: int | None
    ) -> None:
        self._spec, self._lock = spec, threading.Lock()
        self.interface, self._width = interface, width
        self._inputs = {port.any_name: port.element_type.to_dtype() for port in compiled.inputs}
        self._output = _outputs(compiled, output_rank(interface))[0]
        self._request = compiled.create_infer_request()

    def run(self, batch: TokenBatch) -> NDArray[np.float32]:
        check_batch(batch, self._spec)
        check_room(batch.shape, self._spec, heads_apart=batch.shape[1] >= LONG)
        feeds = {name: getattr(batch, name).astype(kind) for name, kind in self._inputs.items()}
        with self._lock:
            if self._request is None:
                raise EngineError("This engine is closed.")
            try:
                hidden = self._request.infer(feeds)[self._output]
            except Exception as error:  # OpenVINO raises RuntimeError and others
                raise EngineError(
                    f"OpenVINO failed on shape {batch.shape}: {one_line(error)}"
                ) from error
        states: NDArray[np.float32] = np.asarray(hidden, dtype=np.float32)
        check_output(states, batch, self._spec, self.interface, self._width)
        return states

    def lanes(self, batches: int) -> Sequence[Engine]:
        del batches
        return (self,)

    def close(self) -> None:
        with self._lock:
            self._request = None


def computes_bf16() -> bool:
    """Return whether this CPU has instructions for bfloat16, according to OpenVINO.

    Raises:
        EngineError: OpenVINO was used before this process was forked.
        MissingExtraError: The extra `openvino` is not installed.
    """
    _refuse_after_fork()
    with own_signal_stack():
        core = _import_openvino().Core()
        return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _import_openvino() -> Any:
    try:
        with without_telemetry():
            import openvino
    except ImportError as error:
        raise MissingExtraError("The engine openvino", "openvino") from error
    return openvino
