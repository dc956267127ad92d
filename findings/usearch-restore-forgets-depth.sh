#!/usr/bin/env bash
# usearch does not save how deep an index searches: Index.restore gives one that finds less than the one that was saved.
#
# Expected: an index that is saved and restored gives the same answers. Its depth of search (expansion_search), like its
#   number of neighbours, is a parameter of the constructor, and Index.restore takes the others from the file.
# Happens: the file holds no depth. Index.restore builds an index with the default of 64, whatever the saved one had;
#   expansion_add falls to 128 too, so that what is added later is joined worse. No error, no warning.
# Versions: usearch 2.26.6 (PyPI wheel), x86-64, numpy 2.4.6.
# Seen: 20,000 vectors of width 64, expansion_search=800: the restored index has 64, and finds fewer of the exact neighbours.
# Matters: a service answers worse after its first restart than in the tests before. Give the depth to restore again,
#   as an argument, or set the attribute.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check usearch==2.26.6 numpy==2.4.6
venv/bin/python - <<'PROGRAM'
import sys
from importlib.metadata import version

import numpy as np
from usearch.index import Index

rng = np.random.default_rng(0)
rows, queries = (rng.standard_normal((count, 64)).astype(np.float32) for count in (20_000, 200))
length = np.linalg.norm(rows, axis=1)
exact = np.argsort(-(queries @ rows.T) / length, axis=1)[:, :10].tolist()


def recall(index):
    found = index.search(queries, 10, threads=1).keys.tolist()
    return np.mean([len(set(one) & set(other)) / 10 for one, other in zip(found, exact)])


built = Index(ndim=64, metric="cos", dtype="f32", expansion_add=256, expansion_search=800)
built.add(np.arange(len(rows)), rows, threads=1)
built.save("rows.usearch")
restored = Index.restore("rows.usearch")
print("usearch", version("usearch"))
before, after = recall(built), recall(restored)
print(f"built:    expansion_search {built.expansion_search}, expansion_add {built.expansion_add}, recall {before:.3f}")
print(f"restored: expansion_search {restored.expansion_search}, expansion_add {restored.expansion_add}, recall {after:.3f}")
restored.expansion_search = 800
again = recall(restored)
print(f"restored, expansion_search set again: recall {again:.3f}")
if not (after < before - 0.1 and abs(again - before) < 0.01):
    sys.exit("The behaviour has changed.")
PROGRAM
