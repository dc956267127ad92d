#!/usr/bin/env bash
# usearch's Index.search takes a radius, and returns neighbours beyond it.
#
# Expected: index.search(query, 10, radius=0.5) returns at most ten neighbours, none farther away than 0.5.
# Happens: the method has the parameter and does nothing with it: the answer is the same with any radius. No error.
# Versions: usearch 2.26.6 (PyPI wheel), x86-64, numpy 2.4.6.
# Seen: the same ten neighbours for every radius, exact or not, at distances from 0 to more than 1.
# Matters: texts that have nothing to do with the question pass a threshold that seems to be set. Compare the distances
#   of the answer instead.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check usearch==2.26.6 numpy==2.4.6
venv/bin/python - <<'PROGRAM'
import inspect
import sys
from importlib.metadata import version

import numpy as np
from usearch.index import Index

rng = np.random.default_rng(0)
rows = rng.standard_normal((10, 64)).astype(np.float32)
index = Index(ndim=64, metric="cos", dtype="f32")
index.add(np.arange(len(rows)), rows)
print("usearch", version("usearch"), inspect.signature(Index.search).parameters["radius"])
answers = []
for exact in (False, True):
    for radius in (float("inf"), 0.5, 0.0):
        found = index.search(rows[0], 10, radius=radius, exact=exact)
        answers.append((found.keys.tolist(), found.distances.tolist()))
        print(f"exact={exact}, radius={radius}: {len(found)} neighbours, the farthest at {found.distances.max():.3f}")
if any(answer != answers[0] for answer in answers) or max(answers[0][1]) < 1:
    sys.exit("The behaviour has changed.")
PROGRAM
