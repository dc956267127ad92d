"""The program that runs an MNN file which others made: native code may crash or hang.

Usage: python child.py MODEL.mnn THREADS

It answers the requests of a `minnow.workers.Worker`; first it announces inputs and outputs. It is
run by its path, so that it imports little.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from minnow.engines.mnn import import_mnn
from minnow.errors import EngineError
from minnow.workers import serve_requests

if TYPE_CHECKING:
    from minnow.workers import Parent

ANSWER = Path("answer.npy")


class Port(msgspec.Struct, frozen=True):
    """An input or an output.

    Attributes:
        name: Its name.
        shape: Its shape; -1, or nothing, for what is open.
        is_float: Whether it holds floats; otherwise 32-bit integers.
    """

    name: str
    shape: tuple[int, ...]
    is_float: bool


class Ports(msgspec.Struct, frozen=True):
    """All inputs and outputs of a file."""

    inputs: list[Port]
    outputs: list[Port]


class Forward(msgspec.Struct, frozen=True):
    """A forward pass: rows of numbers for each input, and the output to write to ANSWER."""

    feeds: dict[str, list[list[int]]]
    output: str


class Written(msgspec.Struct, frozen=True):
    """The shape of the output that was written."""

    shape: tuple[int, ...]


def main() -> int:
    """Serve forward passes; see `serve_requests`."""
    return serve_requests(_serve)


def _serve(parent: Parent) -> None:
    mnn = import_mnn()
    try:
        interpreter = mnn.Interpreter(sys.argv[1])
        session = interpreter.createSession({"backend": "CPU", "numThread": int(sys.argv[2])})
    except Exception as error:  # MNN raises bare Exception
        raise EngineError(f"MNN cannot load {sys.argv[1]}.") from error
    found = interpreter.getSessionInputAll(session), interpreter.getSessionOutputAll(session)
    parent.reply(Ports(*([_port(mnn, *item) for item in sorted(each.items())] for each in found)))
    for request in parent.requests(Forward):
        _forward(mnn, interpreter, session, request)
        output = interpreter.getSessionOutput(session, request.output)
        room = np.empty(output.getShape(), np.float32)
        host = mnn.Tensor(room.shape, mnn.Halide_Type_Float, room, mnn.Tensor_DimensionType_Caffe)
        output.copyToHostTensor(host)
        values = np.array(host.getNumpyData(), np.float32).reshape(room.shape)
        np.save(ANSWER, values)
        parent.reply(Written(values.shape))


def _port(mnn: Any, name: str, tensor: Any) -> Port:
    is_float = tensor.getDataType() == mnn.Halide_Type_Float
    return Port(name, tuple(tensor.getShape()), is_float)


def _forward(mnn: Any, interpreter: Any, session: Any, request: Forward) -> None:
    arrays = {name: np.array(rows, np.int32) for name, rows in request.feeds.items()}
    for name, values in arrays.items():
        tensor = interpreter.getSessionInput(session, name)
        if tuple(tensor.getShape()) != values.shape:
            interpreter.resizeTensor(tensor, values.shape)
    interpreter.resizeSession(session)
    for name, values in arrays.items():
        tensor = interpreter.getSessionInput(session, name)
        kind = mnn.Halide_Type_Int
        if tensor.getDataType() == mnn.Halide_Type_Float:
            kind, values = mnn.Halide_Type_Float, values.astype(np.float32)
        host = mnn.Tensor(values.shape, kind, values, mnn.Tensor_DimensionType_Caffe)
        tensor.copyFrom(host)
    code = interpreter.runSession(session)
    if code != 0:
        shapes = [values.shape for values in arrays.values()]
        raise EngineError(f"MNN failed with code {code} on inputs of shape {shapes[0]}.")


if __name__ == "__main__":
    sys.exit(main())
