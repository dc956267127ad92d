"""Measure the size of an index beside its texts and vectors, table by table.

python benchmarks/search_size.py FILE...
"""

from __future__ import annotations

import sys
from pathlib import Path

from minnow.search import open_store

TEXT = "SELECT count(*), coalesce(sum(length(CAST(text AS BLOB))), 0) FROM chunks"
VECTORS = "SELECT coalesce(sum(length(vector)), 0) FROM vectors"
PAGES = "SELECT name, sum(pgsize) FROM dbstat GROUP BY name ORDER BY 2 DESC"


def main() -> None:
    """Print bytes per chunk, the ratio to text and vectors, and the largest tables."""
    for file in map(Path, sys.argv[1:]):
        store = open_store(file)
        with store.reading() as database:
            chunks, text = database.execute(TEXT).fetchone()
            (vectors,) = database.execute(VECTORS).fetchone()
            pages = database.execute(PAGES).fetchall()
        store.close()
        size = file.stat().st_size
        print(
            f"{file}: {chunks} chunks; per chunk: text {text / chunks:.0f}, vector "
            f"{vectors / chunks:.0f}, file {size / chunks:.0f} bytes; file / (text + vectors) "
            f"{size / (text + vectors):.3f}"
        )
        for name, taken in pages[:8]:
            print(f"    {name}: {taken / chunks:.1f}")


if __name__ == "__main__":
    main()
