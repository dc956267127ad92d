"""Folders and files on this machine, in object stores and in file systems of fsspec."""

from __future__ import annotations

import fnmatch
import os
import re
import secrets
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
from pyarrow import fs

from minnow.errors import InputError, OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

T = TypeVar("T")

PARQUET = ".parquet"
_STAGED = ".minnow-"
_AT_ONCE = 16
_LEFTOVER = timedelta(hours=1)
_URI = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)


@dataclass(frozen=True)
class Place:
    """A folder or a file in a file system.

    Attributes:
        filesystem: One of `pyarrow.fs`.
        path: The path there.
    """

    filesystem: Any
    path: str

    @classmethod
    def of(cls, name: str | Path, filesystem: Any = None) -> Place:
        """Find a path or a URI, such as s3://bucket/folder.

        Args:
            name: A path, or a URI that `pyarrow.fs.FileSystem.from_uri` knows.
            filesystem: The file system of a path, of `pyarrow.fs` or fsspec; by default that of
                the URI, else this machine's.

        Raises:
            InputError: The URI is unknown.
        """
        text = str(name)
        if filesystem is not None:
            if not isinstance(filesystem, fs.FileSystem):
                filesystem = fs.PyFileSystem(fs.FSSpecHandler(filesystem))
            return cls(filesystem, text.rstrip("/"))
        if not _URI.match(text):
            return cls(fs.LocalFileSystem(), os.path.abspath(text))  # noqa: PTH100
        pattern = re.search(r"/[^/]*[*?\[][^/]*$", text)  # which is no part of a URI
        try:
            found, path = fs.FileSystem.from_uri(text[: pattern.start()] if pattern else text)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise InputError(f"{text} cannot be opened: {_first_line(error)}.") from error
        return cls(found, path + (pattern[0] if pattern else ""))

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    def __truediv__(self, name: str) -> Place:
        return Place(self.filesystem, f"{self.path}/{name}")

    def __str__(self) -> str:
        return self.path

    @property
    def exists(self) -> bool:
        """Whether there is a file or folder."""
        found = self.filesystem.get_file_info(self.path)
        return bool(found.type != fs.FileType.NotFound)

    def files(self) -> list[str]:
        """Return the paths of all files in and below a folder, sorted; none if there is none."""
        selector = fs.FileSelector(self.path, recursive=True, allow_not_found=True)
        found = self.filesystem.get_file_info(selector)
        return sorted(info.path for info in found if info.type == fs.FileType.File)

    def read(self) -> bytes:
        """Read a whole file.

        Raises:
            InputError: It cannot be read.
        """
        with reading(self), self.filesystem.open_input_stream(self.path) as stream:
            content: bytes = stream.read()
            return content

    def write(self, content: bytes | pa.Buffer) -> None:
        """Write a file whole or not at all: beside its place, under a hidden name, then renamed.

        Raises:
            OutputError: It cannot be written.
        """
        parent = self.path.rsplit("/", 1)[0]
        staged = f"{parent}/{_STAGED}{secrets.token_hex(8)}"
        try:
            self.filesystem.create_dir(parent, recursive=True)
            try:
                with self.filesystem.open_output_stream(staged) as stream:
                    stream.write(content)
                self.filesystem.move(staged, self.path)
            except BaseException:
                with suppress(OSError):
                    self.filesystem.delete_file(staged)
                raise
        except OSError as error:
            raise OutputError(f"Cannot write {self.path}: {_first_line(error)}.") from error

    def remove(self, paths: list[str]) -> None:
        """Remove files.

        Raises:
            OutputError: One cannot be removed.
        """
        try:
            for path in paths:
                self.filesystem.delete_file(path)
        except OSError as error:
            raise OutputError(f"Cannot remove {path}: {_first_line(error)}.") from error

    def clear_leftovers(self) -> None:
        """Remove what killed writers have left, once it is an hour old."""
        selector = fs.FileSelector(self.path, allow_not_found=True)
        oldest = datetime.now(timezone.utc) - _LEFTOVER
        for info in self.filesystem.get_file_info(selector):
            if info.base_name.startswith(_STAGED) and (info.mtime or oldest) < oldest:
                with suppress(OSError):
                    self.filesystem.delete_file(info.path)


@contextmanager
def reading(place: Place) -> Iterator[None]:
    """Turn errors of reading a file into one line.

    Raises:
        InputError: In place of an error of Arrow or of the system.
    """
    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"Cannot read {place}: {_first_line(error)}.") from error


def find_parquet(given: str | Path, filesystem: Any = None) -> tuple[Place, list[str]]:
    """Find the Parquet files that a path, a folder or a pattern names.

    Args:
        given: A file; a folder, of which all .parquet files below it count, except hidden ones; or
            a pattern in the last part of the path, such as `folder/*.parquet`.
        filesystem: As in `Place.of`.

    Returns:
        The folder that they are named from, and their names, sorted.

    Raises:
        InputError: There is none.
    """
    place = Place.of(given, filesystem)
    parent, _, last = place.path.rpartition("/")
    folder, pattern = place, "*"
    with reading(place):
        if place.filesystem.get_file_info(place.path).type == fs.FileType.File:
            return Place(place.filesystem, parent), [last]
        if _is_pattern(last):
            folder, pattern = Place(place.filesystem, parent), last
        below = [path.removeprefix(f"{folder.path}/") for path in folder.files()]
    shown = [n for n in below if n.endswith(PARQUET) and not _is_hidden(n)]
    names = [n for n in shown if pattern == "*" or fnmatch.fnmatchcase(n, pattern)]
    if pattern != "*":
        names = [name for name in names if "/" not in name]
    if not names:
        raise InputError(f"There is no Parquet file at {given}. Name a folder or *.parquet.")
    return folder, names


def is_read_again(given: str, names: Sequence[str], inner: str) -> bool:
    """Return whether files that are written in a folder would count as files of a source.

    Args:
        given: The source, as `find_parquet` takes it.
        names: The names that it found.
        inner: The folder, by its path within that of the source; empty for that one.
    """
    last = given.rpartition("/")[2]
    if _is_pattern(last):
        return not inner
    return names != [last] and not _is_hidden(inner)


def _is_pattern(name: str) -> bool:
    return re.search(r"[*?\[]", name) is not None


def _is_hidden(path: str) -> bool:
    return re.search(r"(^|/)[._]", path) is not None


def read_many(read: Callable[[Place], T], places: Sequence[Place]) -> list[T]:
    """Read a little of each of many files, several at once, because object stores answer slowly."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(read, places))


def _first_line(error: BaseException) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
