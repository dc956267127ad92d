#!/usr/bin/env bash
# MNN's converter rounds toward zero with --fp16.
#
# Expected: float32 weights become the nearest float16, as NumPy's astype gives it.
# Happens: excess digits are dropped. Every weight's magnitude shrinks or stays: a bias toward zero, and twice
#   the root mean square error of rounding to the nearest.
# Versions: mnn 3.6.1 (PyPI wheel), onnx 1.23.2.
# Seen: comparing the cosines of converted embedding models with those of weights that were rounded before the conversion.
# Matters: the error of a half-precision embedding model is larger than it has to be. Round the weights to
#   float16 (and back) before you convert: values that are exact in float16 pass through unchanged.
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
nearest = weights.astype(np.float16).astype(np.float32)
product = [helper.make_node("MatMul", ["x", "w"], ["y"])]
save("m.onnx", product, ["n", 64], {"w": weights})
save("rounded.onnx", product, ["n", 64], {"w": nearest})
convert("m.onnx", "m.mnn", "--fp16")
convert("rounded.onnx", "rounded.mnn", "--fp16")
stored = run("m.mnn", np.eye(64, dtype=np.float32))
shrunk = float(np.mean(np.abs(stored) <= np.abs(weights)))
error, least = (float(np.sqrt(np.mean((w - weights) ** 2))) for w in (stored, nearest))
kept = bool((run("rounded.mnn", np.eye(64, dtype=np.float32)) == nearest).all())
print(f"weights that did not grow: {shrunk:.0%} (rounding to the nearest: about half)")
print(f"error of --fp16: {error:.2e}; of rounding to the nearest: {least:.2e}")
print(f"weights rounded before the conversion pass unchanged: {kept}")
if not (shrunk == 1 and error > 1.8 * least and kept):
    sys.exit("The behaviour has changed.")
PROGRAM
