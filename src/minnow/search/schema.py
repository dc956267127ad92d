"""The tables of an index file, and the way from older forms of them to this one.

`docs/index-format.md` describes every column, for readers in other languages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Mapping

APPLICATION_ID = 0x6D6E7731
"""SQLite's `application_id`: "mnw1". https://www.sqlite.org/pragma.html#pragma_application_id"""

VERSION = 1
"""SQLite's `user_version`."""

COLLECTION = "collection://"
"""How `files.path` of a collection begins: names of files never have two slashes there."""

BACKGROUND = "memory_background"
"""The fact that memories add: the mean cosine of unrelated texts, as the model sees them."""

TOKENIZE = "porter unicode61 remove_diacritics 2"
"""How keywords are read: without case, accents and English endings."""

SCHEMA = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE files (
        id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, sha256 BLOB NOT NULL
    )""",
    """CREATE TABLE documents (
        id INTEGER PRIMARY KEY, file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE,
        name TEXT NOT NULL, digest BLOB NOT NULL, first_chunk INTEGER NOT NULL,
        chunks INTEGER NOT NULL, metadata TEXT
    )""",
    "CREATE UNIQUE INDEX documents_by_file ON documents (file, name)",
    """CREATE TABLE chunks (
        id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL, body INTEGER NOT NULL,
        start INTEGER NOT NULL, headings TEXT, text TEXT NOT NULL
    )""",
    "CREATE TABLE vectors (id INTEGER PRIMARY KEY, vector BLOB NOT NULL)",
    f"""CREATE VIRTUAL TABLE chunks_fts USING fts5(
        text, content='chunks', content_rowid='id', detail=none, columnsize=0,
        tokenize='{TOKENIZE}'
    )""",
    """CREATE TRIGGER chunks_added AFTER INSERT ON chunks BEGIN
        INSERT INTO chunks_fts (rowid, text) VALUES (new.id, new.text);
    END""",
    """CREATE TRIGGER chunks_removed AFTER DELETE ON chunks BEGIN
        INSERT INTO chunks_fts (chunks_fts, rowid, text) VALUES ('delete', old.id, old.text);
        DELETE FROM vectors WHERE id = old.id;
    END""",
    """CREATE TRIGGER documents_removed AFTER DELETE ON documents BEGIN
        DELETE FROM chunks
        WHERE id >= old.first_chunk AND id < old.first_chunk + old.chunks;
    END""",
    """CREATE VIEW sources AS
        SELECT d.id, d.first_chunk, d.chunks, f.path AS file, d.name,
            CASE d.name WHEN '' THEN f.path ELSE f.path || '#' || d.name END AS source,
            coalesce(d.metadata, '{}') AS metadata
        FROM documents AS d JOIN files AS f ON f.id = d.file""",
    """CREATE VIEW passages AS
        SELECT c.id, c.id - s.first_chunk + 1 AS number, s.file, s.name, s.source, s.metadata,
            substr(c.text, 1, max(c.body - 1, 0)) AS heading, c.text, c.body, c.start, c.headings
        FROM chunks AS c JOIN sources AS s ON s.id = c.document""",
)
"""The statements that make an empty index. A chunk's rows elsewhere follow it by trigger.

Chunks have no index by document, for it would cost more than the text of some: the chunks of a
document have ids that follow each other, and ids are never used again (AUTOINCREMENT).
"""

STAGED = (
    "CREATE TABLE IF NOT EXISTS staged "
    "(digest BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID"
)
"""Vectors of a long document that is not complete yet; the table is there only meanwhile."""

MEMORIES = (
    """CREATE TABLE IF NOT EXISTS memories (
        id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, kind TEXT NOT NULL,
        importance REAL NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL,
        times INTEGER NOT NULL, tags TEXT NOT NULL, wordings TEXT NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS memory_vectors
        (id INTEGER PRIMARY KEY REFERENCES memories ON DELETE CASCADE, vector BLOB NOT NULL)""",
    """CREATE TABLE IF NOT EXISTS memory_links (
        insight INTEGER NOT NULL REFERENCES memories ON DELETE CASCADE,
        source INTEGER NOT NULL REFERENCES memories ON DELETE CASCADE,
        PRIMARY KEY (insight, source)
    ) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS memory_links_by_source ON memory_links (source)",
)
"""Memories; the tables are there once a file has been opened to keep some."""

MIGRATIONS: Mapping[int, Callable[[sqlite3.Connection], None]] = {}
"""From a version to the next: each is called within the transaction that migrates a file."""


def has_table(database: sqlite3.Connection, name: str) -> bool:
    """Whether a file has one of the tables that are not always there."""
    question = "SELECT count(*) FROM sqlite_master WHERE name = ?"
    return bool(database.execute(question, (name,)).fetchone()[0])
