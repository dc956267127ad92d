"""The tables of documents, which every index file has."""

from __future__ import annotations

from minnow.indexfile.checksums import CHECKSUM, SUMS, CheckedTable
from minnow.indexfile.schema import TableOwner, register
from minnow.indexfile.words import TOKENIZE, reading

COLLECTION = "collection://"
"""How `files.path` of a collection begins; names of files never have two slashes there."""

STAGED = "staged"
"""The table of vectors of a long document that is not complete yet; dropped at its end."""

STAGED_SCHEMA = (
    f"CREATE TABLE IF NOT EXISTS {STAGED} "
    "(digest BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID"
)

CHOICE = "search"
"""The fact in `meta` that says how to search; see `minnow.search.choice`."""

FILES = CheckedTable("files", ("id", "path", "sha256"), counted=True)
DOCUMENT_ROWS = CheckedTable(
    "documents",
    ("id", "file", "name", "digest", "first_chunk", "chunks", "metadata"),
    counted=True,
)
CHUNKS = CheckedTable("chunks", ("id", "document", "body", "start", "headings", "text", "words"))
VECTORS = CheckedTable("vectors", ("id", "vector"), is_vectors=True, texts="chunks")
"""Chunks and vectors need not be counted: the documents say which there are."""

KEYWORDS = "chunks_fts"
"""The table of keywords, and the name of its row in `sums`."""

KEYWORDS_TRIGGERS = tuple(
    f"CREATE TRIGGER keywords_after_{event} AFTER {event.upper()} ON chunks BEGIN "  # noqa: S608
    f"UPDATE {SUMS} SET rows = rows + 1, total = NULL WHERE name = '{KEYWORDS}'; END"
    for event in ("insert", "delete")
)
"""Chunks that were added or removed since the checksum of the keywords was written."""

KEYWORD_SCHEMA = (
    f"CREATE VIEW chunk_words AS SELECT c.id, {reading('c')} AS text FROM chunks AS c",  # noqa: S608
    f"""CREATE VIRTUAL TABLE chunks_fts USING fts5(
        text, content='chunk_words', content_rowid='id', detail=none, columnsize=0,
        tokenize="{TOKENIZE}"
    )""",
    """CREATE TRIGGER chunks_added AFTER INSERT ON chunks BEGIN
        INSERT INTO chunks_fts (rowid, text) SELECT id, text FROM chunk_words WHERE id = new.id;
    END""",
    """CREATE TRIGGER chunks_unworded BEFORE DELETE ON chunks BEGIN
        INSERT INTO chunks_fts (chunks_fts, rowid, text)
        SELECT 'delete', id, text FROM chunk_words WHERE id = old.id;
    END""",
    """CREATE TRIGGER chunks_removed AFTER DELETE ON chunks BEGIN
        DELETE FROM vectors WHERE id = old.id;
    END""",
)
"""The keyword index, which reads `words` of a chunk where there are any, and else its text."""

_SCHEMA = (
    f"""CREATE TABLE files (
        id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE, sha256 BLOB NOT NULL, {CHECKSUM}
    )""",
    f"""CREATE TABLE documents (
        id INTEGER PRIMARY KEY, file INTEGER NOT NULL REFERENCES files ON DELETE CASCADE,
        name TEXT NOT NULL, digest BLOB NOT NULL, first_chunk INTEGER NOT NULL,
        chunks INTEGER NOT NULL, metadata TEXT, {CHECKSUM}
    )""",
    "CREATE UNIQUE INDEX documents_by_file ON documents (file, name)",
    f"""CREATE TABLE chunks (
        id INTEGER PRIMARY KEY AUTOINCREMENT, document INTEGER NOT NULL, body INTEGER NOT NULL,
        start INTEGER NOT NULL, headings TEXT, text TEXT NOT NULL, words,
        {CHECKSUM}
    )""",
    f"CREATE TABLE vectors (id INTEGER PRIMARY KEY, vector BLOB NOT NULL, {CHECKSUM})",
    *KEYWORD_SCHEMA,
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
    *FILES.triggers,
    *DOCUMENT_ROWS.triggers,
    *KEYWORDS_TRIGGERS,
)
"""A chunk's rows in other tables follow it by trigger.

Chunks have no index by document, which would take more room than some texts: the chunks of a
document have consecutive ids, and ids are never used again (AUTOINCREMENT).
"""

_CHECKS = (
    (
        "SELECT count(*) FROM chunks WHERE document NOT IN (SELECT id FROM documents)",
        "chunks belong to no document",
    ),
    (
        "SELECT count(*) FROM documents AS d WHERE d.chunks != (SELECT count(*) FROM chunks AS c "
        "WHERE c.id >= d.first_chunk AND c.id < d.first_chunk + d.chunks AND c.document = d.id)",
        "documents lack chunks",
    ),
    (
        "SELECT count(*) FROM chunks WHERE id NOT IN (SELECT id FROM vectors)",
        "chunks have no vector",
    ),
    (
        "SELECT count(*) FROM vectors WHERE id NOT IN (SELECT id FROM chunks)",
        "vectors belong to no chunk",
    ),
    (
        "SELECT (SELECT coalesce(sum(chunks), 0) FROM documents) != (SELECT count(*) FROM chunks)",
        "count of chunks is wrong",
    ),
)

_UNCOUNTED = (
    f"UPDATE {SUMS} SET rows = 0, total = 0 WHERE name IN ('files', 'documents') "  # noqa: S608
    "AND NOT EXISTS (SELECT 1 FROM files)"
)
_OF_COLLECTIONS = f"substr(path, 1, {len(COLLECTION)}) = '{COLLECTION}'"

DOCUMENTS = register(
    TableOwner(
        tables=(
            "documents", "files", "chunks", "vectors", STAGED,
            "chunks_fts", "chunks_fts_data", "chunks_fts_idx", "chunks_fts_config",
        ),
        schema=_SCHEMA,
        checked=(FILES, DOCUMENT_ROWS, CHUNKS, VECTORS),
        readable=frozenset({"sources", "passages", "documents", "files", "chunks"}),
        checks=_CHECKS,
        write_checks=(
            (
                "INSERT INTO chunks_fts (chunks_fts, rank) VALUES ('integrity-check', 1)",
                "the keywords do not fit the texts",
            ),
        ),
        compacting=("INSERT INTO chunks_fts (chunks_fts) VALUES ('optimize')",),
        clearing=(
            f"DELETE FROM files WHERE NOT {_OF_COLLECTIONS}",  # noqa: S608
            "DELETE FROM chunks WHERE document NOT IN (SELECT id FROM documents)",
            "DELETE FROM vectors WHERE id NOT IN (SELECT id FROM chunks)",
            _UNCOUNTED,
            f"DROP TABLE IF EXISTS {STAGED}",
        ),
        of_model=(f"DELETE FROM meta WHERE name = '{CHOICE}'",),  # noqa: S608
        kept=(
            (
                "SELECT 1 FROM documents JOIN files ON files.id = documents.file "  # noqa: S608
                f"WHERE {_OF_COLLECTIONS} LIMIT 1",
                "records",
            ),
        ),
    )
)  # fmt: skip
