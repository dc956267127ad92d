"""Files of one record a line, or a row, whose errors name the file and the line."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeVar

import msgspec

from minnow import text_files
from minnow.characters import replace_json_halves
from minnow.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GZIP = text_files.GZIP
PARQUET = ".parquet"
_COLUMNS = ("_id", "id", "text", "title", "query-id", "corpus-id", "score")
"""Columns of published data sets that are read; others may hold images."""

_Row = TypeVar("_Row")


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the number and content of each line that is not blank; see `minnow.text_files`.

    Raises:
        InputError: The file cannot be read.
    """
    for number, line in enumerate(text_files.read_lines(path), start=1):
        if line.strip():
            yield number, line


def read_rows(path: Path, kind: type[_Row], fields: str) -> Iterator[tuple[int, _Row]]:
    """Yield the number of each line and the JSON object on it, or of each row of a parquet file.

    Args:
        path: The file, as `read_lines` reads it, or a .parquet file.
        kind: The msgspec type of a row.
        fields: The names of its fields, for the error message.

    Raises:
        InputError: The file cannot be read, or a line is not such an object.
        MissingExtraError: The file is parquet, and the extra `parquet` is not installed.
    """
    decoder = msgspec.json.Decoder(kind)
    if path.suffix == PARQUET:
        records = ((n, msgspec.json.encode(row)) for n, row in _read_parquet(path))
    else:
        records = ((n, replace_json_halves(line)) for n, line in read_lines(path))
    for number, record in records:
        try:
            yield number, _decode(record, decoder, kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            problem = f"is not a JSON object with {fields}: {error}"
            raise line_error(path, number, problem) from error


def _decode(record: bytes, decoder: msgspec.json.Decoder[_Row], kind: type[_Row]) -> _Row:
    """Decode a row; NaN and Infinity, which Python's json writes, are read in keys of no matter."""
    try:
        return decoder.decode(record)
    except msgspec.DecodeError as error:
        try:
            content = json.loads(record, parse_constant=lambda _: None)
        except ValueError:
            raise error from None
        return msgspec.convert(content, kind)


def _read_parquet(path: Path) -> Iterator[tuple[int, dict[str, object]]]:
    """Yield the number and content of each row of a parquet file, a batch at a time."""
    try:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise MissingExtraError("Reading parquet files", "parquet") from error
    number = 0
    try:
        with ParquetFile(path) as file:
            wanted = [name for name in file.schema_arrow.names if name in _COLUMNS]
            for batch in file.iter_batches(columns=wanted):
                for row in batch.to_pylist():
                    number += 1
                    yield number, row
    except (OSError, ArrowException) as error:
        raise InputError(f"Cannot read {path}: {error}.") from error


def line_error(path: Path, number: int, problem: str) -> InputError:
    """Return the error for a line: `problem` is a predicate, such as "repeats the id 'd1'"."""
    unit = "Row" if path.suffix == PARQUET else "Line"
    return InputError(f"{unit} {number} of {path} {problem}.")
