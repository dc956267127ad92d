#!/usr/bin/env bash
# MNN's converter reports success where it could not write the model.
#
# Expected: a conversion whose output does not fit (a full disk, a quota, a limit on the size of files) ends with an
#   error and a code other than 0.
# Happens: it prints "Converted Success!" and ends with code 0. The file holds what there was room for, and so does
#   the file for numbers outside of it (--saveExternalData).
# Versions: mnn 3.6.1 (PyPI wheel), onnx 1.23.2.
# Seen: conversions on a small disk of a build machine.
# Matters: the truncated model is shipped, or its failure to load is taken for a fault of the converter. Compare the
#   free space, or load the result and run it once. (The script limits the size of files to stand for a full disk.)
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check mnn==3.6.1 numpy==2.4.6 onnx==1.23.2
venv/bin/python - <<'PROGRAM'
import resource
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CONVERT = "import sys, _tools; _tools.mnnconvert(['mnnconvert', '-f', 'ONNX', *sys.argv[1:]])"
SIZE = 1024
print("mnn", version("mnn"), "onnx", version("onnx"))

values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", SIZE]) for name in "xy"]
weights = np.random.default_rng(0).standard_normal((SIZE, SIZE)).astype(np.float32)
tensors = [numpy_helper.from_array(weights, "w")]
product = [helper.make_node("MatMul", ["x", "w"], ["y"])]
graph = helper.make_graph(product, "graph", values[:1], values[1:], tensors)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
onnx.checker.check_model(model)
onnx.save(model, "graph.onnx")


def convert(folder, *options, most=resource.RLIM_INFINITY):
    """Convert in a process that may write files of so many bytes; return its code, output and files."""
    Path(folder).mkdir()
    arguments = ["--modelFile", "../graph.onnx", "--MNNModel", "y.mnn", "--bizCode", "finding"]
    done = subprocess.run(
        [sys.executable, "-c", CONVERT, *arguments, *options],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most, most)),
    )
    sizes = {path.name: path.stat().st_size for path in sorted(Path(folder).glob("y.mnn*"))}
    return done.returncode, "Converted Success!" in done.stdout, sizes


changed = False
for name, options in (("inside", ()), ("outside", ("--saveExternalData",))):
    code, said, whole = convert(f"whole-{name}", *options)
    assert code == 0 and said, "the conversion itself fails"
    code, said, cut = convert(f"cut-{name}", *options, most=1 << 20)
    print(f"numbers {name}: with room {whole}; in files of 1 MB at most {cut}, code {code}, "
          f"{'reports success' if said else 'reports no success'}")
    changed |= code != 0 or not said or sum(cut.values()) >= sum(whole.values())
if changed:
    sys.exit("The behaviour has changed.")
PROGRAM
