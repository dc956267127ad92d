#!/usr/bin/env bash
# Two MNN conversions at once in one directory write wrong models.
#
# Expected: conversions of different files to different files do not affect each other.
# Happens: the converter has a scratch file with a fixed name in the current directory. Conversions that run at
#   the same time read each other's weights. All of them end with exit code 0; some of the models are wrong.
# Versions: mnn 3.6.1 (PyPI wheel), onnx 1.23.2. Matrices of 65 536 weights and more.
# Seen: a build that converted several embedding models in parallel.
# Matters: a parallel build ships models with other models' weights. Give each conversion a working directory of
#   its own, as the second run does. (It is a race, so the script tries up to ten times.)
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

MODELS, TRIES, SIZE = 6, 10, 1024
rng = np.random.default_rng(0)
x = rng.standard_normal((2, SIZE)).astype(np.float32)
weights = [rng.standard_normal((SIZE, SIZE)).astype(np.float32) for _ in range(MODELS)]
product = [helper.make_node("MatMul", ["x", "w"], ["y"])]
here = Path.cwd()
for number, matrix in enumerate(weights):
    save(f"{number}.onnx", product, ["n", SIZE], {"w": matrix})


def convert_all(directories):
    """Convert all models at once, and return how many give wrong products."""
    running = []
    for number, directory in enumerate(directories):
        directory.mkdir(exist_ok=True)
        target = here / f"{number}.mnn"
        target.unlink(missing_ok=True)
        arguments = ["--modelFile", str(here / f"{number}.onnx"), "--MNNModel", str(target)]
        command = [sys.executable, "-c", CONVERT, *arguments, "--bizCode", "finding"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        running.append(subprocess.Popen(command, cwd=directory, **quiet))
    assert [process.wait() for process in running] == [0] * MODELS
    products = [run(f"{number}.mnn", x) for number in range(MODELS)]
    return sum(np.abs(y - x @ w).max() > 0.1 for y, w in zip(products, weights, strict=True))


for attempt in range(1, TRIES + 1):
    wrong = convert_all([here] * MODELS)
    print(f"one directory, attempt {attempt}: all exit codes 0, {wrong} of {MODELS} models wrong")
    if wrong:
        break
apart = convert_all([here / f"directory-{number}" for number in range(MODELS)])
print(f"a directory for each: {apart} of {MODELS} models wrong")
if not wrong or apart:
    sys.exit("The behaviour has changed.")
PROGRAM
