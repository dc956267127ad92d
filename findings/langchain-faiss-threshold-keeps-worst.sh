#!/usr/bin/env bash
# LangChain's FAISS store gives the least alike documents the highest relevance by inner products: a threshold keeps the worst.
#
# Expected: a retriever with score_threshold keeps the documents that are more alike than the threshold, and drops the others.
# Happens: with DistanceStrategy.MAX_INNER_PRODUCT the relevance of a positive product is one less the product, though FAISS gives
#   similarities there: 0.9 becomes 0.1 and 0.1 becomes 0.9. With COSINE the index is one of squared Euclidean distances, and
#   relevance is one less that distance: a cosine of 0.5 becomes 0. Nothing warns where scores lie between 0 and 1.
# Versions: langchain-community 0.4.2, langchain-core 1.8.3, faiss-cpu 1.15.1, numpy 2.4.6.
# Seen: five documents with cosines of 0.9 to 0.52 to the question, all above a threshold of 0.45: with inner products only the
#   least alike, of 0.52, is kept; with cosines those of 0.9 and 0.8.
# Matters: thresholds decide what an LLM reads. The order of the hits is right, so that searches without a threshold hide it.
#   Compare scores of similarity_search_with_score with a threshold of your own.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check langchain-community==0.4.2 langchain-core==1.8.3 faiss-cpu==1.15.1 \
    numpy==2.4.6
venv/bin/python -W error::UserWarning -W ignore::DeprecationWarning - <<'PROGRAM'
import sys
from importlib.metadata import version

import numpy as np
from langchain_community.vectorstores import FAISS
from langchain_community.vectorstores.utils import DistanceStrategy
from langchain_core.embeddings import Embeddings

COSINES, THRESHOLD = (0.9, 0.8, 0.7, 0.6, 0.52), 0.45


class Made(Embeddings):
    """Vectors of length 1 with the cosine that a text names to the question's."""

    def embed_documents(self, texts):
        return [[float(text), float(np.sqrt(1 - float(text) ** 2))] for text in texts]

    def embed_query(self, text):
        return [1.0, 0.0]


def kept(strategy):
    store = FAISS.from_texts([str(cosine) for cosine in COSINES], Made(), distance_strategy=strategy)
    order = [document.page_content for document in store.similarity_search("question", k=5)]
    scores = {d.page_content: round(float(score), 2) for d, score in store.similarity_search_with_relevance_scores("question", k=5)}
    options = {"score_threshold": THRESHOLD, "k": 5}
    retriever = store.as_retriever(search_type="similarity_score_threshold", search_kwargs=options)
    return order, scores, sorted(float(document.page_content) for document in retriever.invoke("question"))


print(*(f"{name} {version(name)}" for name in ("langchain-community", "langchain-core", "faiss-cpu")))
answers = {}
for strategy in (DistanceStrategy.MAX_INNER_PRODUCT, DistanceStrategy.COSINE):
    order, scores, found = answers[strategy] = kept(strategy)
    print(f"{strategy.value}: order {order}; relevance by cosine {scores}; kept at {THRESHOLD}: {found}")
in_order = all(order == [str(cosine) for cosine in COSINES] for order, _, _ in answers.values())
products, cosines = (answers[strategy][2] for strategy in (DistanceStrategy.MAX_INNER_PRODUCT, DistanceStrategy.COSINE))
if not (in_order and products == [0.52] and cosines == [0.8, 0.9]):
    sys.exit("The behaviour has changed.")
PROGRAM
