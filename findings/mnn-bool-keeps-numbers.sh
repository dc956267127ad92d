#!/usr/bin/env bash
# In MNN a number that is cast to bool keeps its value.
#
# Expected: casting to bool gives 0 or 1: of token ids, the count of those that are not 0 is the number of tokens of the text.
# Happens: Cast to BOOL changes no integer (7592 stays 7592), and cuts floats like a cast to an integer (0.5 is false). What follows
#   sees that: a sum adds up the ids, Equal says that two true values differ, And gives a number. Where and Or are right.
# Versions: mnn 3.6.1 (PyPI wheel), onnx 1.23.2.
# Seen: exporting heads whose mask is made of the token ids (ids.bool()).
# Matters: such a mask weights tokens by their number in the vocabulary, or finds the last token far beyond the text; everything is
#   right with an attention mask of 0 and 1. Compare with 0 instead (ids != 0), which is right.
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
ids = np.int32([[7592, 2088, 256, 0], [5, 0, 0, 0]])
shares = np.float32([[0.5, 1, 2, 0], [0.25, 0, 0, 3]])
to_bool = node("Cast", ["x"], ["mask"], to=TensorProto.BOOL)
back = node("Cast", ["found"], ["y"], to=INT32)
zero, mask = {"zero": np.int32(0)}, {"mask2": np.bool_([[1, 1, 1, 0], [1, 0, 0, 0]])}
count = [node("Cast", ["mask"], ["ones"], to=TensorProto.INT64), node("ReduceSum", ["ones", "axis"], ["found"], keepdims=1), back]
compare = [node("Equal", ["x", "zero"], ["is zero"]), node("Not", ["is zero"], ["mask"])]
cases = {
    "ids.bool().sum()": (ids, [to_bool, *count], {"axis": np.int64([1])}),
    "(ids != 0).sum()": (ids, [*compare, *count], {"axis": np.int64([1]), **zero}),
    "ids.bool() == mask": (ids, [to_bool, node("Equal", ["mask", "mask2"], ["found"]), back], mask),
    "ids.bool() & mask": (ids, [to_bool, node("And", ["mask", "mask2"], ["found"]), back], mask),
    "where(ids.bool(), 1, 0)": (ids, [to_bool, node("Where", ["mask", "one", "zero"], ["y"])], {"one": np.int32(1), **zero}),
    "shares.bool().float()": (shares, [to_bool, node("Cast", ["mask"], ["y"], to=FLOAT)], {}),
}
wrong = []
for name, (x, nodes, constants) in cases.items():
    save(nodes, constants, INT32 if x.dtype == np.int32 else FLOAT, (2, 2))
    convert()
    right, found = ReferenceEvaluator("m.onnx").run(None, {"x": x})[0], run(x)
    print(f"{name}: ONNX {right.tolist()}, MNN {found.tolist()}")
    if not np.array_equal(right, found):
        wrong.append(name)
    if name == "ids.bool().sum()" and not np.array_equal(found, ids.sum(axis=1, keepdims=True)):
        sys.exit("The behaviour has changed.")
if wrong != ["ids.bool().sum()", "ids.bool() == mask", "ids.bool() & mask", "shares.bool().float()"]:
    sys.exit("The behaviour has changed.")
PROGRAM
