"""The OpenVINO token engine, on the CPU, in float32 or bfloat16."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from minnow.engines.base import (
    ENCODER_INPUTS,
    check_batch,
    check_output,
    check_threads,
    model_name,
    one_line,
)
from minnow.engines.openvino_library import own_signal_stack, without_telemetry
from minnow.errors import EngineError, MissingExtraError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.engines.base import TokenBatch
    from minnow.model.spec import EncoderSpec


class _Runtime:
    """OpenVINO's threads. They do not survive a fork: whoever compiles a model then, hangs."""

    started = False
    lost = False


def _after_fork() -> None:
    _Runtime.lost = _Runtime.lost or _Runtime.started


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class OpenVinoEngine:
    """Runs an ONNX encoder: ids in, float32 token states out. One request behind one lock.

    An engine that was opened before a fork still runs in the child; none can be opened there.
    """

    name = "openvino"

    def __init__(
        self,
        model: Path | bytes,
        spec: EncoderSpec,
        *,
        threads: int | None = None,
        precision: Literal["f32", "bf16"] = "f32",
    ) -> None:
        """Load the model.

        Args:
            model: An ONNX file, or its content, with inputs input_ids, attention_mask and, if it
                likes, token_type_ids; its output of shape (batch, tokens, width) is taken.
            spec: The network in it, for checking batches.
            threads: CPU threads of a forward pass; by default OpenVINO's own choice.
            precision: What OpenVINO computes in. Its own default would be bf16 wherever the CPU
                has instructions for that.

        Raises:
            EngineError: OpenVINO refuses the file, or it is not an encoder; or OpenVINO was used
                before this process was forked.
            MissingExtraError: The extra `openvino` is not installed.
        """
        check_threads(threads)
        if _Runtime.lost:
            raise EngineError(
                "OpenVINO was used before this process was forked, and cannot load a model any "
                "more. Open the engine before the fork, or start processes with 'spawn'."
            )
        runtime = _import_openvino()
        _Runtime.started = True
        name = model_name(model)
        hints = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": precision,
            "INFERENCE_NUM_THREADS": threads or 0,
        }
        try:
            with own_signal_stack():
                core = runtime.Core()
                network = core.read_model(model=model if isinstance(model, bytes) else str(model))
                compiled = core.compile_model(network, "CPU", hints)
        except Exception as error:  # OpenVINO raises RuntimeError and others
            raise EngineError(f"OpenVINO cannot load {name}: {one_line(error)}") from error
        self._spec, self._lock = spec, threading.Lock()
        self._inputs = {port.any_name: port.element_type.to_dtype() for port in compiled.inputs}
        outputs = [port for port in compiled.outputs if len(port.partial_shape) == 3]
        if not set(self._inputs) <= ENCODER_INPUTS or not outputs:
            raise EngineError(
                f"{name} has inputs {sorted(self._inputs)}; an encoder has integer inputs among "
                f"{sorted(ENCODER_INPUTS)} and an output of shape (batch, tokens, width)."
            )
        self._output = outputs[0]
        self._request = compiled.create_infer_request()

    def run(self, batch: TokenBatch) -> NDArray[np.float32]:
        """One forward pass: float32 of shape (batch, tokens, width).

        Raises:
            EngineError: The batch does not fit the model, or OpenVINO failed.
        """
        check_batch(batch, self._spec)
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
        check_output(states, batch, self._spec)
        return states

    def close(self) -> None:
        """Free the request and its model; `run` fails from then on."""
        with self._lock:
            self._request = None


def _import_openvino() -> Any:
    try:
        with without_telemetry():
            import openvino
    except ImportError as error:
        raise MissingExtraError("The engine openvino", "openvino") from error
    return openvino
