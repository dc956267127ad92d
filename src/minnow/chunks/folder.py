"""The documents of a folder: which files are read, and how."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.chunks.code import CODE_SUFFIXES, read_code
from minnow.chunks.html_encoding import decode_html
from minnow.chunks.markdown import read_markdown
from minnow.chunks.outline import Document, Section
from minnow.chunks.webpage import read_html
from minnow.errors import InputError
from minnow.files import open_regular
from minnow.text_files import decode_text

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
_READERS = {**_PROSE, **dict.fromkeys(CODE_SUFFIXES, read_code)}
SUFFIXES = tuple(_PROSE)
HTML_SUFFIXES = (".html", ".htm")
MARKUP_SUFFIXES = (".md", ".markdown", *HTML_SUFFIXES)


@dataclass(frozen=True)
class FolderListing:
    """The files of a folder.

    Attributes:
        files: Documents, by their path relative to the folder, with slashes; sorted.
        skipped: Other files and folders, each with the reason why it is skipped.
    """

    files: Mapping[str, Path]
    skipped: Mapping[str, str]


def find_documents(
    folder: Path, suffixes: Collection[str] = SUFFIXES, *, skip_unreadable: bool = False
) -> FolderListing:
    """Find the documents in a folder and its subfolders.

    Links are followed, but each file is listed once, under its own path if that is in the folder
    too. So a link to a parent folder does not recurse.

    Args:
        folder: The folder to search.
        suffixes: The suffixes of documents, in lower case.
        skip_unreadable: Skip a subfolder that cannot be read, rather than raise.

    Raises:
        InputError: It is not a folder, or a subfolder cannot be read.
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
            skipped[name] = "a link to a file or folder that is already listed"
            continue
        try:
            inside = _entries(path)
        except InputError as error:
            if not skip_unreadable or path == folder:
                raise
            skipped[name] = str(error)
            continue
        if inside is not None:
            seen.add(real)
            for entry, is_link in inside:
                (links if is_link else entries).append(entry)
        elif path.suffix.lower() not in suffixes:
            skipped[name] = f"not one of {', '.join(suffixes)}"
        elif not path.is_file():
            skipped[name] = "not a file"
        else:
            seen.add(real)
            files[name] = path
    return FolderListing(dict(sorted(files.items())), dict(sorted(skipped.items())))


def _entries(path: Path) -> list[tuple[Path, bool]] | None:
    """Return the entries of a folder and whether each is a link; None if it is not a folder.

    Raises:
        InputError: It cannot be listed or entered.
    """
    try:
        if not path.is_dir():
            return None
        return [(entry, entry.is_symlink()) for entry in sorted(path.iterdir())]
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error


def read_document(path: Path, name: str) -> Document:
    """Read one file in the format of its suffix.

    Args:
        path: The file.
        name: The path of the document.

    Raises:
        InputError: It cannot be read, is in an unknown encoding, holds a NUL byte, has a suffix
            that is not in SUFFIXES or CODE_SUFFIXES, or `name` is not valid Unicode.
        MissingExtraError: It is HTML, and the extra `index` is not installed.
    """
    _reader(path)
    try:
        with open_regular(path) as file:
            content = file.read()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    return parse_document(path, name, content)


def parse_document(path: Path, name: str, content: bytes) -> Document:
    """Parse the content of a file in the format of its suffix.

    The encoding is that of a byte order mark, or the one that HTML declares, or UTF-8.

    Args:
        path: The file.
        name: The path of the document.
        content: The content of the file.

    Raises:
        InputError, MissingExtraError: As `read_document`.
    """
    reader = _reader(path)
    try:
        name.encode()
    except UnicodeEncodeError as error:
        raise InputError(f"The name {name!a} is not valid Unicode. Rename the file.") from error
    decode = decode_html if reader is read_html else decode_text
    return reader(name, decode(content, str(path)))


def _reader(path: Path) -> Callable[[str, str], Document]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(f"{path} should end in one of {', '.join(_READERS)}.")
    return reader
