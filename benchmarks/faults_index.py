"""Faults of index files, their memories and their sidecars.

Answers of a file are compared with those of the intact one: searches of all modes, filters, and
memories. A fault ends well if they are the same, or if a line of minnow's names it.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import sys
import time
import warnings
from contextlib import closing
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from faults_base import (
    ROOT,
    Kind,
    Outcome,
    World,
    damage_bytes,
    in_child,
    replace_by_other,
)

from minnow.errors import IndexFileError
from minnow.memory import Memory
from minnow.search import Collection, Index, Record, open_index, open_store

sys.path.insert(0, str(ROOT / "tests"))

from fakes.searching import FakeModel, run_index

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER = "index-files"
NAME = "a.index"
WORDS = ("fish", "eel", "trout", "river", "lake", "boat", "train", "kettle", "vinegar", "window")
QUESTIONS = ("fish river boat", "kettle vinegar", '"eel trout"')
VALUES = (
    None, 0, -1, 1, 2**31, 2**62, -(2**63), 1e999, -1e999, 0.5, "", "x", "{", "{}", "[]", "NaN",
    '{"a": 1e999}', "[" * 5000, '{"a":' * 5000, "\x00", "\ud7ff", b"", b"\xff", b"\x00" * 48,
    b"x" * 5000, '{"width": -1}', "9" * 400,
)  # fmt: skip


def _clock() -> datetime:
    return datetime(2026, 1, 1, tzinfo=timezone.utc)


def _base(world: World) -> Path:
    """Return a folder with an index of documents, records, memories and a sidecar."""
    folder = world.folder / FOLDER
    if not folder.exists():
        folder.mkdir()
        rng = random.Random(1)
        docs = folder / "docs"
        docs.mkdir()
        for number in range(8):
            lines = [" ".join(rng.choices(WORDS, k=12)) + "." for _ in range(12)]
            (docs / f"{number}.md").write_text(f"# {number}\n\n" + "\n\n".join(lines) + "\n")
        rows = [{"id": str(i), "text": " ".join(rng.choices(WORDS, k=9)), "lang": "ab"[i % 2]}
                for i in range(20)]  # fmt: skip
        (docs / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        here = Path.cwd()
        os.chdir(folder)
        try:
            _fill(Path(NAME))
        finally:
            os.chdir(here)
    return folder


def _fill(file: Path) -> None:
    run_index(file, Path("docs"))
    with Collection(file, FakeModel(), "songs") as songs:
        songs.put([Record(str(i), f"{word} song", {"n": i}) for i, word in enumerate(WORDS)])
    with Memory(open_store(file, writable=True), FakeModel(), clock=_clock) as memory:
        ids = [memory.remember(f"Emma saw a {word}.", tags=[word]).id for word in WORDS]
        memory.remember("Emma likes water.", sources=ids[:3])
    store = open_store(file, writable=True)
    store.compact()
    store.close()
    with Index(open_store(file), sidecar="never") as index:
        index.build_sidecar()


def _answers(file: Path, sidecar: str = "never") -> list[Any]:
    """Return what searches and memories answer.

    Ids and the order of equal scores are left out: they are others after a document was read again.
    """
    found: list[Any] = []
    use: Any = sidecar
    with Index(open_store(file), FakeModel(), sidecar=use) as index:
        for question in QUESTIONS:
            for mode in ("vector", "keyword", "hybrid"):
                hits = index.search(question, 500, mode=mode)
                found.append(sorted((-hit.score, repr(_facts(hit))) for hit in hits))
        for where in ("metadata->>'lang' = 'a'", "text LIKE '%eel boat%'", "source LIKE 'docs/1%'"):
            found.append(sorted(map(repr, (_facts(hit) for hit in index.select(where)))))
    with Memory(open_store(file), FakeModel(), clock=_clock) as memory:
        for question in QUESTIONS:
            recalled = memory.recall(question, 20, touch=False)
            found.append([(one.score, one.item.text, one.item.tags) for one in recalled])
        found.append([(item.text, item.importance, item.sources) for item in memory.items()])
    return found


def _facts(hit: Any) -> dict[str, Any]:
    return {key: value for key, value in hit.facts().items() if key not in ("id", "rank")}


def _expected(world: World) -> list[Any]:
    if FOLDER not in world.expected:
        world.expected[FOLDER] = _answers(_base(world) / NAME)
    return world.expected[FOLDER]  # type: ignore[no-any-return]


def _scratch(world: World) -> Path:
    """Copy the base folder, and make it the current one: names in an index are relative."""
    folder = Path(shutil.copytree(_base(world), world.scratch / FOLDER))
    os.chdir(folder)
    return folder / NAME


def _compare(world: World, file: Path, sidecar: str = "never") -> str:
    right = _expected(world)

    def work() -> str:
        warnings.simplefilter("ignore")
        return "" if _answers(file, sidecar) == right else "other answers, in silence"

    return in_child(work)


def _repaired(world: World, file: Path, fault: str) -> str:
    """Index again; where that succeeds, everything has to be right."""
    right = _expected(world)

    def work() -> str:
        warnings.simplefilter("ignore")
        run_index(file, Path("docs"))
        store = open_store(file, writable=True)
        faults = store.check()
        store.close()
        if faults:
            return f"{fault}: indexed with success, and then: {faults[:3]}"
        return "" if _answers(file) == right else f"{fault}: indexed with success, other answers"

    return in_child(work)


def flipped_bit(world: World, rng: random.Random) -> Outcome:
    """Flip one bit of the file; then search, or index again."""
    file = _scratch(world)
    content = bytearray(file.read_bytes())
    at = rng.randrange(len(content) * 8)
    content[at // 8] ^= 1 << at % 8
    file.write_bytes(bytes(content))
    fault = f"bit {at}"
    if rng.random() < 0.5:
        return Outcome(fault, _compare(world, file))
    return Outcome(fault, _repaired(world, file, fault))


def damaged_bytes(world: World, rng: random.Random) -> Outcome:
    """Cut, insert, remove or overwrite bytes of the file; then search, or index again."""
    file = _scratch(world)
    fault = damage_bytes(file, rng)
    if rng.random() < 0.5:
        return Outcome(fault, _compare(world, file))
    return Outcome(fault, _repaired(world, file, fault))


def hostile_value(world: World, rng: random.Random) -> Outcome:
    """Put a strange value, or another row's, into a column; sometimes with its right checksum."""
    from minnow.indexfile.schema import FACTS, checked_tables

    file = _scratch(world)
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        table = rng.choice([*checked_tables(database), FACTS])
        triggers = database.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall()
        for name, _ in triggers:
            database.execute(f"DROP TRIGGER {name}")
        column = rng.choice(table.columns)
        keys = table.columns[: table.keys]
        rows = database.execute(f"SELECT {', '.join(keys)} FROM {table.name}").fetchall()
        row, other = rng.choice(rows), rng.choice(rows)
        condition = " AND ".join(f"{key} = ?" for key in keys)
        value = rng.choice(VALUES)
        if rng.random() < 0.3:
            value = database.execute(
                f"SELECT {column} FROM {table.name} WHERE {condition}", other
            ).fetchone()[0]
        fault = f"{table.name}.{column} of {row} = {value!r:.40}"
        sealed = rng.random() < 0.5
        try:
            database.execute(
                f"UPDATE {table.name} SET {column} = ? WHERE {condition}", (value, *row)
            )
            if sealed:
                _seal(database, table)
        except (sqlite3.IntegrityError, sqlite3.OperationalError, OverflowError, UnicodeError):
            return Outcome(f"{fault} is not possible")
        for _, sql in triggers:
            database.execute(sql)
    fault += " with its checksum" * sealed
    if not sealed:
        repairs = rng.random() < 0.5
        bad = _repaired(world, file, fault) if repairs else _compare(world, file)
        return Outcome(fault, bad)

    def work() -> str:  # a value with its checksum is content: it may answer, without a traceback
        warnings.simplefilter("ignore")
        _answers(file)
        run_index(file, Path("docs"))
        return ""

    return Outcome(fault, in_child(work))


def _seal(database: sqlite3.Connection, table: Any) -> None:
    rows = database.execute(f"SELECT {', '.join(table.columns)} FROM {table.name}").fetchall()
    condition = " AND ".join(f"{key} IS ?" for key in table.columns[: table.keys])
    for row in rows:
        database.execute(
            f"UPDATE {table.name} SET checksum = ? WHERE {condition}",
            (table.checksum(row), *row[: table.keys]),
        )
    if table.counted:
        database.execute(
            f"UPDATE sums SET rows = (SELECT count(*) FROM {table.name}), "
            f"total = (SELECT sum(checksum) FROM {table.name}) WHERE name = ?",
            (table.name,),
        )


def other_place(world: World, rng: random.Random) -> Outcome:
    """Put a pipe, socket, folder or other thing in the place of a file; search and index."""
    file = _scratch(world)
    names = [NAME, f"{NAME}-wal", f"{NAME}-shm", f"{NAME}-journal", f"{NAME}.usearch", "docs/1.md"]
    place = file.parent / rng.choice(names)
    place.touch()
    fault = replace_by_other(place, rng)

    def work() -> str:
        warnings.simplefilter("ignore")
        _answers(file, "always")
        return ""

    def again() -> str:
        run_index(file, Path("docs"))
        return ""

    return Outcome(fault, in_child(work, 30) or in_child(again, 30))


def damaged_sidecar(world: World, rng: random.Random) -> Outcome:
    """Damage the sidecar: it is not used then, and search is exact."""
    file = _scratch(world)
    fault = damage_bytes(file.with_name(f"{NAME}.usearch"), rng)
    return Outcome(fault, _compare(world, file, "always"))


def damaged_log(world: World, rng: random.Random) -> Outcome:
    """Damage SQLite's log of a process that was killed: old or new, or named."""
    file = _scratch(world)
    right = _expected(world)

    def write() -> str:
        memory = Memory(open_store(file, writable=True), FakeModel(), clock=_clock)
        for number in range(3):
            memory.remember(f"Number {number}")
        os.kill(os.getpid(), signal.SIGKILL)
        return ""

    in_child(write)
    log = file.with_name(f"{NAME}-wal")
    fault = damage_bytes(log, rng)

    def work() -> str:
        warnings.simplefilter("ignore")
        with Memory(open_store(file, writable=True), FakeModel(), clock=_clock) as memory:
            texts = [item.text for item in memory.items(where="text LIKE 'Number %'")][::-1]
            if texts != [f"Number {n}" for n in range(len(texts))]:
                return f"memories are {texts}"
            memory.forget(*(item.id for item in memory.items(where="text LIKE 'Number %'")))
        return "" if _answers(file) == right else "other answers, in silence"

    return Outcome(fault, in_child(work))


def killed_writer(world: World, rng: random.Random) -> Outcome:
    """Kill a process that writes, at a random moment; the file is old or new afterwards."""
    file = _scratch(world)
    right = _expected(world)
    works: dict[str, Callable[[], object]] = {
        "index": lambda: run_index(file, Path("docs")),
        "rebuild": lambda: run_index(file, Path("docs"), rebuild=True),
        "put": lambda: _put(file),
        "forget": lambda: _forget(file),
        "sidecar": lambda: _build_sidecar(file),
    }
    name = rng.choice(sorted(works))
    if name == "index":
        (file.parent / "docs" / "new.md").write_text("a new eel\n\n" * 40)
    elif name == "sidecar":
        file.with_name(f"{NAME}.usearch").unlink()
    moment = rng.random() * 0.12
    child = os.fork()
    if child == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        try:
            while True:
                works[name]()
        finally:
            os._exit(0)
    time.sleep(moment)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

    def work() -> str:
        warnings.simplefilter("ignore")
        store = open_store(file, writable=True)
        faults = store.check()
        store.close()
        if faults:
            return str(faults[:3])
        (file.parent / "docs" / "new.md").unlink(missing_ok=True)
        run_index(file, Path("docs"))
        with Collection(file, FakeModel(), "killed") as killed:
            sizes = len(killed.select())
            killed.remove()
        if sizes not in (0, 5):
            return f"{sizes} of 5 records are there"
        with Memory(open_store(file, writable=True), FakeModel(), clock=_clock) as memory:
            memory.forget(*(item.id for item in memory.items(where="text LIKE 'Killed %'")))
        left = sorted(path.name for path in file.parent.iterdir())
        if set(left) - {NAME, "docs", f"{NAME}.usearch"}:
            return f"left behind: {left}"
        return "" if _answers(file) == right else "other answers, in silence"

    return Outcome(f"{name} killed after {moment:.3f} s", in_child(work))


def _put(file: Path) -> None:
    with Collection(file, FakeModel(), "killed") as records:
        records.put([Record(str(number), f"a killed eel {number}") for number in range(5)])
        records.remove()


def _forget(file: Path) -> None:
    with Memory(open_store(file, writable=True), FakeModel(), clock=_clock) as memory:
        memory.forget(memory.remember("Killed while it was remembered.").id)


def _build_sidecar(file: Path) -> None:
    file.with_name(f"{NAME}.usearch").unlink(missing_ok=True)
    with Index(open_store(file), sidecar="never") as index:
        index.build_sidecar()


def replaced_file(world: World, rng: random.Random) -> Outcome:
    """Replace or remove the file while it is open: old answers, or a refusal; nothing is lost."""
    file = _scratch(world)
    right = _expected(world)
    how = rng.choice(["rename", "remove", "overwrite", "truncate"])

    def work() -> str:
        warnings.simplefilter("ignore")
        memory = Memory(open_store(file, writable=True), FakeModel(), clock=_clock)
        other = file.with_name("b.index")
        open_index(other, FakeModel()).close()
        if how == "rename":
            other.replace(file)
        elif how == "remove":
            file.unlink()
        elif how == "overwrite":
            file.write_bytes(other.read_bytes())
        else:
            os.truncate(file, rng.randrange(file.stat().st_size))
        try:
            memory.remember("Written into nothing.")
        except Exception as error:
            if type(error).__module__ != "minnow.errors":
                raise
            return ""
        try:
            with Memory(open_store(file), FakeModel(), clock=_clock) as again:
                texts = [item.text for item in again.items()]
        except IndexFileError:
            return ""
        return "" if "Written into nothing." in texts and right else "a memory was lost"

    return Outcome(how, in_child(work))


KINDS: dict[str, tuple[int, Kind]] = {
    "index-bit": (120, flipped_bit),
    "index-bytes": (40, damaged_bytes),
    "index-value": (80, hostile_value),
    "index-place": (20, other_place),
    "index-sidecar": (15, damaged_sidecar),
    "index-log": (20, damaged_log),
    "index-killed": (30, killed_writer),
    "index-replaced": (10, replaced_file),
}
