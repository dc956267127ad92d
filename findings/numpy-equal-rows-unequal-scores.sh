#!/usr/bin/env bash
# In NumPy, equal rows of a matrix get unequal dot products with the same vector.
#
# Expected: the score of a document depends on its vector and the query's. Two documents with the same vector tie,
#   and a query scores the same alone (matrix times vector) and among others (matrix times matrix).
# Happens: OpenBLAS computes rows at the edge of a block with another kernel, which adds in another order. A row
#   and its copy elsewhere in the matrix differ in the last bits, in one and the same product; so do a product
#   with one query and with several.
# Versions: numpy 2.4.6 (PyPI wheel, OpenBLAS), x86-64. OPENBLAS_CORETYPE=Haswell selects the kernels that most
#   processors with AVX2 get, so that the result does not depend on the machine.
# Seen: a test of a search index that passed on one processor and failed on another.
# Matters: duplicates do not tie, so sorting by (score, id) does not order them by id; the same question finds
#   documents in another order when it is asked in a batch. Compare scores with a tolerance, or compute the
#   scores of the best candidates again in a fixed order.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check numpy==2.4.6
OPENBLAS_CORETYPE=Haswell OPENBLAS_NUM_THREADS=1 venv/bin/python - <<'PROGRAM'
import sys

import numpy as np

print("numpy", np.__version__)
rng = np.random.default_rng(0)
documents = rng.standard_normal((1001, 384)).astype(np.float32)
documents /= np.linalg.norm(documents, axis=1, keepdims=True)
documents[-1] = documents[0]
queries = rng.standard_normal((8, 384)).astype(np.float32)
queries /= np.linalg.norm(queries, axis=1, keepdims=True)
together = queries @ documents.T
alone = np.stack([documents @ query for query in queries])
copies = int((together[:, 0] != together[:, -1]).sum())
copies_alone = int((alone[:, 0] != alone[:, -1]).sum())
print(f"document 0 and its copy, scores of 8 queries together: {copies} of 8 differ")
print(f"document 0 and its copy, scores of each query alone: {copies_alone} of 8 differ")
changed = float((together != alone).mean())
print(f"scores that differ between a query alone and among others: {changed:.0%}")
print(f"largest difference: {np.abs(together - alone).max():.1e}")
if not (copies + copies_alone and changed > 0.1):
    sys.exit("The behaviour has changed.")
PROGRAM
