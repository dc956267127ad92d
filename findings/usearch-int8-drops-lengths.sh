#!/usr/bin/env bash
# usearch's int8 index scales every vector to the same length, also for inner product and Euclidean distance.
#
# Expected: dtype="i8" rounds numbers, so that a vector twice as long has twice the inner product.
# Happens: a float vector is divided by its own length before it becomes int8. With metric "ip" a vector and
#   one a hundred times as long are equally near; the longer one should be the nearest of all.
# Versions: usearch 2.26.6 (PyPI wheel), x86-64.
# Seen: the same distance for both vectors; int8 arrays that the caller has scaled keep their lengths.
# Matters: models compared by dot product lose half of their neighbours without an error.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check usearch==2.26.6 numpy==2.4.6
venv/bin/python - <<'PROGRAM'
from importlib.metadata import version

import numpy as np
from usearch.index import Index

print("usearch", version("usearch"))
short = np.array([0.3, 0.1, 0.2, 0.4], np.float32)
vectors = np.stack([short, 100 * short])
query = short


def distances(dtype, rows, question):
    index = Index(ndim=4, metric="ip", dtype=dtype)
    index.add(np.arange(2, dtype=np.uint64), rows)
    found = index.search(question, 2)
    return dict(zip(found.keys.tolist(), found.distances.tolist()))


def scaled(rows, largest):
    return np.rint(rows * (127 / largest)).astype(np.int8)


halves = distances("f16", vectors, query)
dropped = distances("i8", vectors, query)
kept = distances("i8", scaled(vectors, 40), scaled(query, 0.4))
print("f16:", halves)
print("i8:", dropped)
print("i8, scaled by the caller:", kept)
assert halves[0] - halves[1] > 25, "the longer vector is nearer"
assert dropped[0] == dropped[1], "usearch keeps lengths now"
assert kept[1] < kept[0], "int8 rows of the caller's own keep their lengths"
PROGRAM
