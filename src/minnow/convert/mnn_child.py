"""Runs MNN's converter; a program of its own, because native code may crash or hang.

Usage: python mnn_child.py MODEL.onnx ENCODER.mnn INPUT[,INPUT...] [converter options]

It imports the converter's C extension and not `MNN.tools`, which installs a package and sends
the arguments away. The converter says success for a missing file and for garbage, so the
result is loaded and run once here.
"""

import sys
from pathlib import Path


def main() -> int:
    """Convert, load, run; 0 when all three worked."""
    model, encoder, inputs, *options = sys.argv[1:]
    import _tools

    _tools.mnnconvert(
        ["mnnconvert", "-f", "ONNX", "--modelFile", model, "--MNNModel", encoder, *options]
    )
    sys.stdout.flush()
    if not Path(encoder).is_file():
        sys.stderr.write("The converter wrote no model.\n")
        return 1
    import MNN

    interpreter = MNN.Interpreter(encoder)
    session = interpreter.createSession({"backend": "CPU", "numThread": 1})
    for name in inputs.split(","):
        interpreter.resizeTensor(interpreter.getSessionInput(session, name), (2, 3))
    interpreter.resizeSession(session)
    for name in inputs.split(","):
        ones = MNN.Tensor((2, 3), MNN.Halide_Type_Int, (1,) * 6, MNN.Tensor_DimensionType_Caffe)
        interpreter.getSessionInput(session, name).copyFrom(ones)
    code = interpreter.runSession(session)
    if code != 0:
        sys.stderr.write(f"The converted model does not run: code {code}.\n")
    return int(code != 0)


if __name__ == "__main__":
    sys.exit(main())
