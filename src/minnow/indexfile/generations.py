"""A migration to another model: the vectors of both models in one file until the last is made.

A file under migration stays a whole index of its old model. Beside each table of vectors stands a
second one, `migrated_...`, that fills with vectors of the new model, and `migration_map` predicts
those that are missing. One transaction ends the migration: the new vectors take the place of the
old ones, and nothing of the migration is left.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from minnow.errors import IndexFileError
from minnow.indexfile.checksums import CheckedTable, broken_keys, damaged, read_table
from minnow.indexfile.fingerprint import Fingerprint, check_fingerprint
from minnow.indexfile.schema import (
    MIGRATING,
    VERSION,
    TableOwner,
    has_table,
    owners_in,
    register,
    second_generation,
    vector_tables,
    vectors_schema,
)
from minnow.indexfile.settings import from_json, to_json
from minnow.vectors import Similarity, normalize

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from minnow.indexfile.encodings import Floats
    from minnow.indexfile.store import Store

MIGRATION = "migration"
"""The fact that names the new model, in files under migration only; facts with longer names that
begin so end with the migration too."""

MIGRATION_MAP = CheckedTable("migration_map", ("id", "vector"), is_vectors=True)
"""Row 0 is the offset, row i the image of axis i of the old space: little-endian float32."""

register(
    TableOwner(
        tables=(MIGRATION_MAP.name,),
        schema=(vectors_schema(MIGRATION_MAP),),
        checked=(MIGRATION_MAP,),
        kept=((f"SELECT 1 FROM {MIGRATION_MAP.name} LIMIT 1", "a migration to another model"),),  # noqa: S608
    )
)


@dataclass(frozen=True)
class Migration:
    """An unfinished migration, as the file records it.

    Attributes:
        model: The new model.
    """

    model: Fingerprint


@dataclass(frozen=True)
class Alignment:
    """An affine map from vectors of the old model to those of the new one.

    Attributes:
        rows: float64 of shape (1 + old width, new width): the offset, then the matrix.
        unit: Whether predicted vectors get length 1, as those of the new model have.
    """

    rows: NDArray[np.float64]
    unit: bool

    def predict(self, vectors: Floats) -> Floats:
        """Predict the new model's vectors of texts, of which the old model's are given.

        float32 of shape (texts, old width) becomes float32 of shape (texts, new width).
        """
        predicted = vectors.astype(np.float64) @ self.rows[1:] + self.rows[0]
        return normalize(predicted) if self.unit else predicted.astype(np.float32)


def find_migration(store: Store) -> Migration | None:
    """Return the unfinished migration of a file; None if there is none."""
    value = store.fact(MIGRATION)
    return None if value is None else from_json(value, Migration, MIGRATION)


def check_model(store: Store, given: Fingerprint) -> None:
    """Check that a model made the vectors of a file.

    Raises:
        IndexFileError: Another one did; the message says what to do, also in a migration.
    """
    try:
        check_fingerprint(store.fingerprint, given, str(store.path))
    except IndexFileError:
        migration = find_migration(store)
        if migration is None or not fits(migration.model, given):
            raise
        raise IndexFileError(
            f"{store.path} is being migrated to {given.shown}, and until that is finished it takes "
            f"this model for searching only. Finish with `minnow index migrate`, or use the bundle "
            f"of {store.fingerprint.shown}."
        ) from None


def fits(stored: Fingerprint, given: Fingerprint) -> bool:
    """Return whether vectors of two models may be compared."""
    try:
        check_fingerprint(stored, given, "")
    except IndexFileError:
        return False
    return True


def read_alignment(store: Store, migration: Migration) -> Alignment:
    """Read the map of a migration.

    Raises:
        IndexFileError: It is damaged.
    """
    with store.reading() as database:
        shape = (1 + store.fingerprint.width, migration.model.width)
        found = [row for block in read_table(database, MIGRATION_MAP) for row in block]
        if [row[0] for row in found] != list(range(shape[0])):
            raise damaged(database, "the map of its migration lacks rows")
        rows = np.frombuffer(b"".join(row[1] for row in found), "<f4")
        if rows.size != shape[0] * shape[1] or not np.isfinite(rows).all():
            raise damaged(database, "the map of its migration has another shape")
    unit = migration.model.similarity == Similarity.COSINE
    return Alignment(rows.reshape(shape).astype(np.float64), unit)


def begin(store: Store, model: Fingerprint, alignment: Alignment) -> None:
    """Start a migration: from now on both models may search the file.

    Raises:
        IndexFileError: Another process has started one.
    """
    with store.writing() as database:
        if find_migration(store) is not None:
            raise IndexFileError(
                f"Another process has begun to migrate {store.path} meanwhile. Run it again."
            )
        database.execute(vectors_schema(MIGRATION_MAP))
        rows = [(i, row.tobytes()) for i, row in enumerate(alignment.rows.astype("<f4"))]
        database.executemany(
            f"INSERT INTO {MIGRATION_MAP.name} VALUES (?, ?, ?)",  # noqa: S608
            [(*row, MIGRATION_MAP.checksum(row)) for row in rows],
        )
        for table in vector_tables(database):
            second = second_generation(table)
            database.execute(f"DROP TABLE IF EXISTS {second.name}")  # of one that was cancelled
            database.execute(vectors_schema(second))
        store.put_fact(MIGRATION, to_json(Migration(model)))
        database.execute(f"PRAGMA user_version = {MIGRATING + VERSION}")


def put_migrated(
    database: sqlite3.Connection, table: CheckedTable, ids: Sequence[int], blobs: Sequence[bytes]
) -> None:
    """Write vectors of the new model, within a transaction; ids of texts that are gone are left."""
    second = second_generation(table)
    database.execute(vectors_schema(second))  # its first row, where memories came meanwhile
    database.executemany(
        f"INSERT OR REPLACE INTO {second.name} SELECT ?, ?, ? "  # noqa: S608
        f"WHERE EXISTS (SELECT 1 FROM {table.name} WHERE id = ?)",
        [(*row, second.checksum(row), row[0]) for row in zip(ids, blobs, strict=True)],
    )


def missing_ids(database: sqlite3.Connection, table: CheckedTable) -> list[int]:
    """Return the ids of a table's vectors that the new model has not made yet, ascending."""
    second = second_generation(table)
    condition = ""
    if has_table(database, second.name):
        condition = f"WHERE id NOT IN (SELECT id FROM {second.name})"  # noqa: S608
    rows = database.execute(f"SELECT id FROM {table.name} {condition} ORDER BY id")  # noqa: S608
    return [id_ for (id_,) in rows]


def finish(store: Store, migration: Migration) -> bool:
    """Put all new vectors in the place of the old ones; return False if some are missing.

    The file gets another id, so that nothing that was made of its old vectors fits it any more.

    Raises:
        IndexFileError: A new vector has changed in the file; nothing is changed then.
    """
    with store.writing() as database:
        tables = vector_tables(database)
        if any(missing_ids(database, table) for table in tables):
            return False
        for table in tables:
            second = second_generation(table)
            if has_table(database, second.name):
                if broken := broken_keys(database, second):
                    raise damaged(database, f"row {broken[0]} of {second.name} has changed")
                database.execute(
                    f"DELETE FROM {second.name} WHERE id NOT IN (SELECT id FROM {table.name})"  # noqa: S608
                )
                database.execute(f"DELETE FROM {table.name}")  # noqa: S608
                database.execute(f"INSERT INTO {table.name} SELECT * FROM {second.name}")  # noqa: S608
        for owner in owners_in(database):
            for statement in owner.of_model:
                database.execute(statement)
        _drop(database)
        store.put_fact("model", to_json(migration.model))
        store.put_fact("id", os.urandom(16).hex())
    return True


def cancel(store: Store) -> bool:
    """Drop all that a migration wrote; return whether there was one."""
    with store.writing() as database:
        if not has_table(database, MIGRATION_MAP.name):
            return False
        _drop(database)
    return True


def _drop(database: sqlite3.Connection) -> None:
    for table in vector_tables(database):
        database.execute(f"DROP TABLE IF EXISTS {second_generation(table).name}")
    database.execute(f"DROP TABLE {MIGRATION_MAP.name}")
    database.execute("DELETE FROM meta WHERE name LIKE ?", (f"{MIGRATION}%",))
    database.execute(f"PRAGMA user_version = {VERSION}")
