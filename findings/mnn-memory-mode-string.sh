#!/usr/bin/env bash
# MNN's Python API ignores "memory": "low" without a word.
#
# Expected: createSession accepts its modes in the same form. "precision" is given as a string, so
#   "memory": "low" should select the low-memory mode, which computes with 8-bit weights as they are.
# Happens: the string is ignored, as is any other, and the session runs in normal mode: the output is bit for
#   bit that of a session without the key. Only the integer 2 selects low memory.
# Versions: mnn 3.6.1 (PyPI wheel), x86-64.
# Seen: an option of an embedding library changed neither vectors nor RAM.
# Matters: a program that asks for low memory on a small device gets four times the weights in RAM, and
#   measures fidelity of a mode that never ran.
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

CONVERT = "import sys, _tools; _tools.mnnconvert(['mnnconvert', '-f', 'ONNX', *sys.argv[1:]])"


def save(path, nodes, shape, constants):
    """Save a graph with one float input x and one output y of the same shape."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "xy"]
    tensors = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "graph", values[:1], values[1:], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def convert(source, target, *options):
    """Convert in a child process, without the rest of the converter's package."""
    arguments = ["--modelFile", source, "--MNNModel", target, "--bizCode", "finding", *options]
    subprocess.run([sys.executable, "-c", CONVERT, *arguments], capture_output=True, check=True)
    assert Path(target).is_file()


def run(path, x, **config):
    """Return the output of one forward pass on one thread of the CPU."""
    net = MNN.Interpreter(path)
    session = net.createSession({"backend": "CPU", "numThread": 1, **config})
    given = net.getSessionInput(session, "x")
    net.resizeTensor(given, x.shape)
    net.resizeSession(session)
    layout = MNN.Tensor_DimensionType_Caffe
    given.copyFrom(MNN.Tensor(x.shape, MNN.Halide_Type_Float, x, layout))
    assert net.runSession(session) == 0
    output = net.getSessionOutput(session, "y")
    shape = output.getShape()
    host = MNN.Tensor(shape, MNN.Halide_Type_Float, np.zeros(shape, np.float32), layout)
    output.copyToHostTensor(host)
    return np.array(host.getData(), np.float32).reshape(shape)


print("mnn", version("mnn"), "onnx", version("onnx"), "numpy", np.__version__)

weights = np.random.default_rng(0).standard_normal((64, 64)).astype(np.float32)
save("m.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], ["n", 64], {"w": weights})
convert("m.onnx", "m.mnn", "--weightQuantBits", "8")
x = np.random.default_rng(1).standard_normal((4, 64)).astype(np.float32)
plain = run("m.mnn", x)
differences = {}
for memory in ("low", "no such mode", 2):
    differences[memory] = float(np.abs(run("m.mnn", x, memory=memory) - plain).max())
    print(f"memory={memory!r}: largest difference to a session without it: {differences[memory]:.4f}")
if not (differences["low"] == differences["no such mode"] == 0 < differences[2]):
    sys.exit("The behaviour has changed.")
PROGRAM
