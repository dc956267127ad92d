#!/usr/bin/env bash
# safetensors.numpy saves a transposed array as another matrix.
#
# Expected: save_file stores the array's values, as numpy.save does, or refuses an array that is not contiguous, as
#   safetensors.torch does.
# Happens: the bytes from the start of the array's memory are stored under the array's shape, without regard to its
#   strides. A transposed matrix comes back shuffled, and the first columns of a matrix come back as its first
#   rows. Nothing is raised, and all shapes and dtypes are right.
# Versions: safetensors 0.8.0, numpy 2.4.6.
# Seen: writing the transposed weights of an embedding model's projection.
# Matters: weights are transposed between frameworks, and vectors[:, :256] is how embeddings are shortened. Save
#   numpy.ascontiguousarray(array).
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
venv/bin/python - <<'PROGRAM'
import sys
from importlib.metadata import version

import numpy as np
from safetensors.numpy import load, save

print("safetensors", version("safetensors"), "numpy", np.__version__)
weights = np.arange(6, dtype=np.float32).reshape(2, 3)
views = {"contiguous": weights, "transposed": weights.T, "first columns": weights[:, :2]}
kept = {}
for name, array in views.items():
    loaded = load(save({"weights": array}))["weights"]
    kept[name] = np.array_equal(loaded, array)
    print(f"{name}: saved {array.tolist()}, loaded {loaded.tolist()}")
if kept != {"contiguous": True, "transposed": False, "first columns": False}:
    sys.exit("The behaviour has changed.")
PROGRAM
