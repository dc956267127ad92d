"""Files of one record a line, plain or compressed, whose errors name the file and the line."""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, TypeVar

import msgspec

from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GZIP = ".gz"
_Row = TypeVar("_Row")


def read_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the number and content of each line that is not blank.

    A byte order mark and line ends are removed. A file whose name ends in .gz is decompressed.

    Raises:
        InputError: The file cannot be read.
    """
    try:
        with gzip.open(path) if path.name.endswith(GZIP) else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                content = line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
                if content.strip():
                    yield number, content.rstrip(b"\r\n")
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"Cannot read {path}: {reason}.") from error


def read_rows(path: Path, kind: type[_Row], fields: str) -> Iterator[tuple[int, _Row]]:
    """Yield the number of each line and the JSON object on it.

    Args:
        path: The file, as `read_lines` reads it.
        kind: The msgspec type of a row.
        fields: The names of its fields, for the error message.

    Raises:
        InputError: The file cannot be read, or a line is not such an object.
    """
    decoder = msgspec.json.Decoder(kind)
    for number, line in read_lines(path):
        try:
            yield number, decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            problem = f"is not a JSON object with {fields}: {error}"
            raise line_error(path, number, problem) from error


def line_error(path: Path, number: int, problem: str) -> InputError:
    """Return the error for a line: `problem` is a predicate, such as "repeats the id 'd1'"."""
    return InputError(f"Line {number} of {path} {problem}.")
