#!/usr/bin/env bash
# A float16 embedding table takes more memory in MNN than the same table in float32.
#
# Expected: a model converted with --fp16 has half the file and takes no more memory than one in float32.
# Happens: when a session is made, a table of halves becomes float32, and the whole file stays in memory beside it:
#   three times the file, one and a half times the float32 table. --saveExternalData, which has a float32
#   table read straight to its place, leaves halves inside the model and writes an empty .weight file.
# Versions: mnn 3.6.1 (PyPI wheel), onnx 1.23.2.
# Seen: measuring the memory of a converted embedding model, most of which is its word table.
# Matters: --fp16 is chosen to save memory on phones; a multilingual table of 250,000 words x 384 takes 576 MB so,
#   384 MB as float32 with --saveExternalData, and 192 MB as two tables of bytes, which stay as they are.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mnn==3.6.1 numpy==2.4.6 onnx==1.23.2
cat > use.py <<'PROGRAM'
"""Open a model, read four rows of its table, and print by how many MB the process grew."""
import sys

import MNN
import numpy as np


def resident(key):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1000 for line in file if line.startswith(key))


before = resident("VmRSS")
net = MNN.Interpreter(sys.argv[1])
session = net.createSession({"backend": "CPU", "numThread": 1})
ids = np.array([[1, 2, 3, 4]], np.int32)
host = MNN.Tensor(ids.shape, MNN.Halide_Type_Int, ids, MNN.Tensor_DimensionType_Caffe)
net.getSessionInput(session).copyFrom(host)
assert net.runSession(session) == 0
print("grew", resident("VmRSS") - before)
PROGRAM
venv/bin/python - <<'PROGRAM'
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROWS, WIDTH = 60_000, 256
CONVERT = "import sys, _tools; _tools.mnnconvert(['mnnconvert', '-f', 'ONNX', *sys.argv[1:]])"


def save(path):
    """Save a graph that adds up four rows of a table."""
    table = np.random.default_rng(0).standard_normal((ROWS, WIDTH)).astype(np.float32)
    tensors = [numpy_helper.from_array(table, "table"), numpy_helper.from_array(np.array([1]), "axis")]
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"], axis=0),
        helper.make_node("ReduceSum", ["rows", "axis"], ["sum"], keepdims=0),
    ]
    ids = helper.make_tensor_value_info("ids", TensorProto.INT32, [1, 4])
    total = helper.make_tensor_value_info("sum", TensorProto.FLOAT, [1, WIDTH])
    graph = helper.make_graph(nodes, "graph", [ids], [total], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def converted(name, *options):
    """Convert; return the MB of the model, of its file of numbers, and what a process grows by."""
    target = Path(name) / "model.mnn"
    target.parent.mkdir()
    arguments = ["--modelFile", "table.onnx", "--MNNModel", str(target), "--bizCode", "finding"]
    subprocess.run([sys.executable, "-c", CONVERT, *arguments, *options], capture_output=True, check=True)
    beside = Path(f"{target}.weight")
    output = subprocess.run(
        [sys.executable, "use.py", str(target)], capture_output=True, text=True, check=True
    ).stdout
    grew = next(float(line.split()[1]) for line in output.splitlines() if line.startswith("grew"))
    sizes = [path.stat().st_size / 1e6 if path.exists() else 0.0 for path in (target, beside)]
    print(f"{name:20} model {sizes[0]:5.1f} MB, beside it {sizes[1]:5.1f} MB, in memory {grew:4.0f} MB")
    return *sizes, grew


print("mnn", version("mnn"), "onnx", version("onnx"), "numpy", np.__version__)
save("table.onnx")
table = ROWS * WIDTH * 4 / 1e6
converted("float32")
inside, beside, floats = converted("float32, external", "--saveExternalData")
assert inside < 1 < beside
half, _, halves = converted("float16", "--fp16")
left, empty, outside = converted("float16, external", "--fp16", "--saveExternalData")
print(f"the table in float32: {table:.0f} MB")
more = min(halves, outside) / floats
print(f"float16 takes {more:.2f} times the memory of float32")
if not (half < 0.51 * table and more > 1.3 and left > 0.49 * table and empty == 0):
    sys.exit("The behaviour has changed.")
PROGRAM
