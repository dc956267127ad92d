#!/usr/bin/env bash
# LanceDB's hybrid search gives the only document that has the question's word no point for it.
#
# Expected: LinearCombinationReranker adds (1 - weight) times the score of the full-text search. With weight 0 its order is that of the
#   words alone; the one document that has the word stands first.
# Happens: scores are scaled to lie between the least (0) and the greatest (1) of the answer before the reranker sees them. Of one
#   hit, or of several that tie, nothing but 0 is left, which is what documents without the word get. With a second
#   document that has the word, the first one stands at the top. The least of several hits gets 0 too.
# Versions: lancedb 0.40.0, pyarrow 26.0.1, numpy 2.4.6.
# Seen: 20 documents near the question's vector and one with its word; limit 10, weights of 0, 0.3 and 0.7.
# Matters: names, numbers and error codes, for which one adds the search of words at all, are in one document often, and
#   exactly that document is not found. The default, RRFReranker, goes by ranks and finds it.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check lancedb==0.40.0 pyarrow==26.0.1 numpy==2.4.6
venv/bin/python - <<'PROGRAM'
import sys
from importlib.metadata import version

import lancedb
from lancedb.index import FTS
from lancedb.rerankers import LinearCombinationReranker, RRFReranker

documents = [{"text": f"common words number {number}", "vector": [1.0, number / 100]} for number in range(20)]
wanted = {"text": "the zyzzyva weevil", "vector": [-1.0, 0.2]}
second = {"text": "a zyzzyva is a weevil and some longer text here", "vector": [-1.0, 0.3]}
print("lancedb", version("lancedb"), "pyarrow", version("pyarrow"))
database = lancedb.connect("database")
places = {}
for name, rows in (("one", [*documents, wanted]), ("two", [*documents, wanted, second])):
    table = database.create_table(name, rows)
    table.create_index("text", config=FTS())
    for reranker in (*map(LinearCombinationReranker, (0.0, 0.3, 0.7)), RRFReranker()):
        query = table.search(query_type="hybrid").vector([1.0, 0.0]).text("zyzzyva").limit(10).rerank(reranker)
        texts = [row["text"] for row in query.to_list()]
        place = places[name, str(reranker)] = texts.index(wanted["text"]) + 1 if wanted["text"] in texts else None
        print(f"{name} of {len(rows)} documents with the word, {reranker}: place {place}")
words_only, by_rank = str(LinearCombinationReranker(0.0)), str(RRFReranker())
lost = [place for (name, reranker), place in places.items() if name == "one" and reranker != by_rank]
if any(lost) or places["two", words_only] != 1 or not places["one", by_rank]:
    sys.exit("The behaviour has changed.")
PROGRAM
