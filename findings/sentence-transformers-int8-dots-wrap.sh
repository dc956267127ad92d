#!/usr/bin/env bash
# sentence-transformers' dot_score of int8 embeddings wraps round at 127: semantic_search returns random documents.
#
# Expected: dot products of the int8 numbers that encode(precision="int8") and quantize_embeddings give are sums of many bits,
#   or are refused, as cos_sim and the distances refuse them.
# Happens: torch multiplies int8 matrices in int8. Each score is the last byte of the sum, from -128 to 127, and semantic_search
#   orders by it; no error, no warning. The same numbers as float32 give the right order.
# Versions: sentence-transformers 6.2.0 with transformers 5.24.0, torch 2.13.0 (CPU) and numpy 2.4.6.
# Seen: 1000 documents and 100 questions, each question near to one document: in int8 that one is first for every question by sums
#   in int64 or float32, and for none by dot_score in int8.
# Matters: int8 embeddings are offered to save memory, and models trained for dot products have dot_score as their similarity.
#   Convert codes to float32 before comparing.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check torch==2.13.0 transformers==5.24.0 sentence-transformers==6.2.0 \
    numpy==2.4.6
HF_HUB_OFFLINE=1 venv/bin/python -W error::RuntimeWarning - <<'PROGRAM'
import sys
from importlib.metadata import version

import numpy as np
import torch
from sentence_transformers import util
from sentence_transformers.util import quantize_embeddings

rng = np.random.default_rng(0)
documents = rng.standard_normal((1000, 384)).astype(np.float32)
documents /= np.linalg.norm(documents, axis=1, keepdims=True)
questions = documents[:100] + 0.02 * rng.standard_normal((100, 384)).astype(np.float32)
ranges = np.vstack([documents.min(0), documents.max(0)])
coded, asked = (quantize_embeddings(rows, "int8", ranges=ranges) for rows in (documents, questions))


def right(scores):
    """Return how many questions have their own document first."""
    return int((np.asarray(scores).argmax(1) == np.arange(100)).sum())


def found(rows, others):
    hits = util.semantic_search(torch.from_numpy(rows), torch.from_numpy(others), top_k=1, score_function=util.dot_score)
    return sum(best[0]["corpus_id"] == place for place, best in enumerate(hits)), hits[0][0]["score"]


exact = asked.astype(np.int64) @ coded.astype(np.int64).T
scores = util.dot_score(asked, coded)
print(*(f"{name} {version(name)}" for name in ("sentence-transformers", "torch", "numpy")))
print("questions whose own document is first, of 100:")
print("  sums in int64:", right(exact), "; a document's score with itself:", exact[0, 0])
print("  dot_score, float32:", found(asked.astype(np.float32), coded.astype(np.float32)))
print("  dot_score, int8:", found(asked, coded), "in", scores.dtype, "; a document's score with itself:", scores[0, 0].item())
wrapped = scores.dtype == torch.int8 and (scores.numpy() == exact.astype(np.int8)).all()
whole = right(exact) == 100 and found(asked.astype(np.float32), coded.astype(np.float32))[0] == 100
if not (wrapped and whole and found(asked, coded)[0] < 20):
    sys.exit("The behaviour has changed.")
PROGRAM
