"""An index begun anew: what was read from files goes, what has no file stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

from minnow.errors import IndexFileError
from minnow.search.facts import to_json
from minnow.search.fingerprint import check_fingerprint
from minnow.search.schema import BACKGROUND, COLLECTION, has_table
from minnow.search.writer import Writer

if TYPE_CHECKING:
    import sqlite3

    from minnow.search.fingerprint import Fingerprint
    from minnow.search.settings import Settings
    from minnow.search.store import Store


def begin_anew(store: Store, fingerprint: Fingerprint, settings: Settings) -> None:
    """Drop what was read from files, and take another model and other settings.

    Args:
        store: The index, open for writing.
        fingerprint: Of the model that makes its vectors from now on.
        settings: How it cuts texts and stores vectors from now on.

    Raises:
        IndexFileError: There are memories or records, which cannot be embedded again, and their
            vectors would not fit.
    """
    with store.writing() as database:
        for what in _lasting(database):
            _check_fits(store, fingerprint, settings, what)
        Writer(store).clear()
        database.execute("DELETE FROM meta WHERE name = ?", (BACKGROUND,))
        store.put_fact("model", to_json(fingerprint))
        store.put_fact("settings", to_json(settings))


def _lasting(database: sqlite3.Connection) -> list[str]:
    """What a program put in."""
    found = []
    named = "SELECT 1 FROM sources WHERE substr(file, 1, ?) = ? LIMIT 1"
    if database.execute(named, (len(COLLECTION), COLLECTION)).fetchone():
        found.append("records")
    there = has_table(database, "memories")
    if there and database.execute("SELECT 1 FROM memories LIMIT 1").fetchone():
        found.append("memories")
    return found


def _check_fits(store: Store, fingerprint: Fingerprint, settings: Settings, what: str) -> None:
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
