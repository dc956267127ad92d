"""Parts of a corpus: rows of a Parquet file that are embedded together, and their finished file."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa
from pyarrow import compute, ipc, parquet

from minnow.cluster.columns import ERROR, RESULTS, SCALE, TRUNCATED, VECTOR
from minnow.cluster.places import PARQUET, Place, read_many, reading
from minnow.errors import InputError
from minnow.indexfile.fingerprint import Fingerprint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from minnow.cluster.job import Job

ROWS = 16_384
"""Rows of a part, unless the caller chooses: a killed worker loses as many."""
KEY = b"minnow"
ID = "id"
_NAME = re.compile(r"(.+-[0-9a-f]{8})-\d{10}-[0-9a-f]{16}\.parquet")


@dataclass(frozen=True)
class PartSample:
    """Rows of a part that another process has embedded again.

    Attributes:
        rows: Their numbers in the part.
        vectors: float32 of shape (rows, width) as bytes; they are little-endian.
        worst: The least cosine to the vectors in the file; 1 where there is no row.
        engine: The engine of that process.
        host: The machine and the process, as `HOST/PID`.
    """

    rows: list[int]
    vectors: bytes
    worst: float
    engine: str
    host: str


@dataclass(frozen=True)
class PartRecord:
    """Record of a finished file, which is stored in the metadata of its schema.

    Attributes:
        fingerprint: The model, and how its vectors are made.
        job: What was computed; see `Job.identity`.
        key: Digest of the job and of the rows with all their columns.
        source: Name of the file that the rows are from, in its folder.
        start: Number of the first row there.
        rows: Number of rows.
        errors: Rows without a result.
        truncated: Rows whose text was cut off.
        engine: The engine of the writer.
        host: The machine and the process of the writer, as `HOST/PID`.
        sample: Rows that its neighbour has embedded again.
        format: The version of this form.
    """

    fingerprint: Fingerprint
    job: msgspec.Raw
    key: str
    source: str
    start: int
    rows: int
    errors: int
    truncated: int
    engine: str
    host: str
    sample: PartSample
    format: int = 1


@dataclass(frozen=True)
class CorpusPart:
    """Rows of a Parquet file that follow each other.

    Attributes:
        folder: The folder of the file.
        source: Its name there.
        start: Number of the first row.
        rows: Number of rows.
        keep: The columns to keep; None keeps all.
    """

    folder: Place
    source: str
    start: int
    rows: int
    keep: tuple[str, ...] | None = None

    def file_name(self, key: str) -> str:
        """Return the name of its finished file: source, first row, and what is in it."""
        return f"{file_stem(self.source)}-{self.start:010d}-{key[:16]}{PARQUET}"

    def read(self, job: Job) -> pa.Table:
        """Read its rows, without decoding more of the file than the row groups that hold them.

        A column `id` is made of the source and the number of the row where there is none.

        Raises:
            InputError: The file cannot be read, has fewer rows by now, or lacks a column.
        """
        place = self.folder / self.source
        stop, found = self.start + self.rows, []
        with reading(place), place.filesystem.open_input_file(place.path) as stream:
            file = parquet.ParquetFile(stream)
            _check_columns(place, file.schema_arrow.names, (*job.columns, *(self.keep or ())))
            groups, first = _groups(file.metadata, self.start, stop)
            batches = file.iter_batches(ROWS, row_groups=groups, columns=self._columns(job, file))
            for batch in batches:
                low, high = max(self.start, first), min(stop, first + len(batch))
                if low < high:
                    found.append(batch.slice(low - first, high - low))
                first += len(batch)
                if first >= stop:
                    break
        if sum(map(len, found)) != self.rows:
            raise InputError(f"{place} has fewer rows than when it was counted. Run it again.")
        table = pa.Table.from_batches(found).replace_schema_metadata(None)
        if ID in table.column_names:
            return table
        ids = [f"{self.source}#{self.start + i}" for i in range(self.rows)]
        return table.add_column(0, ID, pa.array(ids, pa.string()))

    def _columns(self, job: Job, file: parquet.ParquetFile) -> list[str] | None:
        if self.keep is None:
            return None
        wanted = {ID, *job.columns, *self.keep}
        return [name for name in file.schema_arrow.names if name in wanted]


def _check_columns(place: Place, there: Sequence[str], wanted: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in there]
    if missing:
        columns = ", ".join(there)
        raise InputError(f"{place} has no column {missing[0]!r}; it has {columns}.")


def _groups(metadata: Any, start: int, stop: int) -> tuple[list[int], int]:
    """Return the row groups that hold rows of a range, and the number of their first row."""
    groups: list[int] = []
    first = row = 0
    for number in range(metadata.num_row_groups):
        rows = metadata.row_group(number).num_rows
        if row < stop and row + rows > start:
            first = first if groups else row
            groups.append(number)
        row += rows
    return groups, first


def plan_parts(
    folder: Place, names: Sequence[str], rows: int = ROWS, keep: Sequence[str] | None = None
) -> Iterator[CorpusPart]:
    """Divide Parquet files into parts; rows that are appended to a file change its last part only.

    Args:
        folder: The folder of the files.
        names: Their names there.
        rows: The most rows of a part.
        keep: The columns to keep; None keeps all.

    Raises:
        InputError: A file cannot be read.
    """
    counted = read_many(count_rows, [folder / name for name in names])
    for name, count in zip(names, counted, strict=True):
        for start in range(0, count, rows):
            size = min(rows, count - start)
            yield CorpusPart(folder, name, start, size, None if keep is None else tuple(keep))


def count_rows(place: Place) -> int:
    """Read the number of a Parquet file's rows.

    Raises:
        InputError: It cannot be read.
    """
    with reading(place), place.filesystem.open_input_file(place.path) as stream:
        return int(parquet.ParquetFile(stream).metadata.num_rows)


def file_stem(source: str) -> str:
    """Return the beginning of the names of all finished files of a source."""
    readable = re.sub(r"[^\w.-]+", "-", source.removesuffix(PARQUET))[-60:].lstrip("._-")
    return f"{readable or 'part'}-{hashlib.sha256(source.encode()).hexdigest()[:8]}"


def stem_of(name: str) -> str | None:
    """Return the beginning of a finished file's name; None for the name of another file."""
    found = _NAME.fullmatch(name)
    return found[1] if found else None


def content_digest(table: pa.Table, job: bytes) -> str:
    """Return the digest of a job and of rows with all their columns, but those of results.

    Arrow's stream format is hashed: the names, types and values. `take` copies the rows, because a
    slice of a longer column is written with bytes of its other rows.

    Args:
        table: The rows.
        job: `Job.identity`.
    """
    names = [name for name in table.column_names if name not in RESULTS]
    rows = table.select(names).replace_schema_metadata(None).combine_chunks()
    digest = hashlib.sha256(job)
    with ipc.new_stream(_Hashing(digest), rows.schema) as stream:
        stream.write_table(rows.take(pa.array(range(len(rows)), pa.int64())))
    return digest.hexdigest()


class _Hashing:
    """A file that hashes what is written to it."""

    closed = False

    def __init__(self, digest: Any) -> None:
        self._digest = digest

    def write(self, content: Any) -> int:
        self._digest.update(content)
        return len(content)

    def flush(self) -> None:
        pass


def with_record(table: pa.Table, record: PartRecord) -> pa.Buffer:
    """Return the content of a finished file: a Parquet file with its record.

    Vectors of floats are stored plainly: to look for repeated numbers in them takes longer than all
    the rest of a row, and finds none. Those of int8 get a dictionary: Parquet has no numbers of a
    byte, and would take four for each.
    """
    table = table.replace_schema_metadata({KEY: msgspec.json.encode(record)})
    others = [name for name in table.column_names if name != VECTOR]
    sink = pa.BufferOutputStream()
    parquet.write_table(
        table, sink, compression={**dict.fromkeys(others, "zstd"), VECTOR: "none"},
        use_dictionary=True if SCALE in others else others, write_statistics=others,
    )  # fmt: skip
    return sink.getvalue()


def read_record(place: Place) -> PartRecord:
    """Read the record of a finished file.

    Raises:
        InputError: It is no such file, or from a newer minnow.
    """
    with reading(place), place.filesystem.open_input_file(place.path) as stream:
        metadata = parquet.ParquetFile(stream).schema_arrow.metadata or {}
    if KEY not in metadata:
        raise InputError(f"{place} was not written by `minnow embed`: it has no record.")
    try:
        record = msgspec.json.decode(metadata[KEY], type=PartRecord)
    except msgspec.MsgspecError as error:
        raise InputError(f"The record of {place} cannot be read: {error}.") from error
    if record.format > 1:
        raise InputError(f"{place} has format {record.format}. Update minnow.")
    return record


def counts(table: pa.Table) -> tuple[int, int]:
    """Count the rows of a result that have an error, and those whose text was cut off."""
    errors = len(table) - table.column(ERROR).null_count
    return errors, int(compute.sum(table.column(TRUNCATED)).as_py() or 0)
