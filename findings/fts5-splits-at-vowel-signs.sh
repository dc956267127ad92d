#!/usr/bin/env bash
# SQLite's default full-text tokenizer drops the vowel signs of Hindi, as of all scripts whose vowels are marks.
#
# Expected: "unicode61" divides text at spaces and punctuation, and a search for a Hindi word finds that word.
# Happens: vowel signs are marks (Unicode categories Mn and Mc), which the tokenizer takes for separators. A word
#   becomes its bare consonants, one token each: a search for "day" (din) finds "donation" (dan), since both are
#   d, n.
# Versions: SQLite 3.51.1 in pysqlite3-binary 0.5.4.post2.
# Seen: keyword search in documents in Indian languages.
# Matters: the keyword half of a hybrid search is noise in these scripts, and the index lists one-letter words. The
#   option categories 'L* N* Co Mn Mc' keeps the marks, as the second table shows.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check pysqlite3-binary==0.5.4.post2
venv/bin/python - <<'PROGRAM'
import sys

from pysqlite3 import dbapi2 as sqlite3

DAY, DONATION = "\u0926\u093f\u0928", "\u0926\u093e\u0928"

print("SQLite", sqlite3.sqlite_version)
found = {}
for tokenizer in ("unicode61", "unicode61 categories 'L* N* Co Mn Mc'"):
    database = sqlite3.connect(":memory:")
    database.execute(f'CREATE VIRTUAL TABLE rows USING fts5(text, tokenize="{tokenizer}")')
    database.execute("CREATE VIRTUAL TABLE tokens USING fts5vocab(rows, instance)")
    database.execute("INSERT INTO rows VALUES (?)", (DONATION,))
    tokens = [token for (token,) in database.execute("SELECT term FROM tokens ORDER BY offset")]
    query = (f'"{DAY}"',)
    hits = database.execute("SELECT count(*) FROM rows WHERE rows MATCH ?", query).fetchone()[0]
    found[tokenizer] = (len(tokens), hits)
    print(f"{tokenizer}: {DONATION} is {tokens}; a search for {DAY} finds {hits} rows")
if list(found.values()) != [(2, 1), (1, 0)]:
    sys.exit("The behaviour has changed.")
PROGRAM
