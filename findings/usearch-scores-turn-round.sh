#!/usr/bin/env bash
# The "score" of sentence-transformers' semantic_search_usearch is a distance or a similarity, by the type of the vectors.
#
# Expected: "score" means the same whatever the precision: the better the hit, the greater, as in semantic_search and in
#   semantic_search_faiss with float vectors, whose documentation has the same words.
# Happens: for float32 vectors it is the cosine distance (the best hit has the least), for int8 vectors the inner product (the best
#   hit has the greatest), since quantised vectors are scored anew by default; with rescore=False it is usearch's distance
#   again, 1 less the product of the codes. The order of the hits is right in all of them.
# Versions: sentence-transformers 6.2.0, faiss-cpu 1.15.1, usearch 2.26.6, transformers 5.24.0, torch 2.13.0.
# Seen: the first and the tenth score of one question, for each kind of call.
# Matters: a threshold, a sort or a fusion of scores that was right for float32 keeps the worst hits for int8, without an error.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.24.0 sentence-transformers==6.2.0 \
    faiss-cpu==1.15.1 usearch==2.26.6 numpy==2.4.6
OMP_NUM_THREADS=1 venv/bin/python - 2> log <<'PROGRAM' || { tail -3 log; exit 1; }
import sys
from importlib.metadata import version

import numpy as np
from sentence_transformers.quantization import (
    quantize_embeddings,
    semantic_search_faiss,
    semantic_search_usearch,
)

rng = np.random.default_rng(0)
rows, queries = (rng.standard_normal((count, 64)).astype(np.float32) for count in (1000, 2))
rows, queries = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (rows, queries))
ranges = np.vstack([rows.min(axis=0), rows.max(axis=0)])
print(*(f"{name} {version(name)}" for name in ("sentence-transformers", "faiss-cpu", "usearch")))
signs = {}
for function, precision, rescore in (
    (semantic_search_faiss, "float32", True), (semantic_search_usearch, "float32", True),
    (semantic_search_usearch, "int8", True), (semantic_search_usearch, "int8", False),
):
    stored = quantize_embeddings(rows, precision, ranges=ranges)
    hits, _ = function(queries, corpus_embeddings=stored, corpus_precision=precision, ranges=ranges, top_k=10, rescore=rescore)
    first, last = hits[0][0], hits[0][-1]
    right = float(queries[0] @ rows[first["corpus_id"]]) > float(queries[0] @ rows[last["corpus_id"]])
    signs[function.__name__, precision, rescore] = first["score"] > last["score"]
    print(f"{function.__name__}, {precision}, rescore={rescore}: best hit {first['score']:.4f}, tenth hit {last['score']:.4f}; "
          f"the best is nearer: {right}")
if list(signs.values()) != [True, False, True, False]:
    sys.exit("The behaviour has changed.")
PROGRAM
