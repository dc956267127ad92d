#!/usr/bin/env bash
# In Qdrant's weighted rank fusion the sum of the weights decides, too: 3 to 1 and 0.75 to 0.25 give two orders.
#
# Expected: weighted reciprocal rank fusion is a sum of weight / (k + rank), as in Chroma, Elasticsearch and OpenSearch: only the
#   ratio of the weights matters for the order, and equal weights are as good as none.
# Happens: Qdrant divides the rank by the weight: 1 / (k - 1 + (rank + 1) / weight), where k is 2 unless one says otherwise. No list can
#   give a document more than 1, however great its weight; weights of 10 and 10 give another order than 1 and 1. Weights below 1, such
#   as shares that add up to 1, favour the first hit of one list over a document that both lists have near the top.
# Versions: qdrant-client 1.20.0, in its local mode; the formula is that of the server's source (reciprocal_rank_fusion.rs).
# Seen: fusing two lists with the weights of another engine.
# Matters: weights that were tuned elsewhere, or scaled to add up to 1, rank otherwise in Qdrant, and nothing says so.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check qdrant-client==1.20.0 numpy==2.4.6
venv/bin/python -W ignore - <<'PROGRAM'
import sys
from importlib.metadata import version

from qdrant_client import QdrantClient, models

BY_VECTORS, BY_WORDS, K = ["lone", "both", "c", "late"], ["e", "both", "f", "late"], 2
names = sorted({*BY_VECTORS, *BY_WORDS})
client = QdrantClient(":memory:")
dot = models.VectorParams(size=1, distance=models.Distance.DOT)
client.create_collection("texts", vectors_config={"vectors": dot, "words": dot})
for number, name in enumerate(names):
    ranked = {"vectors": BY_VECTORS, "words": BY_WORDS}
    vector = {of: [10.0 - order.index(name)] for of, order in ranked.items() if name in order}
    client.upsert("texts", [models.PointStruct(id=number, vector=vector, payload={"name": name})])


def of_qdrant(weights):
    """Return the names that Qdrant fuses, best first, and the score of each."""
    lists = [models.Prefetch(query=[1.0], using=of, limit=4) for of in ("vectors", "words")]
    found = client.query_points("texts", prefetch=lists, query=models.RrfQuery(rrf=models.Rrf(weights=weights)), limit=9)
    return {point.payload["name"]: point.score for point in found.points}


def usual(weights):
    """Return the scores of weight / (k + rank), best first."""
    scores = dict.fromkeys(names, 0.0)
    for weight, order in zip(weights, (BY_VECTORS, BY_WORDS)):
        for rank, name in enumerate(order):
            scores[name] += weight / (K + rank)
    return dict(sorted(scores.items(), key=lambda item: -item[1]))


print("qdrant-client", version("qdrant-client"))
found = client.query_points("texts", query=[1.0], using="vectors", limit=4)
assert [point.payload["name"] for point in found.points] == BY_VECTORS
orders = {}
for weights in ([3.0, 1.0], [0.75, 0.25], [1.0, 1.0], [10.0, 10.0], [1000.0, 1.0]):
    scores, plain = of_qdrant(weights), list(usual(weights))
    orders[tuple(weights)] = list(scores), plain
    print(f"weights {weights}: Qdrant {[(name, round(score, 3)) for name, score in scores.items()][:4]}; usual {plain[:4]}")
    by_hand = sum(1 / (K - 1 + (1 + 1) / weight) for weight in weights)
    if abs(scores["both"] - by_hand) > 1e-6 or max(scores.values()) > 2:
        sys.exit("The behaviour has changed.")
(three, usual_three), (shares, usual_shares) = orders[3.0, 1.0], orders[0.75, 0.25]
(ones, usual_ones), (tens, usual_tens) = orders[1.0, 1.0], orders[10.0, 10.0]
if (three[0], shares[0]) != ("both", "lone") or not ones.index("lone") < ones.index("late") > tens.index("late") < tens.index("lone"):
    sys.exit("The behaviour has changed.")
assert usual_three == usual_shares and usual_ones == usual_tens
PROGRAM
