"""Folders that vouch for their files: built beside their place, hashed, recorded, renamed.

A folder exists whole or not at all. What its record says is the business of who writes it.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

from minnow.errors import BundleError, OutputError
from minnow.files import replace_folder, staging_folder, sync, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Set
    from pathlib import Path


@dataclass(frozen=True)
class FileRecord:
    """Size in bytes and SHA-256 of a file in a bundle."""

    size: int
    sha256: str


def sha256(*paths: Path) -> str:
    """SHA-256 over the content of files, one after the other, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def file_records(folder: Path) -> dict[str, FileRecord]:
    """Size and hash of every file below a folder, by its path in it."""
    return {
        path.relative_to(folder).as_posix(): FileRecord(path.stat().st_size, sha256(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def file_faults(folder: Path, files: Mapping[str, FileRecord]) -> dict[str, str]:
    """What is wrong with the files of a folder, by name, in words; nothing where all are intact."""
    found = {name: _fault(folder, name, record) for name, record in files.items()}
    return {name: fault for name, fault in found.items() if fault is not None}


def _fault(folder: Path, name: str, record: FileRecord) -> str | None:
    path = folder / name
    try:
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != record.size:
            return f"{name} has {path.stat().st_size} bytes, sealed were {record.size}"
        if sha256(path) != record.sha256:
            return f"{name} has changed since it was sealed"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"
    return None


@contextmanager
def staging_beside(destination: Path, check: Callable[[Path], None]) -> Iterator[Path]:
    """Make a folder beside the destination to build in, if that may be replaced; see `files`.

    Args:
        destination: The folder to write.
        check: Raises OutputError for what may not be replaced.

    Raises:
        OutputError: The destination is something else, or cannot be written.
    """
    with writing(destination):
        check(destination)
    with staging_folder(destination) as folder:
        yield folder


def put_in_place(
    staged: Path, record: object, name: str, destination: Path, check: Callable[[Path], None]
) -> None:
    """Write a folder's record last, and rename the folder into place.

    Args:
        staged: The folder from `staging_beside`, complete but for the record.
        record: What is known of it; written as JSON.
        name: The record's file name.
        destination: Where the folder shall be.
        check: As for `staging_beside`; asked once more.

    Raises:
        OSError: It cannot be written; an older folder is still in place.
    """
    text = msgspec.json.format(msgspec.json.encode(record), indent=2)
    (staged / name).write_bytes(text + b"\n")
    for path in (*staged.rglob("*"), staged):
        sync(path)
    check(destination)
    replace_folder(staged, destination.resolve())
    sync(destination.parent)


def check_replaceable(destination: Path, what: str, known: Callable[[], Set[str]]) -> None:
    """Only nothing, an empty folder, or one of our own with no files of others may be replaced.

    Args:
        destination: The place.
        what: What our own holds, for messages: "bundle" or "export".
        known: Paths in our own that may go; raises BundleError where it is something else.

    Raises:
        OutputError: It may not be replaced.
    """
    if not os.path.lexists(destination):
        return
    if not destination.is_dir():
        raise OutputError(f"{destination} is not a folder. Name a folder for the {what}.")
    if not any(destination.iterdir()):
        return
    try:
        ours = known()
    except BundleError as error:
        article = "an" if what[0] in "aeiou" else "a"
        raise OutputError(
            f"{destination} holds files that are not {article} {what}. Name another folder, or "
            "empty it."
        ) from error
    present = (p.relative_to(destination) for p in destination.rglob("*") if not p.is_dir())
    foreign = sorted(path.as_posix() for path in present if path.as_posix() not in ours)
    if foreign:
        raise OutputError(
            f"{destination} holds {', '.join(foreign[:4])}{', ...' if foreign[4:] else ''}, not "
            f"listed by the {what} there. Move that away, or name another folder."
        )
