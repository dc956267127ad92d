"""Search an index of minnow without minnow: SQLite and dot products in plain Python.

    minnow embed bge-small.minnow --role query "how do fish sleep?" > query.json
    python examples/read_index.py docs.index < query.json
    python examples/read_index.py docs.index --words "fish sleep"

Use it as a model for a reader in Kotlin, Swift or C++; docs/index-format.md describes the tables.
It needs only Python's standard library.
"""

from __future__ import annotations

import json
import math
import sqlite3
import struct
import sys
import zlib
from heapq import nlargest

APPLICATION_ID = 0x6D6E7731
VERSION = 2


def open_index(file: str) -> sqlite3.Connection:
    """Open a file read-only, and check that it is an index of a supported version."""
    database = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID or version != VERSION:
        raise SystemExit(f"{file} is not an index that this program can read.")
    return database


def facts(database: sqlite3.Connection) -> tuple[int, str, str]:
    """Return the width, the encoding and the similarity of the vectors."""
    found = dict(database.execute("SELECT name, value FROM meta"))
    model, settings = json.loads(found["model"]), json.loads(found["settings"])
    return model["width"], settings["encoding"], model["similarity"]


def decode(stored: bytes, width: int, encoding: str) -> list[float]:
    """Decode a stored vector."""
    if encoding == "float16":
        return list(struct.unpack(f"<{width}e", stored))
    (scale,) = struct.unpack_from("<f", stored)
    return [scale * byte for byte in struct.unpack_from(f"<{width}b", stored, 4)]


def nearest(database: sqlite3.Connection, query: list[float], k: int) -> list[tuple[float, int]]:
    """Return scores and ids of the chunks nearest to a query's vector, best first."""
    width, encoding, similarity = facts(database)
    if similarity not in ("cosine", "dot"):
        raise SystemExit(f"This program does not compare by {similarity}.")
    if similarity == "cosine":  # stored vectors have length 1 already
        length = math.sqrt(sum(x * x for x in query)) or 1.0
        query = [x / length for x in query]
    scored = []
    for id_, vector, checksum in database.execute("SELECT id, vector, checksum FROM vectors"):
        if zlib.crc32(struct.pack("<q", id_) + vector) != checksum:
            raise SystemExit(f"The vector of chunk {id_} has changed: the index is damaged.")
        scored.append((sum(map(float.__mul__, query, decode(vector, width, encoding))), id_))
    return nlargest(k, scored, key=lambda pair: (pair[0], -pair[1]))


def worded(database: sqlite3.Connection, words: str, k: int) -> list[tuple[float, int]]:
    """Return scores and ids of the chunks that match words best by BM25, best first."""
    quoted = " OR ".join('"' + word.replace('"', "") + '"' for word in words.split())
    return database.execute(
        "SELECT -bm25(chunks_fts) AS score, rowid FROM chunks_fts WHERE chunks_fts MATCH ? "
        "ORDER BY score DESC, rowid LIMIT ?",
        (quoted, k),
    ).fetchall()


def main() -> None:
    """Print the five best chunks."""
    database = open_index(sys.argv[1])
    if sys.argv[2:3] == ["--words"]:
        hits = worded(database, sys.argv[3], 5)
    else:
        hits = nearest(database, json.loads(sys.stdin.readline()), 5)
    for score, id_ in hits:
        row = database.execute(
            "SELECT source, number, heading, substr(text, body + 1) FROM passages WHERE id = ?",
            (id_,),
        ).fetchone()
        source, number, heading, piece = row
        print(f"{score:.4f}  {source}, part {number}  {heading}\n    {piece[:80]!r}")


if __name__ == "__main__":
    main()
