#!/usr/bin/env bash
# In MNN a slice that starts further from the end than the axis is long keeps only some of it.
#
# Expected: x[:, -8:] keeps the last eight tokens, and all of a text of fewer, as in ONNX, NumPy and PyTorch.
# Happens: MNN adds the length to the start until it is not negative, instead of taking 0. Of seven tokens the last one is left, of
#   five the last three; of eight and more, and of four, two and one, the result is right. No error, no warning.
# Versions: mnn 3.6.1 (PyPI wheel), onnx 1.23.2.
# Seen: exporting pooling over the last tokens of a text.
# Matters: "the last n tokens" is how heads and windows look at the end of a text. Long texts are right, and so are some short ones,
#   so tests pass; other short texts, queries above all, get the vector of a part of them. Compute
#   the start in the graph, as the greater of 0 and the length less eight, or run such texts padded.
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
from onnx.helper import make_node as node
from onnx.reference import ReferenceEvaluator

CONVERT = "import sys, _tools; _tools.mnnconvert(['mnnconvert', '-f', 'ONNX', *sys.argv[1:]])"
FLOAT, INT32 = TensorProto.FLOAT, TensorProto.INT32


def save(nodes, constants, kind, rank):
    """Save a graph with one input x and one output y of one kind of number."""
    given, result = (helper.make_tensor_value_info(name, kind, [f"{name}{n}" for n in range(size)]) for name, size in zip("xy", rank))
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "graph", [given], [result], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "m.onnx")


def convert():
    """Convert in a child process, without the rest of the converter's package."""
    Path("m.mnn").unlink(missing_ok=True)
    arguments = ["--modelFile", "m.onnx", "--MNNModel", "m.mnn", "--bizCode", "finding"]
    subprocess.run([sys.executable, "-c", CONVERT, *arguments], capture_output=True, check=True)
    assert Path("m.mnn").is_file()


def run(x):
    """Return the output of one forward pass on one thread of the CPU."""
    kind = MNN.Halide_Type_Int if x.dtype == np.int32 else MNN.Halide_Type_Float
    net = MNN.Interpreter("m.mnn")
    session = net.createSession({"backend": "CPU", "numThread": 1})
    given = net.getSessionInput(session, "x")
    net.resizeTensor(given, x.shape)
    net.resizeSession(session)
    layout = MNN.Tensor_DimensionType_Caffe
    given.copyFrom(MNN.Tensor(x.shape, kind, x, layout))
    assert net.runSession(session) == 0
    output = net.getSessionOutput(session, "y")
    shape = output.getShape()
    host = MNN.Tensor(shape, kind, np.zeros(shape, x.dtype), layout)
    output.copyToHostTensor(host)
    return np.array(host.getData(), x.dtype).reshape(shape)


print("mnn", version("mnn"), "onnx", version("onnx"), "numpy", np.__version__)
constants = {"start": np.int64([-8]), "end": np.int64([2**63 - 1]), "axis": np.int64([1]), "zero": np.int64([0])}
computed = [
    node("Shape", ["x"], ["shape"]), node("Gather", ["shape", "axis"], ["length"]), node("Add", ["length", "start"], ["difference"]),
    node("Max", ["difference", "zero"], ["place"]), node("Slice", ["x", "place", "end", "axis"], ["y"]),
]
save(computed, constants, FLOAT, (2, 2))
convert()
for length in (20, 7, 5):
    x = np.arange(length, dtype=np.float32)[None]
    found = run(x)
    print(f"{length} tokens, with the start computed as max(length - 8, 0): MNN keeps {found.size}")
    if not np.array_equal(found, x[:, -8:]):
        sys.exit("The behaviour has changed.")
del constants["zero"]
save([node("Slice", ["x", "start", "end", "axis"], ["y"])], constants, FLOAT, (2, 2))
convert()
reference, lost = ReferenceEvaluator("m.onnx"), {}
for length in (20, 8, 7, 6, 5, 4, 3, 2, 1):
    x = np.arange(length, dtype=np.float32)[None]
    right, found = reference.run(None, {"x": x})[0], run(x)
    assert np.array_equal(right, x[:, -8:])
    lost[length] = right.size - found.size
    print(f"{length} tokens: ONNX keeps {right.size}, MNN keeps {found.size}: {found.ravel().astype(int).tolist()}")
    if not np.array_equal(found, right[:, lost[length] :]):
        sys.exit("The behaviour has changed.")
if lost != {20: 0, 8: 0, 7: 6, 6: 4, 5: 2, 4: 0, 3: 1, 2: 0, 1: 0}:
    sys.exit("The behaviour has changed.")
PROGRAM
