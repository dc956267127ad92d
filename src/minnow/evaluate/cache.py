"""Cache of vectors, a SQLite file for each system; a reranker's logits are vectors of width 1.

The key of a row is the SHA-256 of a text and its role. So data sets that share texts share vectors,
and an interrupted run resumes where it stopped. A file may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING, Literal

import numpy as np

from minnow.errors import InputError, OutputError
from minnow.evaluate.results import ResourceUsage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from minnow.options import Role

    Floats = NDArray[np.float32]
    Kind = Role | Literal["pair"]

_VERSION = 1
_LOCK_TIMEOUT = 60.0  # seconds
_SCHEMA = """
CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS runs (
    measured TEXT NOT NULL, threads INTEGER NOT NULL, load_seconds REAL NOT NULL,
    texts INTEGER NOT NULL, seconds REAL NOT NULL, peak_bytes INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""


class VectorCache:
    """Vectors of one system, and the time and memory it used; safe for concurrent processes."""

    def __init__(self, folder: Path, fingerprint: str) -> None:
        """Open a system's file, and create it if it does not exist.

        Args:
            folder: The folder of the cache; it is created if necessary.
            fingerprint: The system's fingerprint.

        Raises:
            OutputError: The folder or the file cannot be written.
        """
        self.path = folder / f"vectors-{_VERSION}-{fingerprint[:32]}.sqlite"
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"Cannot create the cache folder {folder}: {error.strerror}. "
                "Name another with `cache=`."
            ) from error
        with self._faults():
            self._database = sqlite3.connect(self.path, timeout=_LOCK_TIMEOUT)
            try:
                self._database.executescript(_SCHEMA)
            except sqlite3.Error:
                self._database.close()
                raise

    def put(self, role: Kind, texts: Sequence[str], vectors: Floats) -> None:
        """Store vectors in one transaction: float32 of shape (texts, width)."""
        rows = [
            (_key(role, text), vector.astype("<f4").tobytes())
            for text, vector in zip(texts, vectors, strict=True)
        ]
        with self._faults(), self._database:
            self._database.executemany("INSERT OR REPLACE INTO vectors VALUES (?, ?)", rows)

    def missing(self, role: Kind, texts: Sequence[str]) -> list[str]:
        """Return the texts without a vector, each once, in order."""
        with self._faults():
            return [text for text in dict.fromkeys(texts) if self._find(role, text) is None]

    def get(self, role: Kind, texts: Sequence[str]) -> Floats:
        """Return the vectors of texts: float32 of shape (texts, width).

        Raises:
            InputError: One is missing or has another width than the others: the file was changed.
        """
        with self._faults():
            found = [self._find(role, text) for text in texts]
        widths = {None if row is None else len(row) for row in found}
        if None in widths or len(widths) > 1:
            raise InputError(f"The cache {self.path} is damaged. Delete it, and run again.")
        rows = np.frombuffer(b"".join(row for row in found if row), dtype="<f4")
        return rows.reshape(len(texts), -1).astype(np.float32)

    def add_run(
        self, *, threads: int, load_seconds: float, texts: int, seconds: float, peak_bytes: int
    ) -> None:
        """Store the time and memory that one process used."""
        row = (date.today().isoformat(), threads, load_seconds, texts, seconds, peak_bytes)  # noqa: DTZ011
        with self._faults(), self._database:
            self._database.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?)", row)

    def usage(self, threads: int) -> ResourceUsage | None:
        """Summarise the runs with a number of threads; None if there was none.

        Load time is the median, memory the maximum, speed all texts divided by all of the time.
        """
        with self._faults():
            rows = self._database.execute(
                "SELECT measured, load_seconds, texts, seconds, peak_bytes FROM runs "
                "WHERE threads = ? ORDER BY rowid",
                (threads,),
            ).fetchall()
        if not rows:
            return None
        days, loads, texts, seconds, peaks = zip(*rows, strict=True)
        speed = sum(texts) / sum(seconds) if sum(texts) else float("nan")
        return ResourceUsage(threads, float(np.median(loads)), speed, max(peaks), days[-1])

    def put_fact(self, name: str, value: str) -> None:
        """Store a fact that the running system reported about itself."""
        with self._faults(), self._database:
            self._database.execute("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, value))

    def fact(self, name: str) -> str | None:
        """Return a fact that the running system reported, or None."""
        with self._faults():
            row = self._database.execute(
                "SELECT value FROM facts WHERE name = ?", (name,)
            ).fetchone()
        return None if row is None else str(row[0])

    def clear(self) -> None:
        """Delete all rows."""
        with self._faults(), self._database:
            for table in ("vectors", "runs", "facts"):
                self._database.execute(f"DELETE FROM {table}")  # noqa: S608

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def __enter__(self) -> VectorCache:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _find(self, role: Kind, text: str) -> bytes | None:
        row = self._database.execute(
            "SELECT vector FROM vectors WHERE key = ?", (_key(role, text),)
        ).fetchone()
        return None if row is None else bytes(row[0])

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise OutputError(f"Cannot use the cache {self.path}: {error}.") from error
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"The cache {self.path} is damaged ({error}). Delete it, and run again."
            ) from error


def _key(role: Kind, text: str) -> bytes:
    return hashlib.sha256(f"{role}\0{text}".encode()).digest()
