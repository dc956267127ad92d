#!/usr/bin/env bash
# sqlite-vec cuts the fraction off a number that an integer column is compared with: filters let in and leave out other rows.
#
# Expected: WHERE stars < 4.5 beside MATCH lets in the rows that it lets in elsewhere in SQLite: stars of 4 and less.
# Happens: for a metadata column declared INTEGER the bound is read as the integer 4, so 4 is left out; stars = 4.9 finds 4, and
#   stars >= 4.5 lets 4 in. Columns declared FLOAT, and the same conditions without a search for neighbours, compare as SQLite does.
#   Besides, IN on a partition key gives k rows of each partition, not k rows.
# Versions: sqlite-vec 0.1.9 with pysqlite3-binary 0.5.4.post2, numpy 2.4.6.
# Seen: rows with stars of 1 to 5: each of the three conditions finds other stars with MATCH than without.
# Matters: ratings, prices in cents, years and times are integers, and bounds are computed: a mean, a time in seconds with a
#   fraction. Rows are missing from answers without an error. Round bounds yourself, or declare the column FLOAT.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check sqlite-vec==0.1.9 pysqlite3-binary==0.5.4.post2 numpy==2.4.6
venv/bin/python - <<'PROGRAM'
import sys
from importlib.metadata import version

import numpy as np
import pysqlite3
import sqlite_vec

database = pysqlite3.connect(":memory:")
database.enable_load_extension(True)
sqlite_vec.load(database)
database.execute("CREATE VIRTUAL TABLE rated USING vec0(vector FLOAT[2], stars INTEGER, mean FLOAT)")
database.execute("CREATE VIRTUAL TABLE parted USING vec0(vector FLOAT[2], part TEXT PARTITION KEY)")
for number in range(1, 6):
    vector = np.array([number, 1], np.float32).tobytes()
    database.execute("INSERT INTO rated (vector, stars, mean) VALUES (?, ?, ?)", (vector, number, float(number)))
    database.executemany("INSERT INTO parted (vector, part) VALUES (?, ?)", [(vector, part) for part in "abc"])
question = np.array([1, 1], np.float32).tobytes()


def near(condition):
    rows = database.execute(f"SELECT stars FROM rated WHERE vector MATCH ? AND k = 9 AND {condition}", (question,))
    return sorted(stars for stars, in rows)


def plain(condition):
    return sorted(stars for stars, in database.execute(f"SELECT stars FROM rated WHERE {condition}"))


print(*(f"{name} {version(name)}" for name in ("sqlite-vec", "pysqlite3-binary")), "SQLite", pysqlite3.sqlite_version)
differ = []
for condition in ("stars < 4.5", "stars = 4.9", "stars >= 4.5"):
    other = condition.replace("stars", "mean")
    print(f"{condition}: {near(condition)} with MATCH, {plain(condition)} without; {other}: {near(other)} with MATCH")
    differ.append(near(condition) != plain(condition) == near(other))
whole = near("stars < 5") == [1, 2, 3, 4]
parts = database.execute("SELECT part FROM parted WHERE vector MATCH ? AND k = 2 AND part IN ('a', 'b')", (question,)).fetchall()
print("k = 2 and two partitions:", len(parts), "rows")
if not (all(differ) and whole and len(parts) == 4):
    sys.exit("The behaviour has changed.")
PROGRAM
