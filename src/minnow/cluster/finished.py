"""Finished files of vectors, as they are found in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyarrow import parquet

from minnow.cluster.parts import PartRecord, read_record, stem_of
from minnow.cluster.places import Place, many, reading
from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa


@dataclass(frozen=True)
class FinishedFile:
    """A finished file.

    Attributes:
        place: Where it lies.
        record: What it says of itself.
    """

    place: Place
    record: PartRecord

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read columns of it, by default all.

        Raises:
            InputError: It cannot be read.
        """
        with reading(self.place), self.place.filesystem.open_input_file(self.place.path) as stream:
            return parquet.ParquetFile(stream).read(columns=columns)


def finished_files(folder: str | Path, filesystem: Any = None) -> list[FinishedFile]:
    """Find the finished files of a folder, by source and first row.

    Raises:
        InputError: There is none, or one cannot be read.
    """
    place = Place.of(folder, filesystem)
    with reading(place):
        paths = [path for path in place.files() if stem_of(path.rpartition("/")[2])]
    if not paths:
        raise InputError(f"There are no vectors in {folder}: `minnow embed` writes such files.")
    places = [Place(place.filesystem, path) for path in paths]
    found = map(FinishedFile, places, many(read_record, places))
    return sorted(found, key=lambda file: (file.record.source, file.record.start))
