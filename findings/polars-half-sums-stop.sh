#!/usr/bin/env bash
# Polars adds up numbers of float16 in float16, in some of its operations: sums stop growing at 2048.
#
# Expected: the sum of 10 000 ones in a column of float16 is 10 000, whatever operation forms it; a cosine of vectors
#   in float16 is as good as its numbers.
# Happens: Series.sum() gives 10 000; group_by().agg(sum) on the same column gives 2048, from where on adding 1 changes
#   nothing in float16, or 4096, the sum of two threads; so does the streaming engine. arr.sum() of an array column adds
#   up in float16 too, so that the usual (vector * query).arr.sum() is wrong by up to 0.001, eight times as much as
#   NumPy's sum of the same products. No error, no warning. A cast to float32 before mends all of it.
# Versions: polars 2.1.0, which is newer than the repair of means in groups of such columns.
# Seen: 10000 and 2048 for one sum.
# Matters: half precision is the usual type for stored embeddings, and Polars reads it from Parquet as it is; centroids
#   of clusters and scores of search are then wrong without a word.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check polars==2.1.0 numpy==2.4.6
cat > sums.py <<'PROGRAM'
import sys

import numpy as np
import polars as pl

ones = pl.DataFrame({"group": ["a"] * 10_000, "x": pl.Series(np.ones(10_000, np.float16))})
total = pl.col("x").sum()
sums = {
    "select": ones.select(total).item(),
    "group_by": ones.group_by("group").agg(total)["x"].item(),
    "group_by, streaming": ones.lazy().group_by("group").agg(total).collect(engine="streaming")["x"].item(),
}
print("polars", pl.__version__, "sums of 10 000 ones in float16:", sums)

width = 384
vectors = np.random.default_rng(0).normal(0.3, 1, size=(2000, width))
vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
query = np.tile(vectors[0], (len(vectors), 1))
exact = vectors.astype(np.float64) @ vectors[0].astype(np.float64)
kind = pl.Array(pl.Float16, width)
frame = pl.DataFrame({"vector": pl.Series(vectors, dtype=kind), "query": pl.Series(query, dtype=kind)})
cosines = frame.select((pl.col("vector") * pl.col("query")).arr.sum())["vector"].to_numpy()
wider = [pl.col(name).cast(pl.Array(pl.Float32, width)) for name in ("vector", "query")]
better = frame.select((wider[0] * wider[1]).arr.sum())["vector"].to_numpy()
numpy_error = abs((vectors * vectors[0]).sum(axis=1).astype(np.float64) - exact).max()
error, least = abs(cosines.astype(np.float64) - exact).max(), abs(better - exact).max()
print(f"greatest error of a cosine: {error:.5f}; in NumPy {numpy_error:.5f}; after a cast to float32 {least:.7f}")
grows = sums["group_by"] >= 10_000 or sums["group_by, streaming"] >= 10_000
changed = grows or sums["select"] != 10_000 or error < 4 * numpy_error or least > 1e-5
sys.exit(1 if changed else 0)
PROGRAM
venv/bin/python sums.py
