#!/usr/bin/env bash
# MNN ignores what an ONNX node says by attributes: scatter does not add, the last maximum is the first, fmod is another remainder.
#
# Expected: ScatterElements and ScatterND with reduction="add" add rows up, ArgMax with select_last_index=1 gives the last of equal
#   values, Mod with fmod=1 has the sign of the number. A converter that does not know an attribute says so.
# Happens: the converter drops the three attributes. Scatter keeps the last row that was written instead of a sum, "mul" and "min" too;
#   ArgMax gives the first maximum; Mod has the sign of the divisor.
# Versions: mnn 3.6.1 (PyPI wheel), onnx 1.23.2.
# Seen: exporting the sum of tokens by word (scatter_add in PyTorch), and the last token by the last 1 of the mask.
# Matters: sums over words, segments or packed texts become one of their tokens, and the last token's state the first one's. Nothing
#   is said at conversion or at run time. A product with a matrix of zeros and ones adds up; CumSum of the mask finds the last token.
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


def save(nodes, constants, kind, rank):
    """Save a graph with one input x and one output y of one kind of number."""
    given, result = (helper.make_tensor_value_info(name, kind, [f"{name}{n}" for n in range(size)]) for name, size in zip("xy", rank))
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "graph", [given], [result], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "m.onnx")


def convert():
    """Convert in a child process, without the rest of the converter's package."""
    Path("m.mnn").unlink(missing_ok=True)
    arguments = ["--modelFile", "m.onnx", "--MNNModel", "m.mnn", "--bizCode", "finding"]
    subprocess.run([sys.executable, "-c", CONVERT, *arguments], capture_output=True, check=True)
    assert Path("m.mnn").is_file()


def run(x):
    """Return the output of one forward pass on one thread of the CPU."""
    kind = MNN.Halide_Type_Int if x.dtype == np.int32 else MNN.Halide_Type_Float
    net = MNN.Interpreter("m.mnn")
    session = net.createSession({"backend": "CPU", "numThread": 1})
    given = net.getSessionInput(session, "x")
    net.resizeTensor(given, x.shape)
    net.resizeSession(session)
    layout = MNN.Tensor_DimensionType_Caffe
    given.copyFrom(MNN.Tensor(x.shape, kind, x, layout))
    assert net.runSession(session) == 0
    output = net.getSessionOutput(session, "y")
    shape = output.getShape()
    host = MNN.Tensor(shape, kind, np.zeros(shape, x.dtype), layout)
    output.copyToHostTensor(host)
    return np.array(host.getData(), x.dtype).reshape(shape)


print("mnn", version("mnn"), "onnx", version("onnx"), "numpy", np.__version__)
tokens = np.float32([[1, 2], [3, 4], [5, 6]])
words, pairs = np.int64([[1], [1], [3]]), np.int64([[1, 1], [1, 1], [3, 3]])
mask = np.float32([[1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]])
last = [node("ArgMax", ["x"], ["place"], axis=1, keepdims=1, select_last_index=1), node("Cast", ["place"], ["y"], to=FLOAT)]
zeros = np.zeros((4, 2), np.float32)
cases = {
    "ScatterND, add": (tokens, [node("ScatterND", ["into", "place", "x"], ["y"], reduction="add")], {"into": zeros, "place": words}),
    "ScatterElements, add": (
        tokens, [node("ScatterElements", ["into", "place", "x"], ["y"], axis=0, reduction="add")], {"into": zeros, "place": pairs},
    ),
    "ArgMax, last": (mask, last, {}),
    "Mod, fmod": (np.float32([[-5, -1, 1, 5]]), [node("Mod", ["x", "by"], ["y"], fmod=1)], {"by": np.float32([3])}),
}
dropped = {
    "ScatterND, add": [[0, 0], [3, 4], [0, 0], [5, 6]], "ScatterElements, add": [[0, 0], [3, 4], [0, 0], [5, 6]],
    "ArgMax, last": [[0], [0], [0]], "Mod, fmod": [[1, 2, 1, 2]],
}
for name, (x, nodes, constants) in cases.items():
    save(nodes, constants, FLOAT, (2, 2))
    convert()
    right, found = ReferenceEvaluator("m.onnx").run(None, {"x": x})[0], run(x)
    print(f"{name}: ONNX {right.tolist()}, MNN {found.tolist()}")
    if np.array_equal(right, found) or found.tolist() != dropped[name]:
        sys.exit("The behaviour has changed.")
PROGRAM
