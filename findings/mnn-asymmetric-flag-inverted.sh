#!/usr/bin/env bash
# MNN's --weightQuantAsymmetric turns asymmetric quantisation off.
#
# Expected: the converter's help says that weights are quantised symmetrically by default, and that the flag
#   selects the asymmetric method, which is more accurate.
# Happens: it is the other way round. By default, weights on a grid of 16 steps from 0 to 15 pass a 4-bit
#   quantisation exactly, which only an asymmetric grid can do. With the flag they are off by a whole step.
# Versions: mnn 3.6.1 (PyPI wheel), onnx 1.23.2.
# Seen: comparing quantised embedding models made with and without the flag.
# Matters: following the help gives a less accurate model. Leave the flag out, or name the method in a
#   compression file.
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

weights = np.random.default_rng(0).integers(0, 16, (64, 64)).astype(np.float32)
weights[0], weights[1] = 0, 15  # every column reaches both ends of the grid
save("m.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], ["n", 64], {"w": weights})
errors = []
for options in ([], ["--weightQuantAsymmetric"]):
    convert("m.onnx", "m.mnn", "--weightQuantBits", "4", *options)
    errors.append(float(np.abs(run("m.mnn", np.eye(64, dtype=np.float32)) - weights).max()))
    print(f"{' '.join(options) or 'without the flag'}: largest error of a weight {errors[-1]:.3f}")
if not errors[0] < 1e-3 < 0.5 < errors[1]:
    sys.exit("The behaviour has changed.")
PROGRAM
