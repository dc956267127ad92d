"""Finished files of vectors in a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from pyarrow import parquet

from minnow.cluster.parts import PartRecord, read_record, stem_of
from minnow.cluster.places import Place, read_many, reading
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

    @property
    def job(self) -> dict[str, Any]:
        """The bundle, column and options that made its vectors; see `Job.identity`."""
        values: dict[str, Any] = msgspec.json.decode(self.record.job)
        return values

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Read columns of it, by default all.

        Raises:
            InputError: It cannot be read.
        """
        with reading(self.place), self.place.filesystem.open_input_file(self.place.path) as stream:
            return parquet.ParquetFile(stream).read(columns=columns)


def finished_places(folder: Place) -> list[Place]:
    """Find the files with the name of a finished file, in and below a folder."""
    places = [Place(folder.filesystem, path) for path in folder.files()]
    return [place for place in places if stem_of(place.name)]


def finished_files(folder: str | Path, filesystem: Any = None) -> list[FinishedFile]:
    """Find the finished files of a folder, by source and first row.

    Raises:
        InputError: There is none, or one cannot be read.
    """
    place = Place.of(folder, filesystem)
    with reading(place):
        places = finished_places(place)
    if not places:
        raise InputError(f"There are no vectors in {folder}: `minnow embed` writes such files.")
    found = map(FinishedFile, places, read_many(read_record, places))
    return sorted(found, key=lambda file: (file.record.source, file.record.start))
