"""The tables of memories, which a file has once it was opened to keep some."""

from __future__ import annotations

from minnow.indexfile.checksums import CHECKSUM, CheckedTable
from minnow.indexfile.schema import TableOwner, register

BACKGROUND = "memory_background"
"""The fact that memories add: the mean cosine of unrelated texts with the file's model."""

MEMORY_ROWS = CheckedTable(
    "memories",
    ("id", "text", "kind", "importance", "created", "used", "times", "tags", "wordings"),
    counted=True,
)
MEMORY_VECTORS = CheckedTable("memory_vectors", ("id", "vector"), is_vectors=True, texts="memories")
MEMORY_LINKS = CheckedTable("memory_links", ("insight", "source"), keys=2, counted=True)

TURNS = CheckedTable("memory_turns", ("id", "speaker", "session"), counted=True)

MEMORY_TURNS = register(
    TableOwner(
        tables=("memory_turns",),
        schema=(
            f"""CREATE TABLE IF NOT EXISTS memory_turns (
                id INTEGER PRIMARY KEY REFERENCES memories ON DELETE CASCADE,
                speaker TEXT NOT NULL, session TEXT NOT NULL, {CHECKSUM}
            )""",
            *TURNS.triggers,
        ),
        checked=(TURNS,),
        readable=frozenset({"memory_turns"}),
    )
)
"""Who said a memory in which conversation. A file has the table from the first such memory on, so
that files without any stay as older versions know them."""

MEMORIES = register(
    TableOwner(
        tables=("memories", "memory_vectors", "memory_links"),
        schema=(
            f"""CREATE TABLE IF NOT EXISTS memories (
                id INTEGER PRIMARY KEY AUTOINCREMENT, text TEXT NOT NULL, kind TEXT NOT NULL,
                importance REAL NOT NULL, created INTEGER NOT NULL, used INTEGER NOT NULL,
                times INTEGER NOT NULL, tags TEXT NOT NULL, wordings TEXT NOT NULL,
                {CHECKSUM}
            )""",
            f"""CREATE TABLE IF NOT EXISTS memory_vectors
                (id INTEGER PRIMARY KEY REFERENCES memories ON DELETE CASCADE,
                vector BLOB NOT NULL, {CHECKSUM})""",
            f"""CREATE TABLE IF NOT EXISTS memory_links (
                insight INTEGER NOT NULL REFERENCES memories ON DELETE CASCADE,
                source INTEGER NOT NULL REFERENCES memories ON DELETE CASCADE,
                {CHECKSUM}, PRIMARY KEY (insight, source)
            ) WITHOUT ROWID""",
            "CREATE INDEX IF NOT EXISTS memory_links_by_source ON memory_links (source)",
            *MEMORY_ROWS.triggers,
            *MEMORY_LINKS.triggers,
        ),
        checked=(MEMORY_ROWS, MEMORY_VECTORS, MEMORY_LINKS),
        readable=frozenset({"memories"}),
        checks=(
            (
                "SELECT count(*) FROM memories WHERE id NOT IN (SELECT id FROM memory_vectors)",
                "memories have no vector",
            ),
        ),
        of_model=(f"DELETE FROM meta WHERE name = '{BACKGROUND}'",),  # noqa: S608
        kept=(("SELECT 1 FROM memories LIMIT 1", "memories"),),
    )
)
