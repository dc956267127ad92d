"""Rebuilds: what was read from files is deleted, what programs put in stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.errors import IndexFileError
from minnow.indexfile.fingerprint import check_fingerprint
from minnow.indexfile.keyword_sums import repaired_keywords
from minnow.indexfile.schema import owners_in, unknown_tables
from minnow.indexfile.settings import to_json

if TYPE_CHECKING:
    import sqlite3

    from minnow.indexfile.fingerprint import Fingerprint
    from minnow.indexfile.settings import IndexSettings
    from minnow.indexfile.store import Store


def rebuild(store: Store, fingerprint: Fingerprint, settings: IndexSettings) -> None:
    """Delete what was read from files, and set another model and other settings.

    Facts that no owner clears stay, as those that a program stored with `Store.put_fact`.

    Raises:
        IndexFileError: The file holds something with vectors that cannot be made again, such as
            records, memories, or rows of tables that no registered owner knows; and those would
            not fit the new model or encoding.
    """
    with store.writing() as database:
        for what in _kept(database):
            _check_fits(store, fingerprint, settings, what)
        with repaired_keywords(database):
            for owner in owners_in(database):
                for statement in (*owner.clearing, *owner.of_model):
                    database.execute(statement)
        store.put_fact("model", to_json(fingerprint))
        store.put_fact("settings", to_json(settings))


def _kept(database: sqlite3.Connection) -> list[str]:
    """Return nouns for what the file holds that a rebuild keeps."""
    found = [
        what
        for owner in owners_in(database)
        for question, what in owner.kept
        if database.execute(question).fetchone()
    ]
    for table in unknown_tables(database):
        if database.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone():  # noqa: S608
            found.append(f"rows in the table {table!r}")
    return found


def _check_fits(store: Store, fingerprint: Fingerprint, settings: IndexSettings, what: str) -> None:
    try:
        check_fingerprint(store.fingerprint, fingerprint, str(store.path))
    except IndexFileError as error:
        raise IndexFileError(f"{store.path} holds {what}, which would be lost. {error}") from error
    old = store.settings.encoding
    if settings.encoding is not old:
        raise IndexFileError(
            f"{store.path} holds {what} with {old.value} vectors, so it cannot be rebuilt with "
            f"{settings.encoding.value}. Give `encoding={old.value}`, or index into another file."
        )
