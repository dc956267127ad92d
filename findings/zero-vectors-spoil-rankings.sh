#!/usr/bin/env bash
# One zero vector among the documents puts LlamaIndex's answers in a wrong order, and stands first in DuckDB's.
#
# Expected: a document whose vector is zero is near to nothing; the other documents keep their places.
# Happens: the cosine of a zero vector is NaN in LlamaIndex's SimpleVectorStore, the store that it takes unless one gives another,
#   and in DuckDB's array_cosine_similarity. SimpleVectorStore keeps the best hits in a heap; no number is less than NaN,
#   so the heap is no heap any more: near documents fall out or go to the end, and the zero vector is among the hits. DuckDB
#   holds NaN for the greatest number: ORDER BY similarity DESC begins with it, ORDER BY array_cosine_distance does not.
# Versions: llama-index-core 0.14.25, duckdb 2.0.1, numpy 2.4.6.
# Seen: 200 random documents, one of them zero, five hits: the nearest document is the last hit or is missing.
# Matters: models without a network give zeros for a text without a known word (model2vec: an empty text, another script).
#   One such text in an index changes the answers to every question. Leave it out, or store it without a vector.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check llama-index-core==0.14.25 duckdb==2.0.1 numpy==2.4.6
venv/bin/python -W ignore - <<'PROGRAM'
import sys
from importlib.metadata import version

import duckdb
import numpy as np
from llama_index.core.schema import TextNode
from llama_index.core.vector_stores import SimpleVectorStore, VectorStoreQuery

rng = np.random.default_rng(0)
rows, query = rng.standard_normal((200, 16)), rng.standard_normal(16)


def exact(rows):
    lengths = np.linalg.norm(rows, axis=1)
    cosines = rows @ query / np.where(lengths > 0, lengths, 1)
    return np.argsort(-cosines)[:5].tolist()


def llama_index(rows):
    store = SimpleVectorStore()
    store.add([TextNode(id_=str(place), text="text", embedding=row.tolist()) for place, row in enumerate(rows)])
    found = store.query(VectorStoreQuery(query_embedding=query.tolist(), similarity_top_k=5))
    return [int(name) for name in found.ids]


def duck(rows, order):
    database = duckdb.connect()
    database.execute("CREATE TABLE documents (id INTEGER, vector FLOAT[16])")
    database.executemany("INSERT INTO documents VALUES (?, ?)", [(place, row.tolist()) for place, row in enumerate(rows)])
    found = database.execute(f"SELECT id FROM documents ORDER BY {order} LIMIT 5", [query.tolist()]).fetchall()
    return [place for place, in found]


print(*(f"{name} {version(name)}" for name in ("llama-index-core", "duckdb", "numpy")))
answers = {}
for zero in (None, 3, 50):
    part = rows.copy()
    if zero is not None:
        part[zero] = 0
    answers[zero] = exact(part), llama_index(part), duck(part, "array_cosine_similarity(vector, ?::FLOAT[16]) DESC"), \
        duck(part, "array_cosine_distance(vector, ?::FLOAT[16])")
    print(f"zero vector: {zero}; the nearest by hand", answers[zero][0])
    for name, found in zip(("LlamaIndex", "DuckDB, similarity", "DuckDB, distance"), answers[zero][1:]):
        print(f"  {name}: {found}")
right, *others = answers.pop(None)
sound = all(found == right for found in others) and all(by_distance == right for right, _, _, by_distance in answers.values())
spoilt = all(zero in llama and llama != right and by_similarity[0] == zero for zero, (right, llama, by_similarity, _) in answers.items())
if not (sound and spoilt):
    sys.exit("The behaviour has changed.")
PROGRAM
