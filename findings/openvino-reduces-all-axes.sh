#!/usr/bin/env bash
# OpenVINO adds up the whole batch for three sums of ONNX opsets 13 to 17, whatever axis they name.
#
# Expected: ReduceL1, ReduceLogSum and ReduceLogSumExp over axis 1 give a number for each text.
# Happens: in opsets 13 to 17 these nodes name their axes in an attribute, which OpenVINO does not read: it takes all axes. With
#   keepdims=1 the result still fits what follows: every text is divided by the sum of all texts. Opsets 12 and 18 are right, and so are
#   ReduceL2, ReduceSum, ReduceMean and ReduceMax.
# Versions: openvino 2026.4.1, onnxruntime 1.32.0, onnx 1.23.2. Also reported as openvinotoolkit/openvino#38238.
# Seen: comparing heads of embedding models as they come from exporters, whose opset was 17 for years.
# Matters: vectors divided by their L1 norm depend on the other texts of the batch, and are right for a batch of one; tests of one text
#   pass. log-sum-exp pooling gives a single number. Export with opset 18, or write the sums as ReduceSum.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check openvino==2026.4.1 onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
venv/bin/python - <<'PROGRAM'
import sys
from importlib.metadata import version

import numpy as np
import onnx
import onnxruntime
import openvino
from onnx import TensorProto, helper, numpy_helper

BY_HAND = {
    "ReduceL1": lambda x: np.abs(x).sum(axis=1, keepdims=True),
    "ReduceLogSum": lambda x: np.log(x.sum(axis=1, keepdims=True)),
    "ReduceLogSumExp": lambda x: np.log(np.exp(x).sum(axis=1, keepdims=True)),
    "ReduceL2": lambda x: np.sqrt((x * x).sum(axis=1, keepdims=True)),
    "ReduceMean": lambda x: x.mean(axis=1, keepdims=True),
}
core = openvino.Core()


def divided(kind, opset):
    """Save a graph that divides rows by their sum of a kind."""
    as_input = opset >= 18
    step = helper.make_node(kind, ["x", "axes"] if as_input else ["x"], ["sum"], keepdims=1, **({} if as_input else {"axes": [1]}))
    nodes = [step, helper.make_node("Div", ["x", "sum"], ["y"])]
    given, result = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["texts", "width"]) for name in "xy")
    axes = [numpy_helper.from_array(np.int64([1]), "axes")] if as_input else []
    graph = helper.make_graph(nodes, "graph", [given], [result], axes)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, "m.onnx")


print(*(f"{name} {version(name)}" for name in ("openvino", "onnxruntime", "onnx")))
x = np.float32([[1, 2, 5], [3, 1, 4]])
wrong = set()
for opset in (12, 13, 17, 18):
    for kind, by_hand in BY_HAND.items():
        divided(kind, opset)
        right = x / by_hand(x)
        runtime = onnxruntime.InferenceSession("m.onnx").run(None, {"x": x})[0]
        compiled = core.compile_model("m.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        found, alone = (compiled(rows)[0] for rows in (x, x[:1]))
        assert np.allclose(runtime, right, atol=1e-5)
        if not np.allclose(found, right, atol=1e-5):
            wrong.add((opset, kind))
            print(f"opset {opset}, x / {kind}: right {right[0].round(4)}, OpenVINO {found[0].round(4)}, alone {alone[0].round(4)}")
        if not np.allclose(alone, right[:1], atol=1e-5):
            sys.exit("The behaviour has changed.")
if wrong != {(opset, kind) for opset in (13, 17) for kind in ("ReduceL1", "ReduceLogSum", "ReduceLogSumExp")}:
    sys.exit("The behaviour has changed.")
PROGRAM
