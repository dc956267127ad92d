#!/usr/bin/env bash
# MNN's converter no longer knows a GELU once its constants have passed through float16.
#
# Expected: Div by the root of 2, Erf, Add 1, Mul, Mul 0.5 becomes MNN's one GELU operator, in a graph of float32 and
#   in the float16 graph that a half-precision export writes. The root differs by 0.01 %.
# Happens: the converter compares the constant with the float32 nearest to the root of 2, bit for bit. Rounded to
#   float16, or one float32 beside, the five operators stay, which take many times as long, without a word.
#   The two also differ in what they compute: the fused operator is up to 5e-4 off the true GELU.
# Versions: mnn 3.6.1 (PyPI wheel), onnx 1.23.2, x86-64.
# Seen: an embedding model whose constants were rounded to float16 before the conversion had 139 binary operators
#   instead of 43, and took 28 % more time.
# Matters: a model in half precision runs slower than the same model in single precision, and weights have to be
#   rounded without the constants. Look at the operators of the converted model.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mnn==3.6.1 numpy==2.4.6 onnx==1.23.2
venv/bin/python - <<'PROGRAM'
import math
import subprocess
import sys
import time
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

ROOT = np.float32(math.sqrt(2))
HALF, FULL = np.float16, np.float32


def gelu(root, kind):
    """Return the nodes of a GELU with constants, and all arithmetic, of one type."""
    node = helper.make_node
    numbers = {"root": root, "one": 1, "half": 0.5}
    constants = [
        node("Constant", [], [name], value=numpy_helper.from_array(np.array(number, kind), name))
        for name, number in numbers.items()
    ]
    given, made = ("x", "y") if kind is FULL else ("given", "made")
    steps = [
        *constants,
        node("Div", [given, "root"], ["scaled"]),
        node("Erf", ["scaled"], ["curve"]),
        node("Add", ["curve", "one"], ["shifted"]),
        node("Mul", [given, "shifted"], ["twice"]),
        node("Mul", ["twice", "half"], [made]),
    ]
    if kind is HALF:
        steps.insert(0, node("Cast", ["x"], [given], to=TensorProto.FLOAT16))
        steps.append(node("Cast", [made], ["y"], to=TensorProto.FLOAT))
    return steps


def profile(path, x):
    """Return the types of the operators that one forward pass runs, and its CPU time in milliseconds."""
    net = MNN.Interpreter(path)
    session = net.createSession({"backend": "CPU", "numThread": 1})
    given = net.getSessionInput(session, "x")
    net.resizeTensor(given, x.shape)
    net.resizeSession(session)
    host = MNN.Tensor(x.shape, MNN.Halide_Type_Float, x, MNN.Tensor_DimensionType_Caffe)
    given.copyFrom(host)
    kinds = []

    def before(_tensors, operator):
        kinds.append(operator.getType())
        return True

    net.runSessionWithCallBackInfo(session, before, lambda _tensors, _operator: True)
    seconds = 0.0
    for _ in range(50):
        given.copyFrom(host)  # a pass may use the memory of its input for other values
        start = time.process_time()
        assert net.runSession(session) == 0
        seconds += time.process_time() - start
    return kinds, seconds * 20


x = np.random.default_rng(0).standard_normal((64, 1024)).astype(np.float32)
true = np.reshape([v * (1 + math.erf(v / math.sqrt(2))) / 2 for v in x.ravel().tolist()], x.shape)
graphs = {
    "float32": gelu(ROOT, FULL),
    "constants rounded to float16": gelu(ROOT.astype(HALF).astype(FULL), FULL),
    "root of the next float32": gelu(np.nextafter(ROOT, FULL(2)), FULL),
    "float16": gelu(ROOT, HALF),
}
counts, times, errors = {}, {}, {}
for name, nodes in graphs.items():
    save("m.onnx", nodes, ["n", 1024], {})
    target = f"{name.replace(' ', '-')}.mnn"
    convert("m.onnx", target)
    kinds, times[name] = profile(target, x)
    counts[name] = len([kind for kind in kinds if kind in ("UnaryOp", "BinaryOp")])
    errors[name] = float(np.abs(run(target, x) - true).max())
    print(f"{name}: {', '.join(kinds)}; {times[name]:.2f} ms, error {errors[name]:.1e}")
fused, *others = graphs
if not (
    counts[fused] == 1
    and all(counts[name] == 5 for name in others)
    and all(times[name] > 4 * times[fused] for name in others)
    and all(errors[name] < 1e-4 < errors[fused] < 1e-3 for name in others)
):
    sys.exit("The behaviour has changed.")
PROGRAM
