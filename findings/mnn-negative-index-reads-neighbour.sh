#!/usr/bin/env bash
# In MNN the index -1 of GatherND and GatherElements reads another row: the last token of the text before.
#
# Expected: an index of -1 means the last element of the axis, as ONNX says of both operators (and of Gather, which is right).
# Happens: nothing is added to a negative index. It counts back from where the row begins, into the row before: with the last token
#   of every text asked for, each text of a batch gets the last token of the text in front of it, and the first one zeros.
# Versions: mnn 3.6.1 (PyPI wheel), onnx 1.23.2.
# Seen: exporting last-token pooling.
# Matters: the vectors look sound, and belong to other texts. A batch of one text shows it by zeros
#   only. Add the length to the index in the graph, or use Gather.
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
batch, tokens = 3, 4
x = 100 + np.arange(batch * tokens * 2, dtype=np.float32).reshape(batch, tokens, 2)
ends = np.full((batch, 1), -1, np.int64)
each = np.full((batch, 1, 2), -1, np.int64)
cases = {
    "Gather": (node("Gather", ["x", "index"], ["y"], axis=1), np.int64(-1), 2),
    "GatherND": (node("GatherND", ["x", "index"], ["y"], batch_dims=1), ends, 2),
    "GatherND, index 3": (node("GatherND", ["x", "index"], ["y"], batch_dims=1), ends + tokens, 2),
    "GatherElements": (node("GatherElements", ["x", "index"], ["y"], axis=1), each, 3),
    "GatherElements, index 3": (node("GatherElements", ["x", "index"], ["y"], axis=1), each + tokens, 3),
}
before = x[:-1, -1]
for name, (step, index, rank) in cases.items():
    save([step], {"index": index}, FLOAT, (3, rank))
    convert()
    right, found = ReferenceEvaluator("m.onnx").run(None, {"x": x})[0], run(x)
    right, found = right.reshape(batch, 2), found.reshape(batch, 2)
    assert np.array_equal(right, x[:, -1])
    sound = name == "Gather" or name.endswith("3")
    neighbours = np.array_equal(found[1:], before)
    print(f"{name}: ONNX {right.tolist()}, MNN {found.tolist()}; the text before's: {neighbours}")
    if np.array_equal(found, right) != sound or neighbours == sound or np.array_equal(found[0], right[0]) != sound:
        sys.exit("The behaviour has changed.")
PROGRAM
