"""Repairs of an index file: what is damaged in it and can be made again from the rest.

Vectors are embedded again from intact texts, the keyword index is built again from them, and
documents with damaged texts are read again from their files. What a program put in and cannot be
made again is named, and so are documents and files whose own rows are damaged.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from minnow.errors import IndexFileError
from minnow.indexfile.checks import changed_facts
from minnow.indexfile.checksums import broken_keys, damaged, find_changed_rows
from minnow.indexfile.codes import CODES
from minnow.indexfile.documents import CHUNKS, COLLECTION, DOCUMENT_ROWS, FILES
from minnow.indexfile.encodings import encode_rows
from minnow.indexfile.keyword_sums import check_keywords, rebuild_keywords
from minnow.indexfile.schema import checked_tables, second_generation, vector_tables
from minnow.search.writer import digest_of, mark_outdated

if TYPE_CHECKING:
    import sqlite3

    from minnow.indexfile.checksums import CheckedTable
    from minnow.indexfile.models import SearchModel
    from minnow.indexfile.store import Store

_AT_A_TIME = 256
_SHOWN = 5
_OF_INDEXES = ("missing from index", "wrong # of entries in index", "non-unique entry in index")
_OF_KEYWORDS = "fts5"
"""A word of SQLite's messages about a keyword index, which only 3.44 and newer check."""


@dataclass
class Repairs:
    """What `repair` did, and what is left to do.

    Attributes:
        embedded: Number of vectors that were embedded again.
        outdated: Sources of documents with damaged texts, which have to be read again.
    """

    embedded: int = 0
    outdated: list[str] = field(default_factory=list)


def repair(store: Store, model: SearchModel) -> Repairs:
    """Read a whole file, and repair it as far as its own rows allow, in one transaction.

    Raises:
        IndexFileError: It is damaged where no row can be made again; nothing is changed then.
        OutputError: It cannot be written.
    """
    with store.reading() as database:
        if not _is_damaged(database):
            return Repairs()
    with store.writing() as database:
        _repair_indexes(database)
        vectors = vector_tables(database)
        seconds = [second_generation(table) for table in vectors]
        repairable = (CHUNKS, CODES, *vectors, *seconds)
        unrepairable = [table for table in checked_tables(database) if table not in repairable]
        found = chain(changed_facts(database), find_changed_rows(database, unrepairable))
        if fault := next(found, None):
            raise damaged(database, fault)
        repairs = Repairs(outdated=_mark_damaged_texts(database))
        for table in vectors:
            repairs.embedded += _embed_again(database, table, store, model)
        for table in checked_tables(database):
            if table in seconds:  # the migration embeds them again
                keys = [(key,) for key in broken_keys(database, table)]
                database.executemany(f"DELETE FROM {table.name} WHERE id = ?", keys)  # noqa: S608
            if table == CODES and broken_keys(database, table):  # made again at the end of the run
                database.execute(f"DELETE FROM {table.name}")  # noqa: S608
        rebuild_keywords(database)
    return repairs


def check_repaired(store: Store, repairs: Repairs) -> None:
    """Check at the end of a run that all damaged texts were read again, and finish the repair.

    Raises:
        IndexFileError: Some were not; the message names their documents.
    """
    if not repairs.outdated:
        return
    with store.writing() as database:
        keys = broken_keys(database, CHUNKS)
        left = sorted({_source(database, key) for key in keys})
        if not left and not _lacking(database):
            rebuild_keywords(database)
            return
    some = ", ".join((left or repairs.outdated)[:_SHOWN])
    raise IndexFileError(
        f"{store.path} is damaged: texts of {some} have changed in it, and they were not read "
        "again. Index these documents too, or drop them with `remove_paths()`."
    )


def _is_damaged(database: sqlite3.Connection) -> bool:
    (first,) = database.execute("PRAGMA integrity_check").fetchone()
    if first != "ok" or changed_facts(database):
        return True
    if next(find_changed_rows(database, checked_tables(database)), None):
        return True
    try:
        check_keywords(database)
    except IndexFileError:
        return True
    incomplete = any(_missing(database, table) for table in vector_tables(database))
    return incomplete or bool(_lacking(database))


def _repair_indexes(database: sqlite3.Connection) -> None:
    """Make indexes of tables again, if they are all that SQLite finds."""
    lines = _faults(database)
    if any(part in line for line in lines for part in _OF_INDEXES):
        database.execute("REINDEX")
        lines = _faults(database)
    if lines:
        raise damaged(database, lines[0].replace("\n", " "))


def _faults(database: sqlite3.Connection) -> list[str]:
    """Return what SQLite finds, but for the keyword index, which `repair` builds again."""
    lines = (str(line) for (line,) in database.execute("PRAGMA integrity_check"))
    return [line for line in lines if line != "ok" and _OF_KEYWORDS not in line.lower()]


def _mark_damaged_texts(database: sqlite3.Connection) -> list[str]:
    """Mark documents with damaged or missing chunks as outdated, and return their sources.

    Raises:
        IndexFileError: A record of a program is among them: nobody can read it again.
    """
    documents = _lacking(database)
    for key in broken_keys(database, CHUNKS):
        question = "SELECT id FROM documents WHERE ? >= first_chunk AND ? < first_chunk + chunks"
        documents |= {id_ for (id_,) in database.execute(question, (key, key))}
    sources = []
    for id_ in sorted(documents):
        file, source, file_id = database.execute(
            "SELECT s.file, s.source, d.file FROM sources AS s "
            "JOIN documents AS d ON d.id = s.id WHERE s.id = ?",
            (id_,),
        ).fetchone()
        if file.startswith(COLLECTION):
            raise damaged(database, f"the text of the record {source} has changed; put it again")
        mark_outdated(database, FILES, file_id, "sha256")
        mark_outdated(database, DOCUMENT_ROWS, id_, "digest")
        sources.append(source)
    return sources


def _lacking(database: sqlite3.Connection) -> set[int]:
    """Return the ids of documents that do not have all their chunks."""
    question = (
        "SELECT id FROM documents AS d WHERE d.chunks != (SELECT count(*) FROM chunks AS c "
        "WHERE c.id >= d.first_chunk AND c.id < d.first_chunk + d.chunks)"
    )
    return {id_ for (id_,) in database.execute(question)}


def _missing(database: sqlite3.Connection, table: CheckedTable) -> list[int]:
    question = f"SELECT id FROM {table.texts} WHERE id NOT IN (SELECT id FROM {table.name})"  # noqa: S608
    return [id_ for (id_,) in database.execute(question)]


def _embed_again(
    database: sqlite3.Connection, table: CheckedTable, store: Store, model: SearchModel
) -> int:
    """Embed the damaged and missing vectors of a table again, where the text is intact."""
    texts = next(t for t in checked_tables(database) if t.name == table.texts)
    database.execute(
        f"DELETE FROM {table.name} WHERE id NOT IN (SELECT id FROM {texts.name})"  # noqa: S608
    )
    broken = {*broken_keys(database, table), *_missing(database, table)}
    wanted = sorted(broken - set(broken_keys(database, texts)))
    for start in range(0, len(wanted), _AT_A_TIME):
        ids = wanted[start : start + _AT_A_TIME]
        question = f"SELECT text FROM {texts.name} WHERE id = ?"  # noqa: S608
        passages = [database.execute(question, (id_,)).fetchone()[0] for id_ in ids]
        if texts.name == CHUNKS.name:
            _check_embedded(database, ids, passages)
        blobs = encode_rows(model.encode_documents(passages), store.settings.encoding)
        database.executemany(
            f"INSERT OR REPLACE INTO {table.name} VALUES (?, ?, ?)",  # noqa: S608
            [(*row, table.checksum(row)) for row in zip(ids, blobs, strict=True)],
        )
    return len(wanted)


def _check_embedded(database: sqlite3.Connection, ids: list[int], texts: list[str]) -> None:
    """Check that no chunk is a record whose vector came from its program.

    Raises:
        IndexFileError: One is; the model would give it another vector.
    """
    for id_, text in zip(ids, texts, strict=True):
        row = database.execute(
            "SELECT s.file, s.source, d.digest FROM documents AS d "
            "JOIN sources AS s ON s.id = d.id WHERE d.first_chunk = ?",
            (id_,),
        ).fetchone()
        if row and row[0].startswith(COLLECTION) and row[2] != digest_of(text.encode()):
            raise damaged(database, f"the vector given for the record {row[1]} has changed")


def _source(database: sqlite3.Connection, chunk: int) -> str:
    row = database.execute(
        "SELECT source FROM sources WHERE ? >= first_chunk AND ? < first_chunk + chunks",
        (chunk, chunk),
    ).fetchone()
    return str(row[0]) if row else f"chunk {chunk}"
