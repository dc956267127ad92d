"""Vectors of a file under migration: those of the new model, and predictions for the others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from minnow.indexfile.checksums import check_rows, read_checked
from minnow.indexfile.encodings import decode_rows
from minnow.indexfile.matrix import Matrix, read_vectors
from minnow.indexfile.schema import second_generation

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from minnow.indexfile.checksums import CheckedTable
    from minnow.indexfile.encodings import Floats, Ids
    from minnow.indexfile.generations import Alignment
    from minnow.vectors import VectorEncoding

_AT_A_TIME = 4096


class MixedMatrix(Matrix):
    """The vectors of a table in the space of the new model.

    Both kinds are compared with a question in the same way, and their scores are ranked together:
    docs/benchmarks.md measures that neither kind gains from another scale.
    """

    def __init__(
        self,
        table: CheckedTable,
        widths: tuple[int, int],
        encoding: VectorEncoding,
        alignment: Alignment,
        *,
        units: tuple[bool, bool],
    ) -> None:
        """Hold no rows yet; `widths` and `units` are those of the old model and the new one."""
        super().__init__(table, widths[1], encoding, unit=units[1])
        self._old_width, self._old_unit = widths[0], units[0]
        self._alignment = alignment
        self._migrated: Ids = np.empty(0, np.int64)

    def refresh(self, database: sqlite3.Connection, ids: Ids) -> None:
        """Read new rows and newly migrated ones, and drop deleted ones; see `Matrix.refresh`."""
        super().refresh(database, ids)
        second = second_generation(self._table)
        rows = database.execute(f"SELECT id FROM {second.name} ORDER BY id").fetchall()  # noqa: S608
        there = np.intersect1d(np.array(rows, np.int64).ravel(), ids, assume_unique=True)
        fresh = np.setdiff1d(there, self._migrated, assume_unique=True)
        for start in range(0, len(fresh), _AT_A_TIME):
            some = fresh[start : start + _AT_A_TIME]
            condition = "WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id"
            block = list(read_checked(database, second, condition, (json.dumps(some.tolist()),)))
            check_rows(database, second, block)
            blobs = [row[1] for row in block]
            vectors = decode_rows(blobs, self._width, self._encoding, unit=self._unit)
            self._replace(np.searchsorted(self.ids, some), vectors)
        self._migrated = there

    def _read(self, database: sqlite3.Connection, after: int) -> Iterator[tuple[Ids, Floats]]:
        blocks = read_vectors(
            database, self._table, after, self._old_width, self._encoding, unit=self._old_unit
        )
        for ids, vectors in blocks:
            yield ids, self._alignment.predict(vectors)
