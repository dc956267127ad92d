"""Runs MNN's converter; a program of its own, because native code may crash or hang.

Usage: python mnn_child.py MODEL.onnx ENCODER.mnn INPUT[,INPUT...] BxT [converter options]

It imports the converter's C extension and not `MNN.tools`, which installs a package and sends
the arguments away. The converter says success for a missing file and for garbage, so the
result is loaded and run once here.
"""

import sys
from pathlib import Path


def main() -> int:
    """Convert, load, run; 0 when all three worked."""
    model, encoder, inputs, shape, *options = sys.argv[1:]
    import _tools

    _tools.mnnconvert(
        ["mnnconvert", "-f", "ONNX", "--modelFile", model, "--MNNModel", encoder, *options]
    )
    if not Path(encoder).is_file():
        return _fail("The converter wrote no model.")
    return _run_once(encoder, inputs.split(","), tuple(map(int, shape.split("x"))))


def _run_once(encoder: str, inputs: list[str], shape: tuple[int, ...]) -> int:
    import MNN

    try:
        interpreter = MNN.Interpreter(encoder)
        session = interpreter.createSession({"backend": "CPU", "numThread": 1})
    except Exception as error:  # MNN raises bare Exception
        return _fail(f"MNN cannot load what the converter wrote: {error}")
    kept = interpreter.getSessionInputAll(session)
    lost = [name for name in inputs if name not in kept]
    if lost:
        return _fail(f"The converter lost the input {', '.join(lost)}.")
    for name in inputs:
        interpreter.resizeTensor(interpreter.getSessionInput(session, name), shape)
    interpreter.resizeSession(session)
    for name in inputs:
        values = (1,) * (shape[0] * shape[1])
        ones = MNN.Tensor(shape, MNN.Halide_Type_Int, values, MNN.Tensor_DimensionType_Caffe)
        interpreter.getSessionInput(session, name).copyFrom(ones)
    code = interpreter.runSession(session)
    return _fail(f"The converted model does not run: code {code}.") if code else 0


def _fail(message: str) -> int:
    sys.stdout.flush()
    sys.stderr.write(message + "\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
