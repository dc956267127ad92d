"""Rows of memories, read and written within a transaction of the caller."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from minnow.errors import IndexFileError, InputError
from minnow.indexfile.checks import reading_rows
from minnow.indexfile.checksums import (
    check_rows,
    count_rows,
    read_checked,
    read_table,
    write_checksum,
)
from minnow.indexfile.schema import TableOwner, has_table
from minnow.indexfile.sqlite_errors import translated_errors
from minnow.memory.items import Item, MemoryKind, datetime_of, milliseconds_of
from minnow.memory.schema import (
    MEMORIES,
    MEMORY_LINKS,
    MEMORY_ROWS,
    MEMORY_TURNS,
    MEMORY_VECTORS,
    TURNS,
)

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable, Sequence

    from minnow.indexfile.store import Store
    from minnow.memory.items import Observation

COLUMNS = MEMORY_ROWS.columns
_AT_A_TIME = 500


def prepare(store: Store) -> None:
    """Create the tables if needed, and make commits survive a power failure.

    Raises:
        IndexFileError: There are no tables, and the file is open for reading only.
    """
    with store.reading() as database:
        there = has_table(database, MEMORIES.tables[0])
    if not store.writable:
        if not there:
            raise IndexFileError(f"{store.path} holds no memories; `minnow memory add` keeps some.")
        return
    with translated_errors(store.path):
        store.database.execute("PRAGMA synchronous = FULL")
    if not there:
        with store.writing() as database:
            _create(database, MEMORIES)


def _create(database: sqlite3.Connection, owner: TableOwner) -> None:
    """Create an owner's tables, unless they are there."""
    if not has_table(database, owner.tables[0]):
        for statement in owner.schema:
            database.execute(statement)
        count_rows(database, owner.checked)


def read_items(database: sqlite3.Connection, ids: Iterable[int]) -> list[Item]:
    """Read memories in the order of ids; unknown ids are left out."""
    asked = [int(id_) for id_ in ids]
    found: dict[int, Item] = {}
    for start in range(0, len(asked), _AT_A_TIME):
        some = json.dumps(asked[start : start + _AT_A_TIME])
        sources: dict[int, list[int]] = {}
        for insight, source in database.execute(
            "SELECT insight, source FROM memory_links "
            "WHERE insight IN (SELECT value FROM json_each(?)) ORDER BY source",
            (some,),
        ):
            sources.setdefault(insight, []).append(source)
        rows = list(
            read_checked(
                database, MEMORY_ROWS, "WHERE id IN (SELECT value FROM json_each(?))", (some,)
            )
        )
        check_rows(database, MEMORY_ROWS, rows)
        turns = read_turns(database, some)
        for *row, _ in rows:
            found[row[0]] = _item(row, sources.get(row[0], []), turns.get(row[0], ("", "")))
    return [found[id_] for id_ in asked if id_ in found]


def read_turns(database: sqlite3.Connection, ids: str | None = None) -> dict[int, tuple[str, str]]:
    """Return the speaker and the session of memories that have one, by id.

    Args:
        database: The file.
        ids: A JSON array of the ids to read; without one all are read and counted.

    Raises:
        IndexFileError: A row has changed, or is missing.
    """
    if not has_table(database, TURNS.name):
        return {}
    if ids is None:
        rows = [row for block in read_table(database, TURNS) for row in block]
    else:
        condition = "WHERE id IN (SELECT value FROM json_each(?))"
        rows = read_checked(database, TURNS, condition, (ids,)).fetchall()
        check_rows(database, TURNS, rows)
    return {id_: (speaker, session) for id_, speaker, session, _ in rows}


def find_turns(database: sqlite3.Connection, column: str, name: str) -> list[tuple[int]]:
    """Return the ids of the memories of a speaker or a session, by the name of the column."""
    if not has_table(database, TURNS.name):
        return []
    question = f"SELECT id FROM memory_turns WHERE {column} = ?"  # noqa: S608
    return database.execute(question, (name,)).fetchall()


def read_recent(database: sqlite3.Connection, count: int) -> list[Item]:
    """Read the newest memories that have led to no insight, the oldest of them first."""
    rows = database.execute(
        "SELECT id FROM memories WHERE id NOT IN (SELECT source FROM memory_links) "
        "ORDER BY created DESC, id DESC LIMIT ?",
        (count,),
    ).fetchall()
    return read_items(database, [id_ for (id_,) in reversed(rows)])


def _item(row: Sequence[Any], sources: Sequence[int], turn: tuple[str, str]) -> Item:
    id_, text, kind, importance, created, used, times, tags, wordings = row
    with reading_rows(f"Memory {id_}"):
        return Item(
            id_, text, MemoryKind(kind), importance, datetime_of(created), datetime_of(used), times,
            tuple(json.loads(tags)), tuple(json.loads(wordings)), tuple(sources), *turn,
        )  # fmt: skip


def add(database: sqlite3.Connection, observation: Observation, now: int, vector: bytes) -> int:
    """Write a new memory, and return its id."""
    at = now if observation.at is None else milliseconds_of(observation.at)
    values = (
        observation.text, observation.kind.value, float(observation.importance), at, at,
        1, _words(observation.tags), "[]",
    )  # fmt: skip
    turn = (observation.speaker, observation.session)
    return insert(database, values, vector, observation.sources, turn)


def insert(
    database: sqlite3.Connection,
    values: Sequence[Any],
    vector: bytes,
    sources: Iterable[int],
    turn: tuple[str, str],
) -> int:
    """Write a row of COLUMNS without its id, its vector, links, speaker and session.

    Returns:
        The id.
    """
    id_ = database.execute(
        f"INSERT INTO memories ({', '.join(COLUMNS[1:])}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
        values,
    ).lastrowid
    assert id_ is not None
    write_checksum(database, MEMORY_ROWS, id_)
    row = (id_, vector)
    database.execute(
        "INSERT INTO memory_vectors VALUES (?, ?, ?)", (*row, MEMORY_VECTORS.checksum(row))
    )
    link(database, id_, sources)
    if any(turn):
        _create(database, MEMORY_TURNS)
        checksum = TURNS.checksum((id_, *turn))
        database.execute("INSERT INTO memory_turns VALUES (?, ?, ?, ?)", (id_, *turn, checksum))
    return id_


def copy(database: sqlite3.Connection, items: Sequence[Item], vectors: Sequence[bytes]) -> int:
    """Write new memories of another file without their links, and return how many there were."""
    known, count = _known(database), 0
    for item, vector in zip(items, vectors, strict=True):
        if _identity(item) not in known:
            values = (
                item.text, item.kind.value, item.importance, milliseconds_of(item.created),
                milliseconds_of(item.used), item.times, _json(item.tags), _json(item.wordings),
            )  # fmt: skip
            insert(database, values, vector, (), (item.speaker, item.session))
            count += 1
    return count


def copy_links(database: sqlite3.Connection, items: Sequence[Item]) -> None:
    """Write the links between copied memories of another file."""
    known = _known(database)
    here = {item.id: known[_identity(item)] for item in items if _identity(item) in known}
    for item in items:
        if item.id in here:
            link(database, here[item.id], [here[id_] for id_ in item.sources if id_ in here])


def _identity(item: Item) -> tuple[int, str, str]:
    return milliseconds_of(item.created), item.kind.value, item.text


def _known(database: sqlite3.Connection) -> dict[tuple[int, str, str], int]:
    rows = database.execute("SELECT created, kind, text, id FROM memories")
    return {(created, kind, text): id_ for created, kind, text, id_ in rows}


def merge(database: sqlite3.Connection, item: Item, observation: Observation, now: int) -> None:
    """Update a memory with a repeated observation."""
    at = now if observation.at is None else milliseconds_of(observation.at)
    text = observation.text.strip()
    known = {item.text.strip(), *item.wordings}
    wordings = item.wordings if text in known else (*item.wordings, text)
    database.execute(
        "UPDATE memories SET importance = max(importance, ?), created = min(created, ?), "
        "used = max(used, ?), times = times + 1, tags = ?, wordings = ? WHERE id = ?",
        (
            float(observation.importance), at, at,
            _words({*item.tags, *observation.tags}), _json(wordings), item.id,
        ),
    )  # fmt: skip
    write_checksum(database, MEMORY_ROWS, item.id)
    link(database, item.id, (source for source in observation.sources if source != item.id))


def link(database: sqlite3.Connection, insight: int, sources: Iterable[int]) -> None:
    """Link an insight to the memories it was concluded from.

    Raises:
        InputError: A memory does not exist.
    """
    wanted = sorted(set(sources))
    there = {item.id for item in read_items(database, wanted)}
    if missing := [source for source in wanted if source not in there]:
        raise InputError(
            f"There is no memory {missing[0]} to conclude from; `minnow memory list` shows the ids."
        )
    database.executemany(
        "INSERT OR IGNORE INTO memory_links (insight, source, checksum) VALUES (?, ?, ?)",
        [(insight, id_, MEMORY_LINKS.checksum((insight, id_))) for id_ in wanted],
    )


def touch(database: sqlite3.Connection, ids: Iterable[int], now: int) -> None:
    """Set the last use of memories."""
    for id_ in ids:
        database.execute("UPDATE memories SET used = max(used, ?) WHERE id = ?", (now, id_))
        write_checksum(database, MEMORY_ROWS, id_)


def remove(database: sqlite3.Connection, ids: Iterable[int]) -> None:
    """Drop memories, with their vectors and links."""
    database.executemany("DELETE FROM memories WHERE id = ?", [(int(id_),) for id_ in ids])


def _words(tags: Iterable[str]) -> str:
    return _json(sorted({tag.strip() for tag in tags}))


def _json(values: Iterable[str]) -> str:
    return json.dumps(list(values), ensure_ascii=False)
