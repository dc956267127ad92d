#!/usr/bin/env bash
# Attention over padding is several times as slow as over tokens in MNN on x86.
#
# Expected: a mask of -10000 gives padding the weight 0, as in every other runtime, and the product of weights and
#   values takes as long with padding as without.
# Happens: the exponential inside of Softmax ends at that of -87, 1.6e-38, and the division by the sum makes a
#   subnormal number of it. Processors of x86 multiply by those many times as slowly, and MNN does not have them
#   taken for zeros: with half of the keys masked the same product takes several times as long.
# Versions: mnn 3.6.1 (PyPI wheel), onnx 1.23.2, numpy 2.4.6.
# Seen: measuring batches of texts of different lengths.
# Matters: 13 % of padding made a whole BERT model take half as long again. A thread whose MXCSR has DAZ and FTZ set
#   (fesetenv in C, also by ctypes) while it creates and runs the session is not slow, and gives the same output.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mnn==3.6.1 numpy==2.4.6 onnx==1.23.2
venv/bin/python - <<'PROGRAM'
import statistics
import subprocess
import sys
import time
from importlib.metadata import version

import MNN
import numpy as np
import onnx
from onnx import TensorProto, helper

CONVERT = "import sys, _tools; _tools.mnnconvert(['mnnconvert', '-f', 'ONNX', *sys.argv[1:]])"
HEADS, TOKENS, SIZE = 24, 256, 32
SHAPES = {"scores": (HEADS, TOKENS, TOKENS), "values": (HEADS, TOKENS, SIZE)}

given = [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in SHAPES.items()]
results = [
    helper.make_tensor_value_info("weights", TensorProto.FLOAT, SHAPES["scores"]),
    helper.make_tensor_value_info("mixed", TensorProto.FLOAT, SHAPES["values"]),
]
nodes = [
    helper.make_node("Softmax", ["scores"], ["weights"], axis=-1),
    helper.make_node("MatMul", ["weights", "values"], ["mixed"]),
]
graph = helper.make_graph(nodes, "attention", given, results)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, "m.onnx")
arguments = ["--modelFile", "m.onnx", "--MNNModel", "m.mnn", "--bizCode", "finding"]
subprocess.run([sys.executable, "-c", CONVERT, *arguments], capture_output=True, check=True)

net = MNN.Interpreter("m.mnn")
session = net.createSession({"backend": "CPU", "numThread": 1})
layout = MNN.Tensor_DimensionType_Caffe


def run(inputs):
    """Return the weights, and the CPU seconds of a pass."""
    for name, values in inputs.items():
        host = MNN.Tensor(values.shape, MNN.Halide_Type_Float, values, layout)
        net.getSessionInput(session, name).copyFrom(host)
    started = time.process_time()
    assert net.runSession(session) == 0
    seconds = time.process_time() - started
    shape = SHAPES["scores"]
    host = MNN.Tensor(shape, MNN.Halide_Type_Float, np.zeros(shape, np.float32), layout)
    net.getSessionOutput(session, "weights").copyToHostTensor(host)
    return np.array(host.getNumpyData(), np.float32).reshape(shape), seconds


print("mnn", version("mnn"), "onnx", version("onnx"), "numpy", np.__version__)
random = np.random.default_rng(0)
whole = {name: random.normal(size=shape).astype(np.float32) for name, shape in SHAPES.items()}
masked = whole | {"scores": whole["scores"].copy()}
masked["scores"][..., TOKENS // 2 :] -= 10_000
pairs = [(run(whole)[1], run(masked)[1]) for _ in range(9)]
ratio = statistics.median(b for _, b in pairs) / statistics.median(a for a, _ in pairs)
largest = float(run(masked)[0][..., TOKENS // 2 :].max())
print(f"largest weight of a masked key {largest:.3g}; float32 is subnormal below 1.18e-38")
print(f"with half of the keys masked, a pass takes {ratio:.1f} times as long")
if not (0 < largest < 1.18e-38 and ratio > 2):
    sys.exit("The behaviour has changed.")
PROGRAM
