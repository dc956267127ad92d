"""Search an index of minnow without minnow: SQLite and dot products in plain Python.

    minnow embed bge-small.minnow --role query "how do fish sleep?" > query.json
    python examples/read_index.py docs.index < query.json
    python examples/read_index.py docs.index --words "fish sleep"

Use it as a model for a reader in Kotlin, Swift or C++; docs/index-format.md describes the tables.
It needs only Python's standard library.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import sqlite3
import struct
import sys
import unicodedata
import zlib
from heapq import nlargest

APPLICATION_ID = 0x6D6E7731
VERSION = 2
MIGRATING = 1000


def open_index(file: str) -> sqlite3.Connection:
    """Open a file read-only, and check that it is an index of a supported version."""
    database = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if application == APPLICATION_ID and version == MIGRATING + VERSION:
        raise SystemExit(f"{file} is being migrated: finish that with `minnow index migrate`.")
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
        query = query[:width]  # a file may keep the first numbers of vectors only
        length = math.sqrt(sum(x * x for x in query)) or 1.0
        query = [x / length for x in query]
    scored = []
    for id_, vector, checksum in database.execute("SELECT id, vector, checksum FROM vectors"):
        if zlib.crc32(struct.pack("<q", id_) + vector) != checksum:
            raise SystemExit(f"The vector of chunk {id_} has changed: the index is damaged.")
        scored.append((sum(map(float.__mul__, query, decode(vector, width, encoding))), id_))
    return nlargest(k, scored, key=lambda pair: (pair[0], -pair[1]))


# Scripts whose words are found by pairs of characters: Thai to Lao, Myanmar, Hangul, Khmer and
# others of South-East Asia, kana, Han. The other patterns: Greek and Arabic; marks; what belongs to
# the consonant after or before it.
PAIRED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf"
    "\u3005-\u3007\u3021-\u3029\u3031-\u3035\u303b\u3041-\u3096\u3099-\u309f\u30a1-\u30fa"
    "\u30fc-\u312f\u3400-\u4dbf\u4e00-\u9fff\ua9e0-\ua9fe\uaa60-\uaadf\uac00-\ud7fb"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
RUNS = re.compile(f"[{PAIRED}]+|[^{PAIRED} ]+")
BARE = re.compile("[\u0370-\u03ff\u0600-\u06ff\u1f00-\u1fff]+")
MARKS = re.compile(
    "[\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06ed]"
)
INVISIBLE = re.compile("[\u034f\u180b-\u180f\ufe00-\ufe0f]")
ALIKE = str.maketrans(
    dict(zip("ıёٱىیکہەةۃđħłøŧʻʼ", "iеاييكههههdhlot  ", strict=True))
    | {"æ": "ae", "œ": "oe", "ൺ": "ണ്", "ൻ": "ന്", "ർ": "ര്", "ൽ": "ല്", "ൾ": "ള്", "ൿ": "ക്"}
)
COMPOUND = re.compile("(?<![\u0610-\u06ff])[\u0610-\u06ff]+(?:\u200c+[\u0610-\u06ff]+)+")
LEADING, FOLLOWING = "เแโใไເແໂໃໄ\u17d2\u1039", "ะาๅະາ"


def question(query: str) -> str:
    """Return what to MATCH: words of the query, spelled as minnow spells those of texts."""
    text = COMPOUND.sub(lambda found: found[0].replace("\u200c", " ") + " " + found[0], query)
    text = "".join(c for c in INVISIBLE.sub("", text) if unicodedata.category(c) != "Cf")
    text = unicodedata.normalize("NFD", unicodedata.normalize("NFKC", text)).replace("\u0345", "")
    text = unicodedata.normalize("NFKC", text.casefold())
    text = BARE.sub(lambda found: unicodedata.normalize("NFD", found[0]), text)
    text = MARKS.sub("", text).translate(ALIKE)
    text = re.sub("([\u0e48-\u0e4b]+)\u0e4d", "\u0e4d\\1", text.replace("เเ", "แ"))
    text = "".join(c if unicodedata.category(c)[0] in "LNM" else " " for c in text)
    asked = []
    for run in RUNS.findall(text):
        if not re.match(f"[{PAIRED}]", run):
            asked.append(f'"{run}"')
            continue
        units: list[str] = []
        for c in run:
            last = units[-1][-1] if units else ""
            mark = unicodedata.category(c)[0] == "M" or c in FOLLOWING
            if units and (mark or last in LEADING):
                units[-1] += c
            else:
                units.append(c)
        pairs = [f'"{a}{b}"' for a, b in itertools.pairwise(units)]
        if not pairs:
            asked.append(f'"{units[0]}" *')  # one alone begins the words that it begins
        else:  # a short run is one word, and a long one a sentence
            asked.append(f"({(' AND ' if len(units) <= 10 else ' OR ').join(pairs)})")
    return " OR ".join(asked) or '""'


def worded(database: sqlite3.Connection, words: str, k: int) -> list[tuple[float, int]]:
    """Return scores and ids of the chunks that match words best by BM25, best first."""
    return database.execute(
        "SELECT -bm25(chunks_fts) AS score, rowid FROM chunks_fts WHERE chunks_fts MATCH ? "
        "ORDER BY score DESC, rowid LIMIT ?",
        (question(words), k),
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
