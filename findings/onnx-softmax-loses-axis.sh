#!/usr/bin/env bash
# onnx's version converter makes a softmax over all numbers of a softmax over tokens, and onnx's own evaluator says that nothing changed.
#
# Expected: convert_version(model, 11) gives a model that computes the same, or refuses. Before opset 13 Softmax(axis=1) normalises over
#   axis 1 and all that follow it together, so a softmax over tokens needs a Transpose on both sides there.
# Happens: Softmax (for which there is an adapter) and LogSoftmax keep their axis on the way down; the weights of a text add up to
#   1 over all its channels, not in each. Hardmax has no adapter on the way up and is read by the new rule. Checking with
#   onnx.reference finds nothing: it computes every Softmax by the rule of opset 13, whatever the model says, and is wrong for
#   models of opsets 9 to 12.
# Versions: onnx 1.23.2, onnxruntime 1.32.0, numpy 2.4.6.
# Seen: 280 one-node graphs of opsets 9 to 23, taken to other opsets, in both evaluators.
# Matters: heads with attention pooling have a softmax over tokens for each channel, and exporters write it as one node since opset 13.
#   Taken down for a device's older runtime they give other vectors, and the check with the library's own evaluator passes.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check onnxruntime==1.32.0 onnx==1.23.2 numpy==2.4.6
venv/bin/python - <<'PROGRAM'
import sys

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, version_converter
from onnx.helper import make_node as node
from onnx.reference import ReferenceEvaluator

SHAPE = ["texts", "tokens", 4]
x = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
powers = np.exp(x.astype(np.float64))
over_tokens, over_all = powers / powers.sum(axis=1, keepdims=True), powers / powers.sum(axis=(1, 2), keepdims=True)


def model_of(operator, opset, **attributes):
    """Return a model of one node, from x to y."""
    given, result = (helper.make_tensor_value_info(name, TensorProto.FLOAT, SHAPE) for name in "xy")
    graph = helper.make_graph([node(operator, ["x"], ["y"], **attributes)], "graph", [given], [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model):
    """Return y of ONNX Runtime."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def of_onnx(model):
    """Return y of onnx.reference."""
    return ReferenceEvaluator(model).run(None, {"x": x})[0]


def same(a, b):
    """Return whether two arrays agree to 1e-5."""
    return bool(np.allclose(a, b, atol=1e-5))


changed = "The behaviour has changed."
print("onnx", onnx.__version__, "onnxruntime", onnxruntime.__version__, "numpy", np.__version__)
for operator, right, wide in (("Softmax", over_tokens, over_all), ("LogSoftmax", np.log(over_tokens), np.log(over_all))):
    new = model_of(operator, 13, axis=1)
    for opset in (12, 11):
        old = version_converter.convert_version(new, opset)
        onnx.checker.check_model(old, full_check=True)
        assert old.opset_import[0].version == opset and same(run(new), right)
        print(f"{operator}(axis=1) of opset 13 taken to {opset}: over tokens {same(run(old), right)}, over all {same(run(old), wide)};",
              f"onnx.reference says that both models are the same: {same(of_onnx(old), of_onnx(new))}")
        if not same(run(old), wide) or same(run(old), right) or not same(of_onnx(old), of_onnx(new)):
            sys.exit(changed)
old = model_of("Hardmax", 11, axis=1)
new = version_converter.convert_version(old, 13)
ones = [int(run(model).sum()) for model in (old, new)]
print("Hardmax(axis=1) of opset 11 taken to 13: ones in the result of two texts", ones)
if ones != [2, 8]:
    sys.exit(changed)
for opset in (9, 11, 12):
    model = model_of("Softmax", opset, axis=1)
    print(f"Softmax(axis=1) of opset {opset}: ONNX Runtime over all {same(run(model), over_all)}, onnx.reference over tokens {same(of_onnx(model), over_tokens)}")
    if not same(run(model), over_all) or not same(of_onnx(model), over_tokens):
        sys.exit(changed)
PROGRAM
