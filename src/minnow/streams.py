"""Streams of texts from files and of vectors to files, in blocks, at flat memory."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

import numpy as np

from minnow.characters import replace_halves
from minnow.errors import InputError, OutputError
from minnow.files import whole_file
from minnow.text_files import GZIP, TEXT_KEYS, decode_line, read_lines, utf8_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float32]


def read_texts(name: str) -> Iterator[str]:
    """Read the texts of a file: its lines, or the `text` of each object in a .jsonl file.

    A path that ends in .jsonl.gz or .gz is decompressed. `minnow.text_files` has the encodings.

    Args:
        name: A path, or "-" for lines on standard input.

    Yields:
        Every text, also empty lines of plain text, so that row n of the vectors is line n of the
        file. Blank lines of a .jsonl file are no texts. Half of a surrogate pair that JSON spells
        becomes U+FFFD.

    Raises:
        InputError: The file cannot be read, a line is not UTF-8 or holds a NUL byte (which no
            text file does), or is not an object with a `text` (or `contents`, `content`); the
            message has the line number.
    """
    if name == "-":
        if sys.stdin is None:
            raise InputError("Standard input is closed.")
        lines, name = utf8_lines(sys.stdin.buffer, "standard input"), "standard input"
    else:
        lines = read_lines(Path(name))
    is_jsonl = name.lower().removesuffix(GZIP).endswith(".jsonl")
    for number, line in enumerate(lines, start=1):
        if is_jsonl and not line.strip():
            continue
        text = decode_line(line, number, name)
        yield _json_text(text, number, name) if is_jsonl else text


def _json_text(line: str, number: int, name: str) -> str:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        reason = error.msg if isinstance(error, json.JSONDecodeError) else str(error)
        shown = f"{reason}; it begins {line[:40]!r}"
        raise InputError(f"Line {number} of {name} is not a JSON object: {shown}.") from error
    text = (
        next((row[key] for key in TEXT_KEYS if key in row), None) if isinstance(row, dict) else None
    )
    if not isinstance(text, str):
        raise InputError(f'Line {number} of {name} is not a JSON object with a "text" string.')
    return replace_halves(text)


class VectorWriter(Protocol):
    """A writer of blocks of vectors, in order."""

    def write(self, texts: Sequence[str], vectors: Floats) -> None:
        """Append the vectors of these texts: float32 of shape (texts, width)."""
        ...


@contextmanager
def vector_file(path: Path, width: int) -> Iterator[VectorWriter]:
    """Open a file for vectors; it replaces an older file when all are written.

    Args:
        path: Ends in .npy (one float32 array of shape (texts, width)) or .jsonl (an object with
            `text` and `embedding` per line).
        width: Length of a vector.

    Raises:
        OutputError: The path has another ending, or the file cannot be written; an older one is
            kept.
    """
    kinds: dict[str, type[NpyWriter | JsonlWriter]] = {".npy": NpyWriter, ".jsonl": JsonlWriter}
    if path.suffix not in kinds:
        raise OutputError(f"{path} should end in .npy or .jsonl.")
    with whole_file(path) as staged, staged.open("xb") as file:
        writer = kinds[path.suffix](file, width)
        yield writer
        writer.finish()


class NpyWriter:
    """Writer of one float32 array; it writes the header again when the number of rows is known.

    NumPy leaves room in a header for the first axis to grow (numpy.lib.format, GROWTH_AXIS).
    """

    def __init__(self, file: IO[bytes], width: int) -> None:
        self._file, self._width, self._rows = file, width, 0
        self._write_header()
        self._header_end = file.tell()

    def write(self, texts: Sequence[str], vectors: Floats) -> None:
        """Append vectors: float32 of shape (texts, width)."""
        self._file.write(np.ascontiguousarray(vectors, dtype="<f4").data)
        self._rows += len(texts)

    def finish(self) -> None:
        """Write the header again, with the number of rows."""
        self._file.seek(0)
        self._write_header()
        if self._file.tell() != self._header_end:
            raise OutputError("The .npy header did not keep its length; write .jsonl instead.")

    def _write_header(self) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": (self._rows, self._width)}
        np.lib.format.write_array_header_1_0(self._file, header)


class JsonlWriter:
    """Writer of an object with `text` and `embedding` per line."""

    def __init__(self, file: IO[bytes], width: int) -> None:
        del width
        self._file = file

    def write(self, texts: Sequence[str], vectors: Floats) -> None:
        """Append vectors: float32 of shape (texts, width)."""
        for text, vector in zip(texts, vectors, strict=True):
            row = {"text": text, "embedding": vector.tolist()}
            self._file.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")

    def finish(self) -> None:
        """Do nothing: all is written."""


class LineWriter:
    """Writer of a JSON array per line."""

    def __init__(self, file: IO[bytes], width: int) -> None:
        del width
        self._file = file

    def write(self, texts: Sequence[str], vectors: Floats) -> None:
        """Write vectors: float32 of shape (texts, width)."""
        del texts
        for vector in vectors:
            self._file.write(json.dumps(vector.tolist()).encode() + b"\n")
