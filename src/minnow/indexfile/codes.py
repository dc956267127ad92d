"""Binary codes of the vectors in a file: one bit for each number, 48 MB for a million of 384.

A bit says whether a number is above that of the centre, the mean of the file's vectors. The codes
only choose which vectors a question is compared with, so nobody needs to load all vectors. Files
have them where similarity is the cosine: a code says nothing of a vector's length.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minnow.errors import IndexFileError
from minnow.indexfile.checksums import CHECKSUM, CheckedTable, check_rows, damaged, read_checked
from minnow.indexfile.documents import VECTORS
from minnow.indexfile.encodings import decode_rows
from minnow.indexfile.schema import TableOwner, has_table, register
from minnow.vectors import Similarity

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from minnow.indexfile.encodings import Floats, Ids
    from minnow.indexfile.fingerprint import Fingerprint
    from minnow.vectors import VectorEncoding

Codes = NDArray[np.uint8]

CODES = CheckedTable("codes", ("id", "codes"), is_vectors=True)
CODES_SCHEMA = (
    f"CREATE TABLE IF NOT EXISTS {CODES.name} "
    f"(id INTEGER PRIMARY KEY, codes BLOB NOT NULL, {CHECKSUM})"
)
"""A row has the codes of consecutive chunks, the first of which has its id; row 0 is the centre.

Codes of chunks that are gone stay until all are made again, and chunks that another program added
may have none.
"""

register(
    TableOwner(
        tables=(CODES.name,),
        schema=(CODES_SCHEMA,),
        checked=(CODES,),
        of_model=(f"DELETE FROM {CODES.name}",),  # noqa: S608
    )
)

CENTRE = 0
"""The id of the row with the centre: ids of chunks begin at 1."""

MOST = 1024
"""The most codes in a row."""

_AT_A_TIME = 8192
_SETTLED = tuple(8**power for power in range(3, 7))
"""Where the number of codes reaches one of these, all are made again around a new centre. So 512
to 262144 vectors chose it, and a file that grows to a million reads each of them 1.2 times."""


def has_codes(fingerprint: Fingerprint) -> bool:
    """Return whether vectors of a model have codes: those of length 1, compared by the cosine."""
    return fingerprint.similarity == Similarity.COSINE


def code_bytes(width: int) -> int:
    """Return the length of a code in bytes."""
    return (width + 7) // 8


def codes_of(vectors: Floats, centre: Floats) -> Codes:
    """Return the codes of vectors.

    Args:
        vectors: float32 of shape (rows, width).
        centre: float32 of shape (width,).

    Returns:
        uint8 of shape (rows, bytes). The most significant bit of a byte is that of the first of
        eight numbers.
    """
    return np.packbits(vectors > centre, axis=1)


def read_centre(database: sqlite3.Connection, width: int) -> Floats | None:
    """Return the centre of the codes, float32 of shape (width,); None where there are no codes.

    Raises:
        IndexFileError: It is damaged.
    """
    if not has_table(database, CODES.name):
        return None
    rows = read_checked(database, CODES, "WHERE id = ?", (CENTRE,)).fetchall()
    check_rows(database, CODES, rows)
    if not rows:
        return None
    centre = np.frombuffer(rows[0][1], "<f4").astype(np.float32)
    if len(centre) != width or not np.isfinite(centre).all():
        raise damaged(database, "the centre of its codes has another shape")
    return centre


def read_codes(database: sqlite3.Connection, width: int, first: int) -> Iterator[tuple[Ids, Codes]]:
    """Read the codes from a chunk's id on, ascending, also of chunks that are gone.

    Yields:
        Ids, and uint8 of shape (ids, bytes).

    Raises:
        IndexFileError: A row has changed.
    """
    rows = read_checked(database, CODES, "WHERE id > ? ORDER BY id", (max(CENTRE, first - MOST),))
    size, last = code_bytes(width), CENTRE
    for row in rows:
        check_rows(database, CODES, [row])
        id_, content, _ = row
        if len(content) % size or id_ <= last:
            raise damaged(database, f"row {id_} of {CODES.name} has a wrong length")
        codes = np.frombuffer(content, np.uint8).reshape(-1, size)
        ids = np.arange(id_, id_ + len(codes), dtype=np.int64)
        last = id_ + len(codes) - 1
        yield ids[ids >= first], codes[ids >= first]


def update_codes(
    database: sqlite3.Connection, width: int, encoding: VectorEncoding, *, anew: bool = False
) -> None:
    """Code the vectors behind the last that has a code, within the transaction that added them.

    Args:
        database: The file.
        width: Length of a vector.
        encoding: How vectors are stored.
        anew: Whether to make all codes again, around a new centre, as happens where there are
            none, and where they have become many since the centre was chosen.
    """
    database.execute(CODES_SCHEMA)
    count, last = _extent(database, width)
    (new,) = database.execute("SELECT count(*) FROM vectors WHERE id > ?", (last,)).fetchone()
    centre = None if anew else read_centre(database, width)
    if centre is None or not count or any(count < settled <= count + new for settled in _SETTLED):
        database.execute(f"DELETE FROM {CODES.name}")  # noqa: S608
        centre, last = _mean(database, width, encoding), CENTRE
        _put(database, CENTRE, centre.astype("<f4").tobytes())
    for ids, vectors in _sound_vectors(database, last, width, encoding):
        _append(database, ids, codes_of(vectors, centre))


def _extent(database: sqlite3.Connection, width: int) -> tuple[int, int]:
    """Return the number of codes, and the id of the last chunk that has one."""
    rows = database.execute(
        f"SELECT id, length(codes) FROM {CODES.name} WHERE id > ? ORDER BY id",  # noqa: S608
        (CENTRE,),
    ).fetchall()
    if not rows:
        return 0, CENTRE
    size = code_bytes(width)
    return sum(length for _, length in rows) // size, rows[-1][0] + rows[-1][1] // size - 1


def _mean(database: sqlite3.Connection, width: int, encoding: VectorEncoding) -> Floats:
    total, count = np.zeros(width), 0
    for _, vectors in _sound_vectors(database, CENTRE, width, encoding):
        total += vectors.sum(axis=0, dtype=np.float64)
        count += len(vectors)
    mean: Floats = (total / max(1, count)).astype(np.float32)
    return mean


def _sound_vectors(
    database: sqlite3.Connection, after: int, width: int, encoding: VectorEncoding
) -> Iterator[tuple[Ids, Floats]]:
    """Read vectors after an id in blocks, without damaged ones, which their readers report."""
    rows = read_checked(database, VECTORS, "WHERE id > ? ORDER BY id", (after,))
    while block := list(islice(rows, _AT_A_TIME)):
        sound = [row for row in block if VECTORS.checksum(row[:-1]) == row[-1]]
        try:
            vectors = decode_rows([row[1] for row in sound], width, encoding)
        except IndexFileError:
            continue
        yield np.array([row[0] for row in sound], np.int64), vectors


def _append(database: sqlite3.Connection, ids: Ids, codes: Codes) -> None:
    """Add codes behind all others; the last row is filled first."""
    for run in np.split(np.arange(len(ids)), np.flatnonzero(np.diff(ids) != 1) + 1):
        done = 0
        while done < len(run):
            next_id = int(ids[run[done]])
            first, content = _open_row(database, next_id, codes.shape[1])
            room = MOST - len(content) // codes.shape[1]
            some = codes[run[done : done + room]]
            _put(database, first, content + some.tobytes())
            done += len(some)


def _open_row(database: sqlite3.Connection, next_id: int, size: int) -> tuple[int, bytes]:
    """Return the row that the code of a chunk goes into: its id and codes so far."""
    last = "WHERE id > ? ORDER BY id DESC LIMIT 1"
    for first, content, checksum in read_checked(database, CODES, last, (CENTRE,)).fetchall():
        check_rows(database, CODES, [(first, content, checksum)])
        if first + len(content) // size == next_id < first + MOST:
            return first, content
    return next_id, b""


def _put(database: sqlite3.Connection, id_: int, content: bytes) -> None:
    database.execute(
        f"INSERT OR REPLACE INTO {CODES.name} VALUES (?, ?, ?)",  # noqa: S608
        (id_, content, CODES.checksum((id_, content))),
    )
