"""Documents of files, each kind of file with its own reader."""

from __future__ import annotations

import io
import json
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import partial
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, TypeVar, cast

from minnow.characters import clean_values
from minnow.chunks.code import CODE_SUFFIXES
from minnow.chunks.folder import HTML_SUFFIXES, MARKUP_SUFFIXES, SUFFIXES, parse_document
from minnow.chunks.outline import Document, Section
from minnow.chunks.pdf import read_pdf
from minnow.chunks.webpage import explain_missing_text
from minnow.errors import InputError
from minnow.search.scope import MODIFIED
from minnow.search.writer import DocumentKey, Entry, digest_of
from minnow.text_files import TEXT_KEYS, utf8_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_BINARY = {".pdf": read_pdf}
"""Readers of bytes; `minnow.chunks.folder` has those of text."""

ALL_KINDS = (*SUFFIXES, *_BINARY, ".jsonl", *CODE_SUFFIXES)
"""Suffixes of the files that are indexed, in lower case."""

_LARGEST_MARKUP = 32_000_000
"""Bytes. A parser's tree is about a hundred times as large as its text."""

_IDS = ("id", "_id")

_AHEAD = 512
"""Documents of a file that are read and divided before they are needed."""

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class FoundDocument:
    """A document of a file.

    Attributes:
        entry: Its identity, digest and metadata.
        read: Returns its text when that is needed; raises InputError where it cannot be read.
    """

    entry: Entry
    read: Callable[[], Document]


def documents_of(
    path: Path, name: str, content: bytes, modified: float, faults: list[str]
) -> Iterator[FoundDocument]:
    """Find the documents of a file.

    All kinds but .jsonl hold one. A line of a .jsonl file is an object with a `text` (or
    `contents`, `content`), and optionally an `id` (or `_id`; else the line's number), a `title`,
    which becomes the heading, and `metadata`, an object. Other keys are metadata too.

    Halves of surrogate pairs and NUL in it are replaced as `minnow.characters` says.

    The others have `modified` as metadata: when the file last changed (seconds since 1970), in UTC.

    The list of faults receives a message for each line that cannot be read.
    """
    if path.suffix.lower() == ".jsonl":
        yield from _lines(name, content, faults)
        return
    entry = Entry(DocumentKey(name), digest_of(content), _date_of(modified))
    yield FoundDocument(entry, lambda: _parse(path, name, content))


def work_ahead(items: Iterable[T], work: Callable[[T], R]) -> Iterator[tuple[T, Callable[[], R]]]:
    """Do work on items in a thread, up to `_AHEAD` of them before the caller needs the results.

    If there is only one item, the caller's thread does its work, so that Ctrl-C ends it.

    Yields:
        Each item, and a function that returns the result of its work, or raises its error.
    """
    rest = iter(items)
    first = list(islice(rest, 2))
    if len(first) < 2:
        yield from ((item, partial(work, item)) for item in first)
        return
    thread = ThreadPoolExecutor(1, thread_name_prefix="minnow-reader")
    waiting: deque[tuple[T, Callable[[], R]]] = deque()
    try:
        for item in chain(first, rest):
            waiting.append((item, thread.submit(work, item).result))
            if len(waiting) > _AHEAD:
                yield waiting.popleft()
        yield from waiting
    finally:
        thread.shutdown(cancel_futures=True)


def _date_of(seconds: float) -> dict[str, object]:
    try:
        changed = datetime.fromtimestamp(int(seconds), timezone.utc)
    except (OverflowError, ValueError, OSError):  # a file system gave a year above 9999
        return {}
    return {MODIFIED: changed.isoformat().replace("+00:00", "Z")}


def _parse(path: Path, name: str, content: bytes) -> Document:
    kind = path.suffix.lower()
    if kind in _BINARY:
        return _BINARY[kind](name, content)
    if kind in MARKUP_SUFFIXES and len(content) > _LARGEST_MARKUP:
        raise InputError(
            f"{path} is larger than {_LARGEST_MARKUP / 1e6:.0f} MB, too much for a parser. "
            "Divide it, or name it .txt."
        )
    document = parse_document(path, name, content)
    if kind in HTML_SUFFIXES and not document.has_text:
        raise InputError(f"{path} holds no text {explain_missing_text(content)}.")
    return document


class _LineError(Exception):
    """A fault of a line."""


def _lines(name: str, content: bytes, faults: list[str]) -> Iterator[FoundDocument]:
    seen: set[str] = set()
    lines = enumerate(utf8_lines(io.BytesIO(content), name), start=1)
    while True:
        try:
            number, line = next(lines)
        except StopIteration:
            return
        except InputError as error:
            faults.append(str(error).rstrip("."))
            return
        if not line.strip():
            continue
        try:
            found = _line(name, number, line)
            if found.entry.key.name in seen:
                raise _LineError(f"repeats the id {found.entry.key.name!r}")
        except _LineError as error:
            faults.append(f"{name}, line {number}: {error}")
            continue
        except RecursionError:
            faults.append(f"{name}, line {number}: is nested too deep")
            continue
        seen.add(found.entry.key.name)
        yield found


def _line(file: str, number: int, line: bytes) -> FoundDocument:
    try:
        row = json.loads(line, parse_constant=_no_constant)
    except UnicodeDecodeError as error:
        raise _LineError(f"not UTF-8 (byte {error.start}: {error.reason})") from error
    except ValueError as error:
        raise _LineError(f"not a JSON object: {error}") from error
    if not isinstance(row, dict):
        raise _LineError("not a JSON object")
    row = cast("dict[str, Any]", clean_values(row))
    text: str | None = _take(row, TEXT_KEYS, str)
    if text is None:
        raise _LineError(f'no "{TEXT_KEYS[0]}"')
    name: str | int | None = _take(row, _IDS, (str, int))
    title: str = _take(row, ("title",), str) or ""
    more: dict[str, object] = _take(row, ("metadata",), dict) or {}
    key = DocumentKey(file, str(number if name is None else name))
    _check_numbers({**row, **more})
    if not text.strip():
        raise _LineError("the text is empty")
    title = " ".join(title.split())
    document = Document(str(key), text, (Section((title,) if title else (), 0, len(text)),))
    return FoundDocument(Entry(key, digest_of(line), {**row, **more}), lambda: document)


def _check_numbers(values: dict[str, object]) -> None:
    try:
        json.dumps(values, allow_nan=False)
    except ValueError as error:  # 1e999 is infinite, and SQLite cannot read that back
        raise _LineError("holds a number that is too large") from error


def _no_constant(name: str) -> object:
    """Reject NaN and Infinity, which Python reads and SQLite does not."""
    raise ValueError(f"{name} is no JSON")


def _take(row: dict[str, Any], names: tuple[str, ...], kind: type | tuple[type, ...]) -> Any:
    """Remove and return the value of the first of these keys that exists."""
    value = next((row.pop(name) for name in names if name in row), None)
    if value is not None and (not isinstance(value, kind) or isinstance(value, bool)):
        raise _LineError(f'the "{names[0]}" is {type(value).__name__}')
    return value
