#!/usr/bin/env bash
# pyarrow 25 writes a null in a column of fixed-size lists to Parquet, and cannot read the file again.
#
# Expected: a column of vectors in which one row is null survives write_table and read_table.
# Happens: write_table succeeds, and read_table, ParquetFile and data sets fail on the whole file: "Expected all
#   lists to be of size=4 but index 2 had size=0". A file written without the Arrow schema is read, as a column of
#   lists of any length.
# Versions: pyarrow 25.0.1; 26.0.1 reads the same file.
# Seen: an ArrowInvalid when the file is read.
# Matters: one text without a vector makes all vectors of its file unreadable, after they were computed.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
for version in 25.0.1 26.0.1; do
    "${PYTHON:-python3}" -m venv "$version"
    "$version/bin/pip" install --quiet --disable-pip-version-check "pyarrow==$version"
done
cat > write.py <<'PROGRAM'
import pyarrow as pa
from pyarrow import parquet

vectors = pa.array([[1, 2, 3, 4], None, [5, 6, 7, 8]], pa.list_(pa.float32(), 4))
parquet.write_table(pa.table({"id": [1, 2, 3], "vector": vectors}), "vectors.parquet")
print("pyarrow", pa.__version__, "wrote", vectors.type)
PROGRAM
cat > read.py <<'PROGRAM'
import sys

import pyarrow as pa
from pyarrow import parquet

try:
    found = str(parquet.read_table("vectors.parquet")["vector"].null_count) + " null"
except pa.ArrowInvalid as error:
    found = str(error)
print("pyarrow", pa.__version__, "reads:", found)
sys.exit(not found.startswith(sys.argv[1]))
PROGRAM
25.0.1/bin/python write.py
25.0.1/bin/python read.py "Expected all lists to be of size=4"
26.0.1/bin/python read.py "1 null"
