"""Writer of documents to the tables of an index; it inserts and deletes them."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

from minnow.errors import InputError
from minnow.indexfile.checks import reading_rows
from minnow.indexfile.checksums import read_checked, write_checksum
from minnow.indexfile.codes import has_codes, update_codes
from minnow.indexfile.documents import (
    CHUNKS,
    DOCUMENT_ROWS,
    FILES,
    VECTORS,
)
from minnow.indexfile.encodings import encode_rows
from minnow.indexfile.words import words_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from minnow.chunks import Chunk
    from minnow.indexfile.checksums import CheckedTable
    from minnow.indexfile.encodings import Floats
    from minnow.indexfile.store import Store
    from minnow.vectors import VectorEncoding


T = TypeVar("T")

_DIGEST_BYTES = 16
_AT_A_TIME = 1000
_SEPARATOR = " > "


@dataclass(frozen=True)
class DocumentKey:
    """The identity of a document.

    Attributes:
        file: Path of its file.
        name: Its name in the file; empty if it is the whole file.
    """

    file: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.file}#{self.name}" if self.name else self.file


@dataclass(frozen=True)
class Entry:
    """A document to put into the index, without its text.

    Attributes:
        key: Its identity.
        digest: Digest of its content; see `digest_of`.
        metadata: JSON values by name.
    """

    key: DocumentKey
    digest: bytes
    metadata: Mapping[str, object] = field(default_factory=dict)


def digest_of(content: bytes) -> bytes:
    """Return the first 16 bytes of the SHA-256, which suffice against accidental collisions."""
    return hashlib.sha256(content).digest()[:_DIGEST_BYTES]


class Writer:
    """Writer of documents. Every method is one transaction."""

    def __init__(self, store: Store) -> None:
        """Write to a store that is open for writing."""
        self._store = store
        self._encoding: VectorEncoding = store.settings.encoding
        self._model = store.fingerprint

    # --- queries ---------------------------------------------------------------------------

    def file_hash(self, path: str) -> bytes | None:
        """Return the SHA-256 of a file when it was indexed completely, else None."""
        with self._store.reading() as database:
            row = database.execute("SELECT sha256 FROM files WHERE path = ?", (path,)).fetchone()
        return row[0] if row and isinstance(row[0], bytes) and row[0] else None

    def files(self) -> list[str]:
        """Return the paths of all files in the index."""
        with self._store.reading() as database, reading_rows("The list of files"):
            rows = database.execute("SELECT path FROM files ORDER BY path")
            return ["".join(row) for row in rows]

    def documents(self, path: str) -> dict[str, bytes]:
        """Return the digests of the documents of a file by name."""
        question = (
            "SELECT d.name, d.digest FROM documents AS d "
            "JOIN files AS f ON f.id = d.file WHERE f.path = ?"
        )
        with self._store.reading() as database:
            return dict(database.execute(question, (path,)))

    def texts(self, key: DocumentKey) -> dict[str, bytes]:
        """Return the encoded vectors of a document's chunks by text, without damaged ones."""
        return {text: vector for part in self.texts_in_parts(key) for text, vector in part.items()}

    def texts_in_parts(self, key: DocumentKey) -> Iterator[dict[str, bytes]]:
        """Yield the same in parts, for documents of any length; each is a transaction."""
        question = (
            "SELECT d.first_chunk, d.chunks FROM files AS f JOIN documents AS d ON d.file = f.id "
            "WHERE f.path = ? AND d.name = ?"
        )
        with self._store.reading() as database, reading_rows(f"The chunks of {key}"):
            row = database.execute(question, (key.file, key.name)).fetchone()
            first, count = (0, 0) if row is None else (int(row[0]), int(row[1]))
        for start in range(first, first + count, _AT_A_TIME):
            ids = (start, min(start + _AT_A_TIME, first + count) - 1)
            with self._store.reading() as database, reading_rows(f"The chunks of {key}"):
                texts = _sound(database, CHUNKS, "text", *ids)
                vectors = _sound(database, VECTORS, "vector", *ids)
            yield {texts[id_]: vectors[id_] for id_ in texts.keys() & vectors.keys()}

    def single(self, key: DocumentKey) -> tuple[bytes, bytes] | None:
        """Return the digest of a document of one chunk, and its vector, unless that is damaged."""
        question = (
            "SELECT d.digest, d.first_chunk FROM files AS f JOIN documents AS d ON d.file = f.id "
            "WHERE f.path = ? AND d.name = ?"
        )
        with self._store.reading() as database, reading_rows(f"The chunk of {key}"):
            row = database.execute(question, (key.file, key.name)).fetchone()
            vectors = {} if row is None else _sound(database, VECTORS, "vector", row[1], row[1])
        return (bytes(row[0]), vectors[row[1]]) if vectors else None

    # --- changes ---------------------------------------------------------------------------

    def put(self, documents: Iterable[tuple[Entry, Iterable[tuple[Chunk, bytes]]]]) -> None:
        """Replace or add documents: all of them, or none if that fails."""
        with self._store.writing() as database:
            for entry, chunks in documents:
                _put(database, entry, chunks)
            if has_codes(self._model):
                update_codes(database, self._model.width, self._encoding)

    def finish_file(self, path: str, sha256: bytes, names: Iterable[str]) -> None:
        """Mark a file as indexed completely, and drop the documents it no longer has."""
        with self._store.writing() as database:
            file = _file_id(database, path)
            known = database.execute("SELECT name FROM documents WHERE file = ?", (file,))
            gone = {name for (name,) in known} - set(names)
            database.executemany(
                "DELETE FROM documents WHERE file = ? AND name = ?", ((file, n) for n in gone)
            )
            database.execute("UPDATE files SET sha256 = ? WHERE id = ?", (sha256, file))
            write_checksum(database, FILES, file)

    def remove(self, file: str, names: Iterable[str]) -> int:
        """Drop documents of a file by name, and return how many there were."""
        question = (
            "DELETE FROM documents WHERE name = ? AND file = (SELECT id FROM files WHERE path = ?)"
        )
        with self._store.writing() as database:
            return sum(database.execute(question, (name, file)).rowcount for name in names)

    def remove_files(self, paths: Iterable[str]) -> None:
        """Drop files with their documents."""
        with self._store.writing() as database:
            database.executemany("DELETE FROM files WHERE path = ?", ((path,) for path in paths))

    def mark_outdated(self) -> None:
        """Make the next run read every document again; unchanged chunks keep their vectors."""
        with self._store.writing() as database:
            for table, column in ((FILES, "sha256"), (DOCUMENT_ROWS, "digest")):
                for (id_,) in database.execute(f"SELECT id FROM {table.name}").fetchall():  # noqa: S608
                    mark_outdated(database, table, id_, column)

    def rows(self, vectors: Floats) -> list[bytes]:
        """Encode vectors as blobs.

        Raises:
            InputError: A vector is not finite.
        """
        try:
            return encode_rows(vectors, self._encoding)
        except ValueError as error:
            raise InputError(f"The model gave a vector that cannot be stored: {error}.") from error


def mark_outdated(database: sqlite3.Connection, table: CheckedTable, id_: int, column: str) -> None:
    """Clear the hash of a file or document, so that the next run reads it again."""
    database.execute(f"UPDATE {table.name} SET {column} = x'' WHERE id = ?", (id_,))  # noqa: S608
    write_checksum(database, table, id_)


def _file_id(database: sqlite3.Connection, path: str) -> int:
    """Return the id of a file's row, which is marked as incomplete if it is new."""
    database.execute(
        "INSERT INTO files (path, sha256) VALUES (?, x'') ON CONFLICT DO NOTHING", (path,)
    )
    return int(database.execute("SELECT id FROM files WHERE path = ?", (path,)).fetchone()[0])


def _put(database: sqlite3.Connection, entry: Entry, chunks: Iterable[tuple[Chunk, bytes]]) -> None:
    file = _file_id(database, entry.key.file)
    database.execute("UPDATE files SET sha256 = x'' WHERE id = ?", (file,))
    write_checksum(database, FILES, file)
    database.execute("DELETE FROM documents WHERE file = ? AND name = ?", (file, entry.key.name))
    metadata = json.dumps(entry.metadata, ensure_ascii=False) if entry.metadata else None
    document = database.execute(
        "INSERT INTO documents (file, name, digest, first_chunk, chunks, metadata) "
        "VALUES (?, ?, ?, 0, 0, ?)",
        (file, entry.key.name, entry.digest, metadata),
    ).lastrowid
    row = database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chunks'").fetchone()
    first = (row[0] if row else 0) + 1
    count = 0
    for block in batches(chunks, _AT_A_TIME):
        texts = [
            (first + count + i, document, chunk.body, chunk.start, _headings(chunk), chunk.text,
             words_of(chunk.text))
            for i, (chunk, _) in enumerate(block)
        ]  # fmt: skip
        database.executemany(
            "INSERT INTO chunks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(*row, CHUNKS.checksum(row)) for row in texts],
        )
        vectors = [(first + count + i, vector) for i, (_, vector) in enumerate(block)]
        database.executemany(
            "INSERT INTO vectors VALUES (?, ?, ?)",
            [(*row, VECTORS.checksum(row)) for row in vectors],
        )
        count += len(block)
    database.execute(
        "UPDATE documents SET first_chunk = ?, chunks = ? WHERE id = ?", (first, count, document)
    )
    write_checksum(database, DOCUMENT_ROWS, document)


def _sound(
    database: sqlite3.Connection, table: CheckedTable, column: str, first: int, last: int
) -> dict[Any, Any]:
    """Return a column of rows in a range of ids, without those that have changed."""
    at = table.columns.index(column)
    try:
        rows = read_checked(database, table, "WHERE id BETWEEN ? AND ?", (first, last)).fetchall()
    except (sqlite3.OperationalError, OverflowError):  # a text that is no UTF-8; a wrong range
        return {}
    return {row[0]: row[at] for *row, checksum in rows if table.checksum(tuple(row)) == checksum}


def _headings(chunk: Chunk) -> str | None:
    """Return the headings as JSON, or None if the first line of the text spells them."""
    head = chunk.text[: chunk.body]
    spelled = tuple(head[:-1].split(_SEPARATOR)) if head else ()
    return None if spelled == chunk.headings else json.dumps(chunk.headings, ensure_ascii=False)


def read_headings(stored: str | None, text: str, body: int) -> tuple[str, ...]:
    """Return the headings of a chunk's row, the outermost first."""
    if stored is not None:
        return tuple(json.loads(stored))
    return tuple(text[: body - 1].split(_SEPARATOR)) if body else ()


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Divide items into lists of a size; the last may be shorter."""
    left = iter(items)
    while batch := list(islice(left, size)):
        yield batch
