#!/usr/bin/env bash
# A newer ONNX Runtime rounds the inputs of layers to 8 bits where a file asks for 8-bit weights only.
#
# Expected: DequantizeLinear of stored int8 weights, then MatMul in float32, is what it says: the weights are rounded, x is not. The same
#   file gives the same vectors before and after an update, but for the last bits.
# Happens: 1.32 fuses the two nodes into MatMulNBits with accuracy_level 4, which rounds x to 8 bits in blocks of 32; 1.23 leaves them alone.
#   It does not matter whether columns have scales of their own or all have one, nor which opset from 13 on the file has. The error
#   grows from that of float32 to 1 % of the largest output, in each layer. No warning; a comment in a C header has the default
#   of "session.qdq_matmulnbits_accuracy_level". With "0" or "1" the product is computed as written.
# Versions: onnxruntime 1.32.0 beside 1.23.2, onnx 1.23.2, numpy 2.4.6, x86-64.
# Seen: one layer of width 384 and inputs in which one of the channels is 20 times as large, as encoders have them.
# Matters: a file with 8-bit weights that was measured before gives other vectors after an update, which no longer fit to those of an
#   index; and whoever compares two runtimes on it takes the rounding for a fault of the other one.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
venv/bin/pip install --quiet --disable-pip-version-check --no-deps --target older onnxruntime==1.23.2
cat > layer.py <<'PROGRAM'
import json
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from onnx.helper import make_node as node

WIDTH = 384
numbers = np.random.default_rng(0)
weights = 0.05 * numbers.normal(size=(WIDTH, WIDTH)).astype(np.float32)
x = numbers.normal(size=(16, WIDTH)).astype(np.float32)
x[:, 7] *= 20
steps = np.abs(weights).max(axis=0) / 127
of_columns, step = np.rint(weights / steps).astype(np.int8), np.abs(weights).max() / np.float32(127)
of_all = np.rint(weights / step).astype(np.int8)
raised = (of_columns.astype(int) + 128).astype(np.uint8)
forms = {
    "int8, a scale for each column": (of_columns, steps, None),
    "uint8, a scale for each column": (raised, steps, np.full(WIDTH, 128, np.uint8)),
    "int8, one scale": (of_all, step, None),
}


def error(form, opset, entry):
    """Return the largest error of the layer, as a share of the largest output."""
    codes, scale, zero = forms[form]
    stored = {"codes": codes, "scale": scale} | ({} if zero is None else {"zero": zero})
    nodes = [node("DequantizeLinear", list(stored), ["weights"], axis=1), node("MatMul", ["x", "weights"], ["y"])]
    given, result = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["tokens", WIDTH]) for name in "xy")
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()]
    graph = helper.make_graph(nodes, "layer", [given], [result], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    if entry:
        options.add_session_config_entry(*entry)
    y = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]
    whole = codes.astype(np.float64) - (0 if zero is None else zero.astype(np.float64))
    exact = x.astype(np.float64) @ (whole * np.asarray(scale, np.float64))
    return float(np.abs(y - exact).max() / np.abs(exact).max())


entry = ("session.qdq_matmulnbits_accuracy_level", "1")
cases = {f"opset {opset}, {form}": [error(form, opset, None), error(form, opset, entry)] for opset in (13, 21) for form in forms}
json.dump({"version": onnxruntime.__version__, "errors": cases}, sys.stdout)
PROGRAM
PYTHONPATH=older venv/bin/python layer.py > older.json
venv/bin/python layer.py > newer.json
venv/bin/python - <<'PROGRAM'
import json
import sys
from pathlib import Path

older, newer = (json.loads(Path(name).read_text()) for name in ("older.json", "newer.json"))
assert (older["version"], newer["version"]) == ("1.23.2", "1.32.0")
for case, (before, before_asked) in older["errors"].items():
    now, now_asked = newer["errors"][case]
    print(f"{case}: {older['version']} {before:.1e}, {newer['version']} {now:.1e}, with accuracy level 1 {now_asked:.1e}")
    if max(before, before_asked, now_asked) > 1e-5 or not 2e-3 < now < 5e-2:
        sys.exit("The behaviour has changed.")
PROGRAM
