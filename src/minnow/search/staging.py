"""Vectors of long documents that are not complete yet, saved in the file and kept across runs."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from minnow.indexfile.documents import STAGED, STAGED_SCHEMA
from minnow.indexfile.schema import has_table
from minnow.search.writer import digest_of

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from minnow.chunks import Chunk
    from minnow.indexfile.store import Store
    from minnow.search.writer import DocumentKey, Writer

_TIME = b""
"""The key of a row that holds the time of the last change in place of a vector."""

_ABANDONED = 3600.0
"""Seconds without a change after which saved vectors are those of a run that was killed."""


class LostVectorError(Exception):
    """A saved vector is gone: another run has finished the document, or took it for abandoned."""


class Staging:
    """Saved vectors of one long document. Another run may embed the same document meanwhile.

    Attributes:
        reused: Number of chunks that the document had before, once `rows` has read them all.
    """

    def __init__(self, store: Store, writer: Writer, key: DocumentKey) -> None:
        """Read and write nothing yet."""
        self._store, self._writer, self._key = store, writer, key
        self._known: set[bytes] = set()
        self._used: set[bytes] = set()
        self.reused = 0

    def save_known(self) -> None:
        """Save the vectors that the document has already: chunks with the same text keep them."""
        for vectors in self._writer.texts_in_parts(self._key):
            self.save(vectors)
            self._known.update(map(_digest, vectors))

    def save(self, vectors: Mapping[str, bytes]) -> None:
        """Save encoded vectors by text."""
        if vectors:
            rows = [(_digest(text), vector) for text, vector in vectors.items()]
            with self._store.writing() as database:
                database.execute(STAGED_SCHEMA)
                database.executemany(
                    f"INSERT OR REPLACE INTO {STAGED} VALUES (?, ?)",  # noqa: S608
                    [*rows, (_TIME, str(time.time()).encode())],
                )

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Return the texts that have no saved vector."""
        with self._store.reading() as database:
            if not has_table(database, STAGED):
                return list(texts)
            return [text for text in texts if _find(database, _digest(text)) is None]

    def rows(self, chunks: Iterable[Chunk]) -> Iterator[tuple[Chunk, bytes]]:
        """Yield chunks with their saved vectors, within a transaction.

        Raises:
            LostVectorError: One is not there any more.
        """
        self.reused = 0
        there = has_table(self._store.database, STAGED)
        for chunk in chunks:
            digest = _digest(chunk.text)
            vector = _find(self._store.database, digest) if there else None
            if vector is None:
                raise LostVectorError
            self._used.add(digest)
            self.reused += digest in self._known
            yield chunk, vector

    def drop(self) -> None:
        """Drop the vectors of the document, and leave those of others."""
        with self._store.writing() as database:
            if not has_table(database, STAGED):
                return
            delete = f"DELETE FROM {STAGED} WHERE digest = ?"  # noqa: S608
            database.executemany(delete, ((digest,) for digest in self._used | self._known))
            others = f"SELECT 1 FROM {STAGED} WHERE digest <> ? LIMIT 1"  # noqa: S608
            if database.execute(others, (_TIME,)).fetchone() is None:
                database.execute(f"DROP TABLE {STAGED}")


def drop_abandoned(store: Store) -> None:
    """Drop the saved vectors of runs that were killed, but not those of a run that goes on."""
    with store.reading() as database:
        if not has_table(database, STAGED):
            return
    with store.writing() as database:
        if has_table(database, STAGED) and not _is_recent(database):
            database.execute(f"DROP TABLE {STAGED}")


def _is_recent(database: sqlite3.Connection) -> bool:
    at = _find(database, _TIME)
    try:
        return at is not None and 0 <= time.time() - float(at) < _ABANDONED
    except ValueError:
        return False


def _find(database: sqlite3.Connection, digest: bytes) -> bytes | None:
    question = f"SELECT vector FROM {STAGED} WHERE digest = ?"  # noqa: S608
    row = database.execute(question, (digest,)).fetchone()
    return None if row is None else bytes(row[0])


def _digest(text: str) -> bytes:
    return digest_of(text.encode())
