#!/usr/bin/env bash
# A second run of an MNN session with the same inputs gives another output, and reports success.
#
# Expected: inputs that were copied into a session stay there, so that a second run computes the same.
# Happens: MNN computes later layers in the memory of its inputs. The first run is right, the second one computes on
#   what the first one left there; its code is 0, and its output has ordinary values.
# Versions: mnn 3.6.1 (PyPI wheel), onnx 1.23.2, numpy 2.4.6.
# Seen: timing runs in a loop that copied the inputs once, before it.
# Matters: a loop that changes only one of several inputs, or measures on inputs copied once, gets silently wrong
#   vectors from its second pass on. Every input has to be copied before every run.
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

import MNN
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CONVERT = "import sys, _tools; _tools.mnnconvert(['mnnconvert', '-f', 'ONNX', *sys.argv[1:]])"
SHAPE = (4, 64)

random = np.random.default_rng(0)
weights = [random.normal(size=(64, 64)).astype(np.float32) / 8 for _ in range(3)]
tables = [numpy_helper.from_array(weight, f"w{i}") for i, weight in enumerate(weights)]
values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in "xy"]
nodes = [
    helper.make_node("MatMul", ["x", "w0"], ["a"]),
    helper.make_node("Tanh", ["a"], ["b"]),
    helper.make_node("MatMul", ["b", "w1"], ["c"]),
    helper.make_node("Tanh", ["c"], ["d"]),
    helper.make_node("MatMul", ["d", "w2"], ["y"]),
]
graph = helper.make_graph(nodes, "layers", values[:1], values[1:], tables)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, "m.onnx")
arguments = ["--modelFile", "m.onnx", "--MNNModel", "m.mnn", "--bizCode", "finding"]
subprocess.run([sys.executable, "-c", CONVERT, *arguments], capture_output=True, check=True)

net = MNN.Interpreter("m.mnn")
session = net.createSession({"backend": "CPU", "numThread": 1})
layout = MNN.Tensor_DimensionType_Caffe
given = random.normal(size=SHAPE).astype(np.float32)
expected = np.tanh(np.tanh(given @ weights[0]) @ weights[1]) @ weights[2]


def run(copy):
    """Return the code of a run, and how far the output is from the expected one."""
    if copy:
        host = MNN.Tensor(SHAPE, MNN.Halide_Type_Float, given, layout)
        net.getSessionInput(session, "x").copyFrom(host)
    code = net.runSession(session)
    host = MNN.Tensor(SHAPE, MNN.Halide_Type_Float, np.zeros(SHAPE, np.float32), layout)
    net.getSessionOutput(session, "y").copyToHostTensor(host)
    found = np.array(host.getNumpyData(), np.float32).reshape(SHAPE)
    return code, float(np.abs(found - expected).max())


print("mnn", version("mnn"), "onnx", version("onnx"), "numpy", np.__version__)
first, second, again = run(copy=True), run(copy=False), run(copy=True)
for name, (code, error) in {"first": first, "second": second, "copied again": again}.items():
    print(f"{name}: code {code}, largest error {error:.2g}")
if not (first[1] < 1e-5 and second[0] == 0 and second[1] > 0.1 and again[1] < 1e-5):
    sys.exit("The behaviour has changed.")
PROGRAM
