"""The ONNX Runtime token engine, on the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minnow.engines.base import (
    ENCODER_INPUTS,
    check_batch,
    check_output,
    check_threads,
    model_name,
    one_line,
    output_rank,
)
from minnow.engines.forks import RuntimeThreads
from minnow.engines.sizes import check_room
from minnow.errors import EngineError, MissingExtraError
from minnow.model.spec import LONG, Interface

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from minnow.engines.base import Engine, TokenBatch
    from minnow.model.spec import EncoderSpec

_INTEGERS = {"tensor(int64)": np.int64, "tensor(int32)": np.int32}
_FATAL_ONLY = 4
_AS_WRITTEN = ("session.qdq_matmulnbits_accuracy_level", "1")  # else inputs are rounded to 8 bits
_threads = RuntimeThreads()


class OnnxRuntimeEngine:
    """Engine that runs an ONNX encoder: ids in, float32 token states or vectors out.

    A forked child loads a file again before its first pass: the threads of the parent's session
    are not there, and a pass may wait for one without end.

    An author's graph with 8-bit weights is computed as it is written; by default ONNX Runtime
    rounds the inputs of such layers to 8 bits, too.
    """

    name = "onnxruntime"
    _abandoned: list[Any] = []  # noqa: RUF012  never freed: their threads died in a fork

    def __init__(
        self,
        model: Path | bytes,
        spec: EncoderSpec,
        *,
        threads: int | None = None,
        interface: Interface = Interface.LAST_HIDDEN_STATE,
        width: int | None = None,
    ) -> None:
        """Load the model.

        Args:
            model: An ONNX file, or its content, with the inputs input_ids, attention_mask and
                optionally token_type_ids; the engine reads its first output of the rank that the
                interface has.
            spec: The network in it, for checking batches.
            threads: CPU threads of a forward pass; by default ONNX Runtime's own choice.
            interface: What the model gives: token states, or vectors.
            width: Length of the vectors, if it gives those; by default the network's.

        Raises:
            EngineError: ONNX Runtime refuses the file, or it is not an encoder.
            MissingExtraError: The extra `onnxruntime` is not installed.
        """
        check_threads(threads)
        self._model, self._threads, self._closed = model_name(model), threads or 0, False
        self._file = model if isinstance(model, Path) else None
        self._session = self._open(model)
        self._spec = spec
        self._inputs = {row.name: _INTEGERS.get(row.type) for row in self._session.get_inputs()}
        self.interface, self._width = interface, width
        rank = output_rank(interface)
        outputs = [row.name for row in self._session.get_outputs() if len(row.shape or ()) == rank]
        if not set(self._inputs) <= ENCODER_INPUTS or None in self._inputs.values() or not outputs:
            raise EngineError(
                f"{self._model} has inputs {sorted(self._inputs)}; an encoder has integer "
                f"inputs among {sorted(ENCODER_INPUTS)} and an output of {rank} axes, "
                f"{interface.value}."
            )
        self._output = outputs[0]
        _threads.engines.add(self)

    def run(self, batch: TokenBatch) -> NDArray[np.float32]:
        """Run one forward pass: float32 of the shape that `output_shape` gives.

        Raises:
            EngineError: The batch does not fit the model, or ONNX Runtime failed.
        """
        check_batch(batch, self._spec)
        if self._closed:
            raise EngineError("This engine is closed.")
        if self._session is None:
            self._session = self._open_again()
        check_room(batch.shape, self._spec, heads_apart=batch.shape[1] >= LONG)
        feeds = {name: getattr(batch, name).astype(kind) for name, kind in self._inputs.items()}
        try:
            (hidden,) = self._session.run([self._output], feeds)
        except Exception as error:  # ONNX Runtime's errors have no public base
            raise EngineError(
                f"ONNX Runtime failed on shape {batch.shape}: {one_line(error)}"
            ) from error
        states: NDArray[np.float32] = np.asarray(hidden, dtype=np.float32)
        check_output(states, batch, self._spec, self.interface, self._width)
        return states

    def lanes(self, batches: int) -> Sequence[Engine]:
        """Return the engine itself: its own threads share a batch well."""
        return (self,)

    def close(self) -> None:
        """Free the session; `run` fails from then on."""
        self._closed, self._session = True, None

    def after_fork(self) -> None:
        """Leave the parent's session, unless it has no thread but the caller's."""
        if self._session is not None and self._threads != 1:
            self._abandoned.append(self._session)
            self._session = None

    def _open_again(self) -> Any:
        if self._file is None:
            raise EngineError(
                "ONNX Runtime loaded this model from memory before this process was forked, and "
                "its threads are lost. Open the engine after the fork, or start processes with "
                "'spawn'."
            )
        return self._open(self._file)

    def _open(self, model: Path | bytes) -> Any:
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError("The engine onnxruntime", "onnxruntime") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = _FATAL_ONLY
        options.add_session_config_entry(*_AS_WRITTEN)
        try:
            return onnxruntime.InferenceSession(
                model if isinstance(model, bytes) else str(model),
                options,
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # ONNX Runtime's errors have no public base
            raise EngineError(
                f"ONNX Runtime cannot load {self._model}: {one_line(error)}"
            ) from error
