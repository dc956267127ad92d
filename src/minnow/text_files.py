"""Text files in the encodings that editors and shells write, read whole or line by line.

A byte order mark tells UTF-8, UTF-16 or UTF-32; without one, a file is UTF-8. Nothing is guessed: a
file in another encoding is refused by name, because a wrong guess would embed other words.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from typing import TYPE_CHECKING, Protocol

from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import Buffer

GZIP = ".gz"
"""The suffix of a file that is decompressed while it is read."""

TEXT_KEYS = ("text", "contents", "content")
"""Keys of a JSON object that name its text; the first that it has counts."""

LONGEST_LINE = 64_000_000
"""Bytes. What is longer is no line of text, and would fill the memory."""

_MARKS = {  # in this order, because the mark of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
    codecs.BOM_UTF8: "utf-8",
}


class ReadableBytes(Protocol):
    """An open file, also a compressed one, or bytes in memory."""

    def read(self, size: int, /) -> bytes:
        """Read up to `size` bytes; none at the end."""
        ...

    def readline(self, size: int, /) -> bytes:
        """Read a line with its end, or its first `size` bytes."""
        ...


def marked_encoding(content: bytes) -> tuple[str, int]:
    """Return the codec that a byte order mark tells, and the mark's length; ("", 0) without one."""
    for mark, codec in _MARKS.items():
        if content.startswith(mark):
            return codec, len(mark)
    return "", 0


def decode_text(content: bytes, name: str) -> str:
    r"""Decode a whole text file; every line end, also \r alone, becomes \n.

    Args:
        content: The content of the file.
        name: Its name, for the error message.

    Raises:
        InputError: It is not in the encoding that its mark tells, else UTF-8, or it holds a NUL
            character, which no text file does.
    """
    codec, mark = marked_encoding(content)
    try:
        text = content[mark:].decode(codec or "utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{name} {_bad_bytes(error, mark)}.") from error
    if "\0" in text:
        raise InputError(f"{name} {_bad_nul(content)}.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file as `utf8_lines` does; decompress it if its name ends in .gz.

    Raises:
        InputError: The file cannot be read; else as `utf8_lines`.
    """
    try:
        with gzip.open(path) if path.name.lower().endswith(GZIP) else path.open("rb") as file:
            yield from utf8_lines(file, str(path))
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"Cannot read {path}: {reason}.") from error


def utf8_lines(file: ReadableBytes, name: str) -> Iterator[bytes]:
    r"""Yield the lines of a text file, in UTF-8, without its byte order mark and line ends.

    Only \n and \r\n end a line, so that line n is what editors and JSON Lines call line n; other
    separators, such as U+2028, belong to it. Behind the last line end there is no empty line. A
    line may hold NUL and bytes that are not UTF-8: `decode_line` refuses these and names the line,
    so that one bad line need not cost the others.

    Args:
        file: A file that is open for reading bytes.
        name: Its name, for the error message.

    Raises:
        InputError: The file is not in the encoding that its mark tells, or a line is longer than
            64 MB.

    Source: https://jsonlines.org
    """
    first = file.readline(LONGEST_LINE + 1)
    codec, mark = marked_encoding(first)
    lines = (
        _transcode(_Joined(first[mark:], file), codec, name)
        if codec.startswith(("utf-16", "utf-32"))
        else _read_on(first[mark:], file)
    )
    for number, line in enumerate(lines, start=1):
        if len(line) > LONGEST_LINE:
            raise InputError(
                f"Line {number} of {name} is longer than {LONGEST_LINE / 1e6:.0f} MB: it is not a "
                "text file."
            )
        yield line.removesuffix(b"\n").removesuffix(b"\r")


def decode_line(line: bytes, number: int, name: str) -> str:
    """Decode a line that `utf8_lines` yielded.

    Args:
        line: The line.
        number: Its number in the file, from 1, for the error message.
        name: The file, for the error message.

    Raises:
        InputError: It is not UTF-8, or holds a NUL character.
    """
    if b"\0" in line:
        raise InputError(f"Line {number} of {name} {_bad_nul(line)}.")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"Line {number} of {name} {_bad_bytes(error)}.") from error


def _read_on(line: bytes, file: ReadableBytes) -> Iterator[bytes]:
    """Yield the first line of a file, and all others."""
    while line:
        yield line
        line = file.readline(LONGEST_LINE + 1)


def _transcode(file: _Joined, codec: str, name: str) -> Iterator[bytes]:
    """Yield the lines of UTF-16 or UTF-32; half of a surrogate pair spoils only its own line."""
    text = io.TextIOWrapper(io.BufferedReader(file), codec, "surrogatepass", newline="\n")
    number = 1
    try:
        while line := text.readline(LONGEST_LINE + 1):
            yield line.encode("utf-8", "surrogatepass")
            number += 1
    except UnicodeDecodeError as error:
        raise InputError(
            f"Line {number} of {name} or one soon after {_bad_bytes(error)}."
        ) from error


class _Joined(io.RawIOBase):
    """Bytes that were read already, and the file that they are from."""

    def __init__(self, first: bytes, file: ReadableBytes) -> None:
        self._first, self._file = first, file

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: Buffer) -> int:
        """Read up to the length of a buffer into it, and return how many bytes; 0 at the end."""
        view = memoryview(buffer)
        content, self._first = self._first[: len(view)], self._first[len(view) :]
        content = content or self._file.read(len(view))
        view[: len(content)] = content
        return len(content)


def _bad_bytes(error: UnicodeDecodeError, mark: int = 0) -> str:
    encoding = "-".join(error.encoding.upper().split("-")[:2])
    return f"is not {encoding} (byte {error.start + mark}: {error.reason}); save it as UTF-8"


def _bad_nul(content: bytes) -> str:
    """Say what NUL bytes mean: every second byte is NUL where UTF-16 has no mark."""
    start = content[:1000]
    if max(start[::2].count(0), start[1::2].count(0)) * 5 > len(start) * 2:
        return "looks like UTF-16 without a byte order mark; save it as UTF-8"
    return "holds a NUL byte: it is not a text file"
