"""A folder of documents: which files are read, and how."""

from __future__ import annotations

import codecs
import os
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.chunks.code import CODE, read_code
from minnow.chunks.markdown import read_markdown
from minnow.chunks.outline import Document, Section
from minnow.chunks.webpage import read_html
from minnow.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection


def read_text(path: str, source: str) -> Document:
    """Read plain text: one section without headings."""
    return Document(path, source, (Section((), 0, len(source)),) if source else ())


_PROSE: Mapping[str, Callable[[str, str], Document]] = {
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".html": read_html,
    ".htm": read_html,
    ".txt": read_text,
    ".text": read_text,
    ".rst": read_text,
}
_READERS = {**_PROSE, **dict.fromkeys(CODE, read_code)}
KINDS = tuple(_PROSE)
MARKUP = (".md", ".markdown", ".html", ".htm")

_BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_CHARSET = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w.:-]{1,40})", re.IGNORECASE)
_HEAD = 1024


@dataclass(frozen=True)
class Found:
    """What a folder holds.

    Attributes:
        files: Files that are read, by their path relative to the folder, with slashes; sorted.
        skipped: For each other file and folder, why it is not.
    """

    files: Mapping[str, Path]
    skipped: Mapping[str, str]


def find_documents(folder: Path, kinds: Collection[str] = KINDS, *, patient: bool = False) -> Found:
    """Look for documents in a folder and all folders in it.

    Links are followed, but what they lead to is read once: under its own path where that is in the
    folder too. Thus a link to a folder above it ends.

    Args:
        folder: Where to look.
        kinds: How the names of files end that are documents, in lower case.
        patient: Skip a folder in it that cannot be read, rather than raise.

    Raises:
        InputError: It is not a folder, or one in it cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder.")
    files: dict[str, Path] = {}
    skipped: dict[str, str] = {}
    seen: set[str] = set()
    entries, links = deque([folder]), deque[Path]()
    while entries or links:
        path = entries.popleft() if entries else links.popleft()
        name = path.relative_to(folder).as_posix()
        real = os.path.realpath(path)
        if path != folder and path.name.startswith("."):
            skipped[name] = "hidden"
            continue
        if real in seen:
            skipped[name] = "a link to what is read already"
            continue
        try:
            inside = _entries(path)
        except InputError as error:
            if not patient or path == folder:
                raise
            skipped[name] = str(error)
            continue
        if inside is not None:
            seen.add(real)
            for entry, is_link in inside:
                (links if is_link else entries).append(entry)
        elif path.suffix.lower() not in kinds:
            skipped[name] = f"not one of {', '.join(kinds)}"
        elif not path.is_file():
            skipped[name] = "not a file"
        else:
            seen.add(real)
            files[name] = path
    return Found(dict(sorted(files.items())), dict(sorted(skipped.items())))


def _entries(path: Path) -> list[tuple[Path, bool]] | None:
    """What is in a folder, and which of it are links; None for what is no folder.

    Raises:
        InputError: It cannot be looked at, or listed but not entered.
    """
    try:
        if not path.is_dir():
            return None
        return [(entry, entry.is_symlink()) for entry in sorted(path.iterdir())]
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error


def read_folder(folder: Path) -> list[Document]:
    """Read all documents of a folder, in the order of their paths.

    Raises:
        InputError: It is not a folder, or a document cannot be read; the message names it.
        MissingExtraError: There is HTML, and the extra `index` is not installed.
    """
    return [read_document(path, name) for name, path in find_documents(folder).files.items()]


def read_document(path: Path, name: str) -> Document:
    """Read one file as its ending says.

    Args:
        path: Where it is.
        name: What the document is to be called.

    Raises:
        InputError: It cannot be read, is in an unknown encoding, holds a NUL byte, has another
            ending than those in KINDS and CODE, or `name` is not valid Unicode.
        MissingExtraError: It is HTML, and the extra `index` is not installed.
    """
    _reader(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    return parse_document(path, name, content)


def parse_document(path: Path, name: str, content: bytes) -> Document:
    """Read the content of a file as its ending says.

    It is UTF-8, or UTF-16 behind a byte order mark, or HTML in the encoding that it states.

    Args:
        path: Of the file.
        name: What the document is to be called.
        content: The file's.

    Raises:
        InputError, MissingExtraError: As `read_document`.
    """
    reader = _reader(path)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"The name {name!a} is not valid Unicode. Rename the file.") from error
    text = _decode(path, content)
    if "\0" in text:
        raise InputError(f"{path} holds a NUL byte: it is not a text file.")
    return reader(name, text.replace("\r\n", "\n").replace("\r", "\n"))


def _reader(path: Path) -> Callable[[str, str], Document]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} should end in one of {', '.join(_READERS)}.")
    return reader


def _decode(path: Path, content: bytes) -> str:
    marks = (name for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark))
    try:
        return content.decode(next(marks, "utf-8"))
    except UnicodeDecodeError as error:
        stated = _CHARSET.search(content[:_HEAD]) if path.suffix.lower() in MARKUP[2:] else None
        if stated:
            try:
                return content.decode(stated[1].decode())
            except (LookupError, ValueError):
                pass
        raise InputError(f"{path} is not UTF-8 (byte {error.start}: {error.reason}).") from error
