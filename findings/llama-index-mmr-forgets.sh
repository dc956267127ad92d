#!/usr/bin/env bash
# LlamaIndex's MMR remembers one result: the copy that it was to leave out comes back after the next one.
#
# Expected: the query mode "mmr" (maximal marginal relevance) discounts a candidate by its likeness to the most alike of all results
#   chosen so far, as in Carbonell and Goldstein's paper and in LangChain: of two copies one is chosen, while there is something else.
# Happens: a candidate is held against the result right before it, and no other. Copies of the best one are left out once, and chosen as
#   soon as something unlike stands between: with two topics of many near copies, the results go to and fro between the two. The
#   scores in the answer are each of another scale, and not in order.
# Versions: llama-index-core 0.14.25, langchain-core 1.8.3, numpy 2.4.6. Also run-llama/llama_index#22684, open since August 2026.
# Seen: three copies of the nearest document, three of another, and three of other topics; five results.
# Matters: the mode is asked for to show an LLM different passages. It gets two of them, over and over, for a third result and beyond,
#   while a test with two results passes. The default store has it, and all that call its function.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check llama-index-core==0.14.25 langchain-core==1.8.3 numpy==2.4.6
venv/bin/python -W ignore - <<'PROGRAM'
import sys
from importlib.metadata import version

import numpy as np
from langchain_core.vectorstores.utils import maximal_marginal_relevance
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import SimpleVectorStore, VectorStoreQuery
from llama_index.core.vector_stores.types import VectorStoreQueryMode

axes = np.eye(7)
topics = {"a": 0.80, "b": 0.75, "c": 0.60, "d": 0.55, "e": 0.50}
names, vectors = [], []
for number, (topic, near) in enumerate(topics.items(), 1):
    for copy in range(3 if topic in "ab" else 1):
        names.append(f"{topic}{copy}")
        vectors.append(near * axes[0] + np.sqrt(1 - near**2 - 1e-4 * copy) * axes[number] + 1e-2 * np.sqrt(copy) * axes[6])
vectors = np.array(vectors)
store = SimpleVectorStore()
store.add([TextNode(id_=name, text=name, embedding=vector.tolist()) for name, vector in zip(names, vectors)])


def by_hand(count, share):
    """Return the results of MMR as it is defined."""
    near, alike, chosen = vectors @ axes[0], vectors @ vectors.T, []
    while len(chosen) < count:
        left = [place for place in range(len(names)) if place not in chosen]
        worth = [share * near[place] - (1 - share) * max((alike[place, other] for other in chosen), default=0) for place in left]
        chosen.append(left[int(np.argmax(worth))])
    return [names[place] for place in chosen]


print("llama-index-core", version("llama-index-core"), "langchain-core", version("langchain-core"))
for count, share in ((2, 0.5), (5, 0.5), (5, 0.6)):
    query = VectorStoreQuery(query_embedding=axes[0].tolist(), similarity_top_k=count, mode=VectorStoreQueryMode.MMR)
    found = store.query(query, mmr_threshold=share).ids
    right = [names[place] for place in maximal_marginal_relevance(axes[0], list(vectors), share, count)]
    print(f"{count} results, {share}: by definition {by_hand(count, share)}, LangChain {right}, LlamaIndex {found}")
    assert right == by_hand(count, share) and len({name[0] for name in right}) == count
    if [name[0] for name in found] != list("ababa")[:count]:
        sys.exit("The behaviour has changed.")
PROGRAM
