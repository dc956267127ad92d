#!/usr/bin/env bash
# BM25L of rank-bm25 multiplies by the number of occurrences once more: a document that repeats one word beats all others.
#
# Expected: BM25L as in the paper of Lv and Zhai (2011): a word's weight levels off as it is repeated.
# Happens: the release on PyPI has the word's count as a further factor: nine occurrences count nine times, and forty count forty
#   times, as if there were no levelling off. BM25Okapi and BM25Plus are right.
# Versions: rank-bm25 0.2.2 (its newest release, February 2022). The repository has had the right formula since March 2022
#   (dorianbrown/rank_bm25#20); it was not released.
# Seen: comparing keyword scores of several libraries on the same tokens.
# Matters: for "fish sleep" a recipe with nine "fish" gets six times the score of the only text about sleeping fish. Whoever reads
#   the formula on GitHub sees the right one.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check rank-bm25==0.2.2 numpy==2.4.6
venv/bin/python - <<'PROGRAM'
import sys
from importlib.metadata import version
from math import log

import rank_bm25

K1, B, DELTA = 1.5, 0.75, 0.5
texts = ["fish sleep at night in the reef", "fish " * 9 + "soup with cream", *(f"note {n} about other things" for n in range(20))]
documents = [text.split() for text in texts]
query = ["fish", "sleep"]
mean = sum(map(len, documents)) / len(documents)


def by_paper(document, count_again):
    """Return the BM25L score of a document, with the count of each word as a further factor or without."""
    score = 0.0
    for word in query:
        count, holding = document.count(word), sum(word in other for other in documents)
        level = count / (1 - B + B * len(document) / mean)
        weight = log((len(documents) + 1) / (holding + 0.5)) * (K1 + 1) * (level + DELTA) / (K1 + level + DELTA)
        score += weight * (count if count_again else 1) if count else 0.0
    return score


print("rank-bm25", version("rank-bm25"))
scores = {
    "the paper": [by_paper(document, False) for document in documents[:2]],
    "rank-bm25, BM25L": rank_bm25.BM25L(documents, k1=K1, b=B, delta=DELTA).get_scores(query)[:2].tolist(),
    "the paper, times the count": [by_paper(document, True) for document in documents[:2]],
    "rank-bm25, BM25Okapi": rank_bm25.BM25Okapi(documents).get_scores(query)[:2].tolist(),
    "rank-bm25, BM25Plus": rank_bm25.BM25Plus(documents).get_scores(query)[:2].tolist(),
}
for name, (sleep, soup) in scores.items():
    print(f"{name}: {sleep:.3f} for {texts[0]!r}, {soup:.3f} for {texts[1].strip()!r}")
found, twice = scores["rank-bm25, BM25L"], scores["the paper, times the count"]
if any(sleep <= soup for name, (sleep, soup) in scores.items() if name not in ("rank-bm25, BM25L", "the paper, times the count")):
    sys.exit("The behaviour has changed.")
if not found[1] > 4 * found[0] or any(abs(a - b) > 1e-6 for a, b in zip(found, twice)):
    sys.exit("The behaviour has changed.")
PROGRAM
