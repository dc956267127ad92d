#!/usr/bin/env bash
# MNN puts the numbers of a Gemm with transA=1 in each other's places; an optimiser makes such a node of a model that was right.
#
# Expected: Gemm(transA=1) is the product of the transposed first matrix. Transpose and Gemm are the same in two nodes, and
#   onnxoptimizer, which onnxsim runs too, makes one of them.
# Happens: MNN computes the right numbers and writes the columns of the result one after the other into its rows: the shape is right, the
#   numbers of different rows are mixed. With transB, alpha and beta all is right, and so are Transpose and Gemm in two nodes. No
#   error, no warning.
# Versions: mnn 3.6.1 (PyPI wheel), onnx 1.23.2, onnxoptimizer 0.4.2.
# Seen: one-node graphs with all attributes of Gemm, beside ONNX's reference.
# Matters: a model that MNN converts right gives wrong vectors, in which texts are mixed, after the usual step of simplifying it first.
#   Leave the pass "fuse_transpose_into_gemm" out, or give MNN the model as it was exported.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mnn==3.6.1 numpy==2.4.6 onnx==1.23.2 onnxoptimizer==0.4.2
venv/bin/python - <<'PROGRAM'
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import MNN
import numpy as np
import onnx
import onnxoptimizer
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node as node
from onnx.reference import ReferenceEvaluator

CONVERT = "import sys, _tools; _tools.mnnconvert(['mnnconvert', '-f', 'ONNX', *sys.argv[1:]])"
LAYOUT = MNN.Tensor_DimensionType_Caffe
numbers = np.random.default_rng(0)
x, weights, bias = (numbers.normal(size=size).astype(np.float32) for size in ((6, 5), (6, 3), 3))


def model_of(nodes, given):
    """Return a model from x to y with the weights."""
    shapes = {"x": given.shape, "y": [5, 3]}
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()]
    tensors = [numpy_helper.from_array(array, name) for name, array in (("weights", weights), ("bias", bias))]
    graph = helper.make_graph(nodes, "graph", infos[:1], infos[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model, given):
    """Return y of MNN for x."""
    onnx.save(model, "m.onnx")
    Path("m.mnn").unlink(missing_ok=True)
    arguments = ["--modelFile", "m.onnx", "--MNNModel", "m.mnn", "--bizCode", "finding"]
    subprocess.run([sys.executable, "-c", CONVERT, *arguments], capture_output=True, check=True)
    net = MNN.Interpreter("m.mnn")
    session = net.createSession({"backend": "CPU", "numThread": 1})
    tensor = net.getSessionInput(session, "x")
    net.resizeTensor(tensor, given.shape)
    net.resizeSession(session)
    tensor.copyFrom(MNN.Tensor(given.shape, MNN.Halide_Type_Float, np.ascontiguousarray(given), LAYOUT))
    assert net.runSession(session) == 0
    output = net.getSessionOutput(session, "y")
    shape = output.getShape()
    host = MNN.Tensor(shape, MNN.Halide_Type_Float, np.zeros(shape, np.float32), LAYOUT)
    output.copyToHostTensor(host)
    return np.array(host.getData(), np.float32).reshape(shape)


print("mnn", version("mnn"), "onnx", version("onnx"), "onnxoptimizer", version("onnxoptimizer"))
written = model_of([node("Transpose", ["x"], ["turned"], perm=[1, 0]), node("Gemm", ["turned", "weights", "bias"], ["y"])], x)
fused = onnxoptimizer.optimize(written)
(gemm,) = fused.graph.node
assert gemm.op_type == "Gemm" and {a.name: a.i for a in gemm.attribute}["transA"] == 1
right = x.T @ weights + bias
for model in (written, fused):
    assert np.allclose(ReferenceEvaluator(model).run(None, {"x": x})[0], right, atol=1e-5)
before, after = run(written, x), run(fused, x)
print("Transpose and Gemm:", before[:2].round(3).tolist())
print("Gemm with transA=1:", after[:2].round(3).tolist())
misplaced = right.T.reshape(right.shape)
print("the columns of the right result, one after the other in its rows:", np.allclose(after, misplaced, atol=1e-4))
if not np.allclose(before, right, atol=1e-4) or after.shape != right.shape or not np.allclose(after, misplaced, atol=1e-4):
    sys.exit("The behaviour has changed.")
PROGRAM
