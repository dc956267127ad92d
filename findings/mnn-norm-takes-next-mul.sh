#!/usr/bin/env bash
# MNN's converter takes a product after a norm for the norm's weight, whatever its shape.
#
# Expected: x / sqrt(mean(x^2) + eps) times a table of shape [1, tokens, width] (such as the cosines of rotary
#   positions) multiplies each token by its own row.
# Happens: the converter fuses both into one LayerNorm operator whose weight is as long as the width, and reads
#   the first row of the table for every token. There is no error and no warning.
# Versions: mnn 3.6.1 (PyPI wheel), onnx 1.23.2.
# Seen: writing the graphs of embedding models that normalise queries and keys before rotary positions.
# Matters: the model converts, runs, and gives plausible, wrong vectors. Give the norm a weight of its own
#   (ones if it has none): then the product after it is left alone, as the second model shows.
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

rng = np.random.default_rng(0)
tokens, width = 3, 8
table = rng.standard_normal((1, tokens, width)).astype(np.float32)
ones = np.ones(width, np.float32)


def norm_times_table(weight):
    """Return the nodes of a root mean square norm, with a weight or without, times the table."""
    node = helper.make_node
    steps = [
        node("Mul", ["x", "x"], ["square"]),
        node("ReduceMean", ["square"], ["mean"], axes=[-1], keepdims=1),
        node("Add", ["mean", "epsilon"], ["shifted"]),
        node("Sqrt", ["shifted"], ["root"]),
        node("Div", ["x", "root"], ["normed"]),
    ]
    if weight:
        steps.append(node("Mul", ["normed", "ones"], ["weighted"]))
    return [*steps, node("Mul", ["weighted" if weight else "normed", "table"], ["y"])]


x = rng.standard_normal((2, tokens, width)).astype(np.float32)
normed = x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6)
errors = {}
for weight in (False, True):
    constants = {"epsilon": np.float32(1e-6), "table": table, "ones": ones}
    if not weight:
        del constants["ones"]
    save("m.onnx", norm_times_table(weight), ["batch", tokens, width], constants)
    convert("m.onnx", "m.mnn")
    got = run("m.mnn", x)
    errors[weight] = float(np.abs(got - normed * table).max())
    first_row = float(np.abs(got - normed * table[:, :1]).max())
    print(f"norm with a weight of its own: {weight}; error {errors[weight]:.2e}; "
          f"error if every token had the first row: {first_row:.2e}")
    if not weight and first_row > 1e-5:
        sys.exit("The behaviour has changed.")
if not errors[True] < 1e-5 < 0.1 < errors[False]:
    sys.exit("The behaviour has changed.")
PROGRAM
