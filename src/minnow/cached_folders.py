"""Folders of the cache: made once, checked when they are read again, deleted when old."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from minnow.caches import cache_folder, files_below
from minnow.files import staging_folder
from minnow.sealing import (
    FileRecord,
    check_record,
    file_faults,
    file_records,
    read_record,
    stamp_record,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECORD = "record.json"


def made_once(name: str, write: Callable[[Path], None]) -> Path:
    """Return a folder of the cache, written now if it is not there.

    The folder may be deleted at any time.

    Args:
        name: Its path in the cache, with a key of all that decides its content.
        write: Fills an empty folder.

    Raises:
        OutputError: The cache cannot be written.
        MinnowError: An error of `write`; the cache does not keep anything then.
    """
    folder = cache_folder() / name
    if folder.is_dir():
        return folder
    with staging_folder(folder) as staged:
        write(staged)
        try:
            staged.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first
                raise
    return folder


def sealed_once(name: str, write: Callable[[Path], None], most_bytes: int) -> Path:
    """Return a folder as `made_once` does, whose files are what was written.

    Each use makes it the newest of its parent folder, of which the oldest are deleted.

    Args:
        name: Its path in the cache.
        write: Fills an empty folder.
        most_bytes: The most bytes of all folders there, this one included; it stays even if it is
            larger.

    Raises:
        OutputError, MinnowError: As `made_once`.
    """

    def write_sealed(staged: Path) -> None:
        write(staged)
        records = msgspec.to_builtins(file_records(staged))
        (staged / RECORD).write_bytes(stamp_record({"files": records}))

    folder = cache_folder() / name
    if folder.is_dir():
        if _is_intact(folder):
            with suppress(OSError):  # a cache that is only read
                os.utime(folder)
            return folder
        shutil.rmtree(folder, ignore_errors=True)
    made = made_once(name, write_sealed)
    _delete_oldest(made, most_bytes)
    return made


def _is_intact(folder: Path) -> bool:
    try:
        content = read_record(folder / RECORD)
        check_record(content, {"files"})
        files = msgspec.convert(msgspec.json.decode(content)["files"], dict[str, FileRecord])
        return not file_faults(folder, files)
    except (OSError, ValueError, KeyError):
        return False


def _delete_oldest(newest: Path, most_bytes: int) -> None:
    """Delete the least recently used folders beside one until the rest is small enough."""
    others = [each for each in newest.parent.iterdir() if each.is_dir() and each != newest]
    with suppress(OSError):  # another process deletes them as well
        others.sort(key=lambda each: -each.stat().st_mtime)
        size = _size(newest)
        for folder in others:
            size += _size(folder)
            if size > most_bytes and not folder.name.startswith("."):
                shutil.rmtree(folder, ignore_errors=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in files_below(folder))
