#!/usr/bin/env bash
# SQLite's bm25() gives words that most rows contain a weight of one millionth.
#
# Expected: a row that contains a queried word four times ranks above one that contains another queried word once,
#   or at least the weights of a word in half the rows and of one in 60 % of them are similar, as with the BM25 of
#   Lucene or Elasticsearch (whose logarithm is of 1 + ...).
# Happens: FTS5 uses the original formula log((N - n + 0.5) / (n + 0.5)), which is zero or negative for a word in
#   half of the rows or more, and replaces it by 1e-6. Such a word has no influence except among rows that match
#   nothing else.
# Versions: SQLite 3.51.1 in pysqlite3-binary 0.5.4.post2.
# Seen: keyword search in small collections, where the subject of the collection is in most rows.
# Matters: hybrid search that adds BM25 to cosines gets scores near zero for queries of such words, and the scale
#   of scores jumps when a word passes half of the rows.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pysqlite3-binary==0.5.4.post2
venv/bin/python - <<'PROGRAM'
import sys

from pysqlite3 import dbapi2 as sqlite3

print("SQLite", sqlite3.sqlite_version)


def scores(common):
    """Return the scores of rows for "kettle" in a table of 100 rows of which so many have it."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE rows USING fts5(text)")
    texts = ["kettle"] * common + ["boiler"] * (100 - common)
    database.executemany("INSERT INTO rows VALUES (?)", [(text,) for text in texts])
    query = "SELECT -bm25(rows) FROM rows WHERE rows MATCH 'kettle' LIMIT 1"
    return database.execute(query).fetchone()[0]


found = {common: scores(common) for common in (10, 40, 49, 50, 60)}
for common, score in found.items():
    print(f"score of a word in {common} of 100 rows: {score:.7f}")
database = sqlite3.connect(":memory:")
database.execute("CREATE VIRTUAL TABLE rows USING fts5(text)")
texts = ["apple apple apple apple", "apple", "apple pear", "pear plum", "plum apple"]
database.executemany("INSERT INTO rows VALUES (?)", [(text,) for text in texts])
query = "SELECT text FROM rows WHERE rows MATCH 'apple OR pear' ORDER BY rank"
ranking = [text for (text,) in database.execute(query)]
print("apple OR pear:", " > ".join(ranking))
if not (found[49] > 1000 * found[50] > 0 and found[60] < 1e-5):
    sys.exit("The behaviour has changed.")
if ranking.index("pear plum") > ranking.index("apple apple apple apple"):
    sys.exit("The behaviour has changed.")
PROGRAM
