#!/usr/bin/env bash
# MNN says that -1 is less than -2: Less compares negative numbers the wrong way round.
#
# Expected: Less(a, b) is true where a < b, and the same as Greater(b, a).
# Happens: Less reads the bits of float32 numbers as integers, which order negative numbers from the other end: -1 < -2 is true, -3 < -2
#   is false, and -1 < -1 is right. Where one of the two is not negative the result is right too, and so are Greater, LessOrEqual,
#   GreaterOrEqual and Less of integers. ArgMax and ArgMin do the opposite: they read integers as floats, and of negative ones
#   take any place (most are NaN). No error, no warning.
# Versions: mnn 3.6.1 (PyPI wheel), onnx 1.23.2, x86-64. MNN.expr.less and MNN.numpy.less give the same.
# Seen: comparing MNN.numpy with NumPy, then the same operators as ONNX graphs with ONNX's reference.
# Matters: attention masks are added to scores, as 0 and -10000. A head that finds the padding by mask < -1 finds none, and pools over
#   it. Tests with positive numbers pass. Write Greater with the sides exchanged: it is right.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mnn==3.6.1 numpy==2.4.6 onnx==1.23.2
venv/bin/python - <<'PROGRAM'
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import MNN
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node as node
from onnx.reference import ReferenceEvaluator

CONVERT = "import sys, _tools; _tools.mnnconvert(['mnnconvert', '-f', 'ONNX', *sys.argv[1:]])"
FLOAT, INT32 = TensorProto.FLOAT, TensorProto.INT32
LAYOUT = MNN.Tensor_DimensionType_Caffe


def compute(nodes, x, constants):
    """Return y of ONNX's reference and of MNN, both as int32, for the one input x."""
    kind = helper.np_dtype_to_tensor_dtype(x.dtype)
    given = helper.make_tensor_value_info("x", kind, [f"x{axis}" for axis in range(x.ndim)])
    result = helper.make_tensor_value_info("y", INT32, ["a", "b"])
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph([*nodes, node("Cast", ["found"], ["y"], to=INT32)], "graph", [given], [result], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "m.onnx")
    Path("m.mnn").unlink(missing_ok=True)
    arguments = ["--modelFile", "m.onnx", "--MNNModel", "m.mnn", "--bizCode", "finding"]
    subprocess.run([sys.executable, "-c", CONVERT, *arguments], capture_output=True, check=True)
    net = MNN.Interpreter("m.mnn")
    session = net.createSession({"backend": "CPU", "numThread": 1})
    tensor = net.getSessionInput(session, "x")
    net.resizeTensor(tensor, x.shape)
    net.resizeSession(session)
    number = MNN.Halide_Type_Float if x.dtype == np.float32 else MNN.Halide_Type_Int
    tensor.copyFrom(MNN.Tensor(x.shape, number, x, LAYOUT))
    assert net.runSession(session) == 0
    output = net.getSessionOutput(session, "y")
    shape = output.getShape()
    host = MNN.Tensor(shape, MNN.Halide_Type_Int, np.zeros(shape, np.int32), LAYOUT)
    output.copyToHostTensor(host)
    right = ReferenceEvaluator(model).run(None, {"x": x})[0]
    return right.tolist(), np.array(host.getData(), np.int32).reshape(shape).tolist()


print("mnn", version("mnn"), "onnx", version("onnx"), "numpy", np.__version__)
numbers, bound = np.float32([[-3, -2.5, -2, -1, -0.5, 0, 1, 3]]), np.float32(-2)
scores = np.float32([[0, 0, 0, -10000], [0, -10000, -10000, -10000]])
places = np.int32([[5, -3, 7], [-4, -2, -9]])
cases = {
    "x < -2": (numbers, [node("Less", ["x", "bound"], ["found"])], {"bound": bound}),
    "-2 > x": (numbers, [node("Greater", ["bound", "x"], ["found"])], {"bound": bound}),
    "x <= -2": (numbers, [node("LessOrEqual", ["x", "bound"], ["found"])], {"bound": bound}),
    "x < 2": (numbers, [node("Less", ["x", "bound"], ["found"])], {"bound": -bound}),
    "mask < -1": (scores, [node("Less", ["x", "bound"], ["found"])], {"bound": np.float32(-1)}),
    "integers < -2": (places, [node("Less", ["x", "bound"], ["found"])], {"bound": np.int32(-2)}),
    "argmax of integers": (places, [node("ArgMax", ["x"], ["found"], axis=1)], {}),
    "argmin of integers": (places, [node("ArgMin", ["x"], ["found"], axis=1)], {}),
    "argmin of floats": (places.astype(np.float32), [node("ArgMin", ["x"], ["found"], axis=1)], {}),
}
wrong = []
for name, (x, nodes, constants) in cases.items():
    right, found = compute(nodes, x, constants)
    print(f"{name}, x = {x.tolist()}: ONNX {right}, MNN {found}")
    if right != found:
        wrong.append(name)
    if name == "x < -2":
        by_bits = (x.view(np.int32) < bound.view(np.int32)).astype(int).tolist()
        if found != by_bits:
            sys.exit("The behaviour has changed.")
    if name == "mask < -1" and np.any(found):
        sys.exit("The behaviour has changed.")
if wrong != ["x < -2", "mask < -1", "argmax of integers", "argmin of integers"]:
    sys.exit("The behaviour has changed.")
PROGRAM
