#!/usr/bin/env bash
# MNN divides every vector by the length of the whole batch where the graph is of opset 18 or newer.
#
# Expected: ReduceL2 over the last axis gives a length for each text; x divided by it has length 1.
# Happens: since opset 18 a reduction names its axes in an input. MNN reads it for ReduceSum, ReduceMean, ReduceMax, ReduceMin and
#   ReduceProd. For ReduceL2, ReduceL1, ReduceSumSquare, ReduceLogSum and ReduceLogSumExp it drops it and adds up all axes; with
#   keepdims=1 the one number still fits what follows. With the attribute of opset 17 all of them are right. No error, no warning.
# Versions: mnn 3.6.1 (PyPI wheel), onnx 1.23.2.
# Seen: one-node graphs of opsets 9 to 23 beside ONNX Runtime.
# Matters: torch.nn.functional.normalize is a ReduceL2, and torch 2.13 exports opset 20 unless it is asked for another. A batch of one text
#   gives the right vector and a batch of two shorter ones: products of such vectors depend on the other texts of the batch. Take
#   the graph to MNN with opset 17, or normalise outside of it.
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
LAYOUT = MNN.Tensor_DimensionType_Caffe
x = np.float32([[3, 4, 0], [0, 5, 12], [8, 6, 0]])


def compute(nodes, opset, rows):
    """Return y of ONNX's reference and of MNN for the first rows of x."""
    given, result = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["texts", width]) for name, width in (("x", 3), ("y", "width")))
    axis = [] if opset < 18 else [numpy_helper.from_array(np.int64([1]), "axis")]
    graph = helper.make_graph(nodes, "graph", [given], [result], axis)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "m.onnx")
    Path("m.mnn").unlink(missing_ok=True)
    arguments = ["--modelFile", "m.onnx", "--MNNModel", "m.mnn", "--bizCode", "finding"]
    subprocess.run([sys.executable, "-c", CONVERT, *arguments], capture_output=True, check=True)
    net = MNN.Interpreter("m.mnn")
    session = net.createSession({"backend": "CPU", "numThread": 1})
    tensor = net.getSessionInput(session, "x")
    net.resizeTensor(tensor, (rows, 3))
    net.resizeSession(session)
    tensor.copyFrom(MNN.Tensor((rows, 3), MNN.Halide_Type_Float, np.ascontiguousarray(x[:rows]), LAYOUT))
    assert net.runSession(session) == 0
    output = net.getSessionOutput(session, "y")
    shape = output.getShape()
    host = MNN.Tensor(shape, MNN.Halide_Type_Float, np.zeros(shape, np.float32), LAYOUT)
    output.copyToHostTensor(host)
    return ReferenceEvaluator(model).run(None, {"x": x[:rows]})[0], np.array(host.getData(), np.float32).reshape(shape)


def reduced(operator, opset, result):
    """Return a reduction over the last axis, as the opset writes it."""
    if opset < 18:
        return node(operator, ["x"], [result], axes=[1], keepdims=1)
    return node(operator, ["x", "axis"], [result], keepdims=1)


print("mnn", version("mnn"), "onnx", version("onnx"), "numpy", np.__version__)
for opset, rows in ((17, 3), (18, 1), (18, 2), (18, 3), (23, 3)):
    right, found = compute([reduced("ReduceL2", opset, "length"), node("Div", ["x", "length"], ["y"])], opset, rows)
    assert np.allclose(np.linalg.norm(right, axis=1), 1)
    whole = x[:rows] / np.linalg.norm(x[:rows])
    print(f"opset {opset}, {rows} texts: lengths after x / ReduceL2(x): {np.linalg.norm(found, axis=1).round(3).tolist()}")
    if not np.allclose(found, right if opset == 17 else whole, atol=1e-5):
        sys.exit("The behaviour has changed.")
wrong = []
for operator in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSum", "LogSumExp"):
    for opset in (17, 18):
        if (operator, opset) == ("Sum", 17):
            continue  # its axes are an input since opset 13
        right, found = compute([reduced(f"Reduce{operator}", opset, "y")], opset, 3)
        if found.shape != right.shape or not np.allclose(found, right, atol=1e-3):
            wrong.append((operator, opset))
            assert found.size == 1
print("reductions that add up all axes:", wrong)
if wrong != [(operator, 18) for operator in ("L1", "L2", "SumSquare", "LogSum", "LogSumExp")]:
    sys.exit("The behaviour has changed.")
PROGRAM
