"""Files of one record a line, whose errors name the file and the line."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from minnow import text_files
from minnow.characters import replace_json_halves
from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GZIP = text_files.GZIP
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
            yield number, decoder.decode(replace_json_halves(line))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            problem = f"is not a JSON object with {fields}: {error}"
            raise line_error(path, number, problem) from error


def line_error(path: Path, number: int, problem: str) -> InputError:
    """Return the error for a line: `problem` is a predicate, such as "repeats the id 'd1'"."""
    return InputError(f"Line {number} of {path} {problem}.")
