#!/usr/bin/env bash
# In low memory with a scale for each block, MNN reads zeros as other numbers.
#
# Expected: MNN's finer rounding of inputs (hint DYNAMIC_QUANT_OPTIONS = 2, a scale for each block of a token's
#   inputs) is nearer to the exact product than its default, one scale for all.
# Happens: the place of 0 among the 256 steps is rounded when inputs are rounded, but not when they are read
#   back, so all inputs of a block move by up to half a step in the same direction. A row of 1, -1 and 62
#   zeros is read as one of 62 numbers of 1/255: the sum of the row's weights takes part in the product.
#   With one scale for all the same product is exact.
# Versions: mnn 3.6.1 (PyPI wheel), onnx 1.23.2; the same in the sources for ARM (MNNDynamicQuantFunctions.hpp).
# Seen: looking for what an int8 embedding model loses in low memory. Half of it came from here.
# Matters: products are off in proportion to the sums of weights, which no larger number of steps hides.
#   Choosing the signs of inputs so that the weights of a block nearly cancel takes half of it away.
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


def run(path, x, hint):
    """Return the output of one forward pass in low memory, on one thread of the CPU."""
    net = MNN.Interpreter(path)
    net.setSessionHint(5, hint)  # DYNAMIC_QUANT_OPTIONS
    session = net.createSession({"backend": "CPU", "numThread": 1, "memory": 2})
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

weights = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.float32)
weights[0], weights[1] = 0, 255  # every column reaches both ends of the grid: 8 bits hold it exactly
weights[2], weights[3] = 100, 101
save("m.onnx", [helper.make_node("MatMul", ["x", "w"], ["y"])], ["n", 64], {"w": weights})
convert("m.onnx", "m.mnn", "--weightQuantBits", "8", "--weightQuantBlock", "64")
x = np.zeros((4, 64), np.float32)
x[:, 2], x[:, 3] = -1, 1
errors = []
for hint, named in ((0, "one scale for all"), (2, "a scale for each block")):
    product = run("m.mnn", x, hint)
    errors.append(float(np.abs(product - x @ weights).max()))
    print(f"{named}: {product[0, :3].round(2)}, exact is {(x @ weights)[0, :3]}")
moved = weights.sum(0).max() / 255  # half of a step of 2/255, times the sum of the weights
print(f"largest error {errors[0]:.2f} and {errors[1]:.2f}; half a step times the weights is {moved:.2f}")
if not (errors[0] < 0.5 < 0.9 * moved < errors[1] < 1.1 * moved):
    sys.exit("The behaviour has changed.")
PROGRAM
