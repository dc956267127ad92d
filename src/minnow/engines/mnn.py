"""The MNN token engine: one interpreter session on the CPU."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, get_args

import numpy as np

from minnow.engines.base import (
    BATCHES_PER_LANE,
    BackendName,
    MemoryMode,
    Mode,
    PrecisionName,
    check_batch,
    check_memory,
    check_output,
    check_threads,
    check_word,
    default_threads,
)
from minnow.engines.forks import ForkSafeLock, RuntimeThreads
from minnow.engines.model_file import ModelFile
from minnow.engines.sizes import check_room, check_scores
from minnow.engines.subnormals import subnormals_as_zeros
from minnow.engines.tiles import quick_length
from minnow.errors import EngineError
from minnow.mnn_modules import import_mnn_package
from minnow.model.head import POOLING_MASK
from minnow.model.spec import Interface
from minnow.resources import free_memory, require_memory
from minnow.signals import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.engines.base import MemoryName, TokenBatch
    from minnow.model.spec import EncoderSpec

MEMORY_MODES: Mapping[MemoryMode, int] = {
    MemoryMode.NORMAL: 0,
    MemoryMode.HIGH: 1,
    MemoryMode.LOW: 2,
}
"""MNN's BackendConfig::MemoryMode; from Python MNN reads a number and ignores a string."""

BACKENDS: Mapping[str, int] = {"cpu": 0, "metal": 1, "cuda": 2, "opencl": 3, "vulkan": 7}
"""MNN's MNNForwardType. Where a build lacks one, MNN computes on the CPU without an error."""
_ANY_CPU = (0, 13)
"""MNN_FORWARD_CPU, and MNN_FORWARD_CPU_EXTENSION: the CPU's newer instructions."""
_TUNED_FAST_ON_BUFFERS = 1 << 4 | 1 << 6
"""MNN_GPU_TUNING_FAST and MNN_GPU_MEMORY_BUFFER, which a GPU reads in place of threads."""
_BACKEND_OF_SESSION = 2
"""MNN's Interpreter::SessionInfoCode BACKENDS."""
_MEMORY_OF_SESSION = 0
"""MNN's Interpreter::SessionInfoCode MEMORY, in MiB."""

ROUNDING, BY_BLOCK = 5, 2
"""MNN's hint DYNAMIC_QUANT_OPTIONS: a scale for each block of a token's activations, not for all.

With one for all, low memory is 16 times further from the exact vectors, and 1 to 6 % faster.
"""

_importing = ForkSafeLock()
_threads = RuntimeThreads()


def import_mnn() -> Any:
    """Import MNN without the line that it prints on stdout from C.

    Raises:
        EngineError: MNN is not installed, or not for this machine.
    """
    try:
        silent = nullcontext() if "MNN" in sys.modules else _stdout_to_null()
        with _importing, uninterrupted(), silent:
            return import_mnn_package()
    except ImportError as error:
        raise EngineError(
            f"MNN cannot be imported ({error}). Install it with: pip install mnn"
        ) from error


@contextmanager
def _stdout_to_null() -> Iterator[None]:
    """Point file descriptor 1 at the null device, without losing what is buffered before."""
    _flush()
    try:
        saved = os.dup(1)
    except OSError:  # stdout is closed
        yield
        return
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 1)
        yield
    finally:
        _flush()
        os.dup2(saved, 1)
        os.close(null)
        os.close(saved)


def _flush() -> None:
    """Write what Python and C have buffered for stdout."""
    with suppress(OSError, ValueError, AttributeError):  # closed, or there is none
        sys.stdout.flush()
    with suppress(OSError, AttributeError, TypeError):  # a system without such a C library
        ctypes.CDLL(None).fflush(None)


LANES = 4
"""The most sessions that work side by side: each has its own weights and memory."""
LANES_SHARE = 4
"""All lanes together take at most the free memory divided by this."""
_LANES_ELSEWHERE = 2**30
"""The most bytes that all lanes take where the system does not state its free memory."""
_MOST_GROWTH = 8
"""A session is at most this many times as large as its file: 4 bits of a weight become 32."""


class MnnEngine:
    """Engine that runs an encoder.mnn: int32 ids in, float32 token states out, or vectors.

    One session behind one lock, and more for `lanes`. A child forked from a process that ran MNN
    with several threads gets one thread, for its parent's engines and for those it opens itself.
    """

    name = "mnn"

    def __init__(
        self,
        model: Path | ModelFile,
        spec: EncoderSpec,
        *,
        threads: int | None = None,
        memory: MemoryMode | MemoryName = MemoryMode.NORMAL,
        precision: PrecisionName = "normal",
        backend: BackendName = "cpu",
        interface: Interface = Interface.LAST_HIDDEN_STATE,
        width: int | None = None,
        heads_apart: bool = False,
        exact: bool = False,
    ) -> None:
        """Load the model.

        Args:
            model: The encoder.mnn. It stays open, so that a file that takes its place later is
                never mixed with it.
            spec: The network in it, for checking batches.
            threads: CPU threads of a forward pass; by default those of the machine, four at most.
            memory: "low" keeps weights that are whole numbers (8 bits and fewer) as they are in
                RAM, and rounds activations to 8 bits at run time: less RAM, coarser vectors.
                "normal" and "high" compute in float32 with the weights' own values. All three
                run weights that are floats alike. With "low" the length that a batch is padded
                to changes a text's vector, about as much as the rounding does.
            precision: "low" computes in half precision where the CPU can; x86 cannot.
            backend: The processor that computes; see `Mode`.
            interface: The output of the encoder to read.
            width: Length of the vectors of an encoder that gives them; by default the network's.
            heads_apart: Whether the encoder computes one head of attention at a time, which lets
                longer texts in; see `minnow.graph.long`.
            exact: Run each batch in exactly its shape, as an encoder of a fixed shape needs it.

        Raises:
            InputError: `memory`, `precision` or `backend` is none of its words.
            EngineError: MNN refuses the file, or its inputs and outputs are not an encoder's; or
                this build of MNN has no such backend.
        """
        check_threads(threads)
        check_word("precision", precision, get_args(PrecisionName))
        check_word("backend", backend, tuple(BACKENDS))
        self.memory, self._precision, self._backend = check_memory(memory), precision, backend
        self.interface, self._width, self._heads_apart = interface, width, heads_apart
        self._exact = exact
        self.threads = 1 if _threads.lost else threads or default_threads()
        self._model = model if isinstance(model, ModelFile) else ModelFile(model.absolute())
        self._spec = spec
        self._lock = threading.Lock()
        self._session: _Session | None = self._open()
        self._lanes: tuple[MnnEngine, ...] = ()
        self._closed = False
        _threads.engines.add(self)

    def run(self, batch: TokenBatch) -> NDArray[np.float32]:
        """Run one forward pass.

        Args:
            batch: Padded token ids.

        Returns:
            Token states, float32 of shape (batch, tokens, width); or vectors of shape
            (batch, width), pooled as the bundle says, where that is the interface.

        Raises:
            EngineError: The batch does not fit the model or the memory that is left, MNN failed,
                or the engine is closed.
        """
        check_batch(batch, self._spec)
        check_scores(batch.shape, self._spec, heads_apart=self._heads_apart)
        given, batch = batch, self._padded(batch)
        with self._lock:
            if self._closed:
                raise EngineError("This engine is closed.")
            if self._session is None:
                self._session = self._open()
            if batch.shape != self._session.shape:
                check_room(batch.shape, self._spec, heads_apart=self._heads_apart)
            found = self._session.run(batch)
        if self.interface is Interface.LAST_HIDDEN_STATE:
            found = found[:, : given.shape[1]]
        check_output(found, given, self._spec, self.interface, self._width)
        return found

    def _padded(self, batch: TokenBatch) -> TokenBatch:
        """Pad one text to a length that MNN runs sooner; "low" would change its vector."""
        rows, tokens = batch.shape
        if rows > 1 or self._exact or self.memory is MemoryMode.LOW or self._backend != "cpu":
            return batch
        length = quick_length(tokens, self._spec.max_positions)
        return batch if length == tokens else batch.filled((1, length), self._spec.pad_token_id)

    def lanes(self, batches: int) -> Sequence[MnnEngine]:
        """Return sessions that share out the threads, four at most, if there are enough batches.

        Two threads in two sessions do more than in one, where they wait for each other after
        every operator. A session has weights of its own, so there are only as many as fit into a
        quarter of the free memory, and just this one with "low" memory.

        Raises:
            EngineError: The engine is closed, or MNN cannot open the file again.
        """
        count = min(self.threads, LANES)
        alone = self.memory is MemoryMode.LOW or self._backend != "cpu"
        if count == 1 or alone or batches < count * BATCHES_PER_LANE:
            return (self,)
        with self._lock:
            if self._closed:
                raise EngineError("This engine is closed.")
            if not self._lanes:
                count = self._affordable_lanes(count)
                if count < 2:
                    return (self,)
                shares = [self.threads // count + (i < self.threads % count) for i in range(count)]
                self._lanes = tuple(
                    MnnEngine(
                        self._model,
                        self._spec,
                        threads=share,
                        memory=self.memory,
                        precision=self._precision,
                        interface=self.interface,
                        width=self._width,
                        heads_apart=self._heads_apart,
                        exact=self._exact,
                    )
                    for share in shares
                )
            return self._lanes

    def _affordable_lanes(self, count: int) -> int:
        """Return how many of `count` lanes fit their share of memory; callers hold the lock."""
        free = free_memory()
        room = _LANES_ELSEWHERE if free is None else free.size // LANES_SHARE
        if count * _MOST_GROWTH * self._model.size <= room:
            return count  # without the time that a first resize takes
        if self._session is None:
            self._session = self._open()
        return min(count, room // self._session.memory())

    def rest(self) -> None:
        """Free MNN's memory, that of the lanes too; the next `run` loads the same file again."""
        with self._lock:
            self._session = None
            lanes = self._lanes
        for lane in lanes:
            lane.rest()

    def close(self) -> None:
        """Free MNN's memory, that of the lanes too; `run` fails from then on."""
        with self._lock:
            self._closed, self._session = True, None
            for lane in self._lanes:
                lane.close()
            self._model.close()

    def _open(self) -> _Session:
        mode = Mode(self._backend, self._precision, self.memory.value)
        return _Session(self._model, self._spec, self.threads, mode, self.interface.value)

    def after_fork(self) -> None:
        """Open a new session with the next batch, and with one thread where threads are lost."""
        self._lock = threading.Lock()
        if self._session is not None:
            _Session.abandoned.append(self._session)
        self._session = None
        if _threads.lost:
            self.threads = 1


class _Session:
    """An interpreter, its session, and the shape of its inputs."""

    abandoned: list[_Session] = []  # noqa: RUF012  never freed: their threads died in a fork

    def __init__(
        self, model: ModelFile, spec: EncoderSpec, threads: int, mode: Mode, output: str
    ) -> None:
        mnn = import_mnn()
        self._mnn, self._output, self._model = mnn, output, model
        self.shape: tuple[int, int] | None = None
        _require_memory(model)
        _threads.started = _threads.started or threads > 1
        try:
            with ExitStack() as stack:
                self._interpreter = mnn.Interpreter(stack.enter_context(model.reading()))
                if model.outside:
                    outside = stack.enter_context(model.outside.reading())
                    self._interpreter.setExternalFile(outside)
                memory, on_cpu = MemoryMode(mode.memory), mode.backend == "cpu"
                if memory is MemoryMode.LOW:
                    self._interpreter.setSessionHint(ROUNDING, BY_BLOCK)
                config = {
                    "backend": mode.backend.upper(),
                    "numThread": threads if on_cpu else _TUNED_FAST_ON_BUFFERS,
                    "precision": mode.precision,
                    "memory": MEMORY_MODES[memory],
                }
                if not on_cpu:
                    stack.enter_context(_stdout_to_null())  # it prints what it lacks
                with subnormals_as_zeros():  # in the threads that MNN starts
                    self._session = self._interpreter.createSession(config)
        except EngineError:
            raise
        except Exception as error:  # MNN raises a bare Exception without a reason
            raise EngineError(
                f"MNN cannot load {model.path}: it is not an MNN model, or not a whole one."
            ) from error
        got = self._interpreter.getSessionInfo(self._session, _BACKEND_OF_SESSION)
        if got != BACKENDS[mode.backend] and not (on_cpu and got in _ANY_CPU):
            raise EngineError(
                f"MNN has no backend {mode.backend} here; it would compute on another. Take "
                "backend='cpu'."
            )
        names = set(self._interpreter.getSessionInputAll(self._session))
        outputs = set(self._interpreter.getSessionOutputAll(self._session))
        if names - {POOLING_MASK} != set(spec.inputs) or output not in outputs:
            raise EngineError(
                f"{model.path} has inputs {sorted(names)} and outputs {sorted(outputs)}; an "
                f"encoder has {list(spec.inputs)} and {output}."
            )
        self._inputs = sorted(names)

    def memory(self) -> int:
        """Return the bytes of its weights, as they are in memory, and of its last batch."""
        if self.shape is None:
            self._resize((1, 1))  # makes floats of weights that are whole numbers
        info = self._interpreter.getSessionInfo(self._session, _MEMORY_OF_SESSION)
        return max(1, int(info * 2**20))

    def run(self, batch: TokenBatch) -> NDArray[np.float32]:
        if batch.shape != self.shape:
            self._resize(batch.shape)
        for name in self._inputs:
            self._feed(name, getattr(batch, name))
        with subnormals_as_zeros():
            code = self._interpreter.runSession(self._session)
        if code != 0:
            self.shape = None
            raise EngineError(f"MNN failed with code {code} on a batch of shape {batch.shape}.")
        return self._read()

    def _resize(self, shape: tuple[int, int]) -> None:
        """Give the inputs a shape; products of constants are computed anew, of numbers in files."""
        self.shape = None
        self._model.check_numbers()
        for name in self._inputs:
            tensor = self._interpreter.getSessionInput(self._session, name)
            self._interpreter.resizeTensor(tensor, shape)
        self._interpreter.resizeSession(self._session)
        self._model.check_numbers()
        self.shape = shape

    def _feed(self, name: str, values: NDArray[np.int32]) -> None:
        mnn = self._mnn
        host = mnn.Tensor(
            values.shape,
            mnn.Halide_Type_Int,
            np.ascontiguousarray(values, dtype=np.int32),
            mnn.Tensor_DimensionType_Caffe,
        )
        self._interpreter.getSessionInput(self._session, name).copyFrom(host)

    def _read(self) -> NDArray[np.float32]:
        mnn = self._mnn
        output = self._interpreter.getSessionOutput(self._session, self._output)
        room = np.empty(output.getShape(), dtype=np.float32)
        host = mnn.Tensor(room.shape, mnn.Halide_Type_Float, room, mnn.Tensor_DimensionType_Caffe)
        output.copyToHostTensor(host)
        found: NDArray[np.float32] = np.array(host.getNumpyData(), dtype=np.float32)
        return found.reshape(room.shape)


def _require_memory(model: ModelFile) -> None:
    """Check that the weights fit twice: MNN reads the whole file, and copies most of it."""
    require_memory(
        2 * model.size, f"Loading {model.path}", "Raise the limit, or take a smaller model.",
        EngineError,
    )  # fmt: skip
