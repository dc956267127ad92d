#!/usr/bin/env bash
# Voyager finds less than half of the largest inner products, unless the vectors are added in the order of their lengths.
#
# Expected: Space.InnerProduct finds the vectors with the largest products, whatever order they were added in, as a graph of FAISS
#   with the same settings does.
# Happens: Voyager makes distances of products by one more number for each vector, which depends on the longest vector so far. It
#   is not made again when a longer one comes, so vectors of the same graph are placed by numbers of different scales.
# Versions: voyager 2.2.3, faiss-cpu 1.15.1, numpy 2.4.6.
# Seen: 5000 vectors of 64 numbers, lengths that differ by a fifth (the deviation of their logarithm is 0.2), recall of the ten
#   largest products with 200 candidates: 0.43 in random order, 0.99 with the longest or the shortest first, 1.00 in FAISS in random order.
# Matters: embeddings of models for dot products and of recommenders have lengths, and arrive in any order. The products that are
#   found are right, and nothing says that larger ones were missed. Sort them by length first.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check voyager==2.2.3 faiss-cpu==1.15.1 numpy==2.4.6
venv/bin/python - <<'PROGRAM'
import sys
from importlib.metadata import version

import faiss
import numpy as np
from voyager import Index, Space

ROWS, WIDTH, BEST, LINKS, BUILD, SEARCH = 5000, 64, 10, 16, 200, 200
rng = np.random.default_rng(0)
vectors = rng.standard_normal((ROWS, WIDTH)).astype(np.float32)
vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
vectors *= np.exp(0.2 * rng.standard_normal((ROWS, 1))).astype(np.float32)
questions = rng.standard_normal((100, WIDTH)).astype(np.float32)
nearest = np.argsort(-(questions @ vectors.T), axis=1)[:, :BEST]


def recall(found):
    return float(np.mean([np.isin(row, right).mean() for row, right in zip(found, nearest)]))


def voyager(order):
    index = Index(Space.InnerProduct, num_dimensions=WIDTH, M=LINKS, ef_construction=BUILD)
    index.add_items(vectors[order], order.tolist(), num_threads=1)
    return recall(index.query(questions, k=BEST, query_ef=SEARCH)[0])


def graph_of_faiss():
    index = faiss.IndexHNSWFlat(WIDTH, LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction, index.hnsw.efSearch = BUILD, SEARCH
    index.add(vectors)
    return recall(index.search(questions, BEST)[1])


lengths = np.linalg.norm(vectors, axis=1)
by_chance = voyager(np.arange(ROWS))
longest_first, shortest_first = voyager(np.argsort(-lengths)), voyager(np.argsort(lengths))
other = graph_of_faiss()
print(*(f"{name} {version(name)}" for name in ("voyager", "faiss-cpu", "numpy")))
print(f"recall of the {BEST} largest products: added in random order {by_chance:.3f}, longest first {longest_first:.3f}, "
      f"shortest first {shortest_first:.3f}; FAISS in random order {other:.3f}")
if not (by_chance < 0.7 and min(longest_first, shortest_first, other) > 0.95):
    sys.exit("The behaviour has changed.")
PROGRAM
