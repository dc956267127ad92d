"""Program that runs MNN's converter: a process of its own, because native code may crash or hang.

Usage: python mnn_child.py MODEL.onnx ENCODER.mnn INPUT[,INPUT...] [converter options]

An INPUT is a name, of int32 and shape 2x3, or as in NAME:float:3x1x384.

It imports the converter's C extension and not `MNN.tools`, which installs a package and sends
the arguments over the network. The converter reports success for a missing file and for garbage,
so the result is loaded and run once here.
"""

import sys
from math import prod
from pathlib import Path

from minnow.mnn_modules import import_mnn_module, import_mnn_package


def main() -> int:
    """Convert, load and run; return the exit code."""
    model, encoder, inputs, *options = sys.argv[1:]
    import_mnn_module("_tools").mnnconvert(
        ["mnnconvert", "-f", "ONNX", "--modelFile", model, "--MNNModel", encoder, *options]
    )
    if not Path(encoder).is_file():
        return _fail("The converter wrote no model.")
    return _run_once(encoder, inputs.split(","))


def _run_once(encoder: str, inputs: list[str]) -> int:
    mnn = import_mnn_package()
    try:
        interpreter = mnn.Interpreter(encoder)
        session = interpreter.createSession({"backend": "CPU", "numThread": 1})
    except Exception as error:  # MNN raises bare Exception
        return _fail(f"MNN cannot load what the converter wrote: {error}")
    kept = interpreter.getSessionInputAll(session)
    given = [_described(text) for text in inputs]
    lost = [name for name, _, _ in given if name not in kept]
    if lost:
        return _fail(f"The converter lost the input {', '.join(lost)}.")
    for name, _, shape in given:
        interpreter.resizeTensor(interpreter.getSessionInput(session, name), shape)
    interpreter.resizeSession(session)
    for name, kind, shape in given:
        types = {"int": mnn.Halide_Type_Int, "float": mnn.Halide_Type_Float}
        ones = mnn.Tensor(shape, types[kind], (1,) * prod(shape), mnn.Tensor_DimensionType_Caffe)
        interpreter.getSessionInput(session, name).copyFrom(ones)
    code = interpreter.runSession(session)
    return _fail(f"The converted model does not run: code {code}.") if code else 0


def _described(text: str) -> tuple[str, str, tuple[int, ...]]:
    """Parse an input's name, kind and shape."""
    name, kind, axes = text.split(":") if ":" in text else (text, "int", "2x3")
    return name, kind, tuple(map(int, axes.split("x")))


def _fail(message: str) -> int:
    sys.stdout.flush()
    sys.stderr.write(message + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
