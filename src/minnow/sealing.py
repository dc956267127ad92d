"""Sealed folders: built in a staging directory, hashed, recorded, renamed into place.

A folder exists completely or not at all. Its record, a JSON file, lists every other file; the rest
of the record is up to the caller. It ends with a digest of its own bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from minnow.errors import BundleError, OutputError
from minnow.files import open_regular, read_regular, replace_folder, staging_folder, sync, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Set
    from pathlib import Path


DIGEST = "digest"
_ZEROS = b"0" * 64
_STAMP = re.compile(rb'"digest": "([0-9a-f]{64})"\n}\n\Z')
_LARGEST_RECORD = 16 << 20


class FileRecord(Struct, frozen=True):
    """Size in bytes and SHA-256 of a file in a sealed folder."""

    size: int
    sha256: str


def sha256(*paths: Path) -> str:
    """Hash the content of files, one after the other; return 64 hexadecimal digits."""
    digest, block = hashlib.sha256(), memoryview(bytearray(1 << 18))
    for path in paths:
        with open_regular(path) as file:
            while size := file.readinto(block):
                digest.update(block[:size])
    return digest.hexdigest()


def stamp_record(values: Mapping[str, Any]) -> bytes:
    """Return a record as JSON whose last value is the SHA-256 of all its bytes.

    The digest is computed with zeros in place of its own 64 digits.
    """
    whole = {**values, DIGEST: _ZEROS.decode()}
    text = msgspec.json.format(msgspec.json.encode(whole), indent=2) + b"\n"
    start = text.rindex(_ZEROS)
    return text[:start] + hashlib.sha256(text).hexdigest().encode() + text[start + len(_ZEROS) :]


def read_record(path: Path) -> bytes:
    """Read the bytes of a record, a regular file of at most 16 MB.

    Raises:
        OSError: It cannot be read; `strerror` says why.
    """
    return read_regular(path, _LARGEST_RECORD)


def stated_digest(content: bytes) -> str:
    """Return the digest that a record ends with; of an older record without one, its SHA-256."""
    found = _STAMP.search(content)
    return found[1].decode() if found else hashlib.sha256(content).hexdigest()


def check_record(content: bytes, keys: Set[str]) -> None:
    """Check that a record is as it was sealed, and says nothing that this minnow cannot read.

    Records from before there were digests have none and pass without.

    Args:
        content: Its bytes.
        keys: The names that it may have, besides the digest.

    Raises:
        ValueError: Its digest is of other bytes, a name is unknown, or one occurs twice.
        RecursionError: It is nested too deeply.
    """
    values = json.loads(content, object_pairs_hook=_distinct)
    unknown = [name for name in values if name not in keys and name != DIGEST]
    if unknown:
        raise ValueError(f"it has {unknown[0]!r}, which this minnow does not know")
    if DIGEST in values:
        found = _STAMP.search(content)
        zeroed = found and content[: found.start(1)] + _ZEROS + content[found.end(1) :]
        if not found or hashlib.sha256(zeroed or b"").hexdigest().encode() != found[1]:
            raise ValueError("it has changed since it was sealed. Copy or make it again")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"it has {twice!r} twice")
    return values


def file_records(folder: Path) -> dict[str, FileRecord]:
    """Return size and hash of every file below a folder, by its path in the folder."""
    return {
        path.relative_to(folder).as_posix(): FileRecord(path.stat().st_size, sha256(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def file_faults(
    folder: Path, files: Mapping[str, FileRecord], *, hashes: bool = True
) -> dict[str, str]:
    """Describe what is wrong with the files of a folder, by name; intact files are left out.

    Args:
        folder: The folder.
        files: The record of each file, by its path in the folder.
        hashes: Whether to read the files, or to compare their sizes alone.
    """
    found = {name: _fault(folder, name, record, hashes) for name, record in files.items()}
    return {name: fault for name, fault in found.items() if fault is not None}


def _fault(folder: Path, name: str, record: FileRecord, hashes: bool) -> str | None:
    path = folder / name
    try:
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != record.size:
            return f"{name} has {path.stat().st_size} bytes, sealed were {record.size}"
        if hashes and sha256(path) != record.sha256:
            return f"{name} has changed since it was sealed"
    except OSError as error:
        return f"{name} cannot be read ({error.strerror})"
    return None


@contextmanager
def staging_beside(destination: Path, check: Callable[[Path], None]) -> Iterator[Path]:
    """Make a staging directory beside the destination; it is always removed at the end.

    Args:
        destination: Where the finished folder will be.
        check: Raises OutputError if the destination must not be replaced.

    Raises:
        OutputError: The destination must not be replaced, or cannot be written.
    """
    with writing(destination):
        check(destination)
    with staging_folder(destination) as folder:
        yield folder


def put_in_place(
    staged: Path,
    record: Mapping[str, Any],
    name: str,
    destination: Path,
    check: Callable[[Path], None],
) -> None:
    """Write a folder's record last, and rename the folder into place.

    Args:
        staged: The folder from `staging_beside`, complete except for the record.
        record: The record's content; written as JSON, with a digest.
        name: The record's file name.
        destination: Where the folder will be.
        check: As for `staging_beside`; called once more.

    Raises:
        OSError: The folder cannot be written; an older one is still in place.
    """
    (staged / name).write_bytes(stamp_record(record))
    for path in (*staged.rglob("*"), staged):
        sync(path)
    check(destination)
    replace_folder(staged, destination.resolve())
    sync(destination.parent)


def check_replaceable(destination: Path, what: str, list_files: Callable[[], Set[str]]) -> None:
    """Check that a destination is free, an empty folder, or a sealed folder with no other files.

    Args:
        destination: The destination.
        what: What the sealed folder is, for messages: "bundle" or "export".
        list_files: Returns the paths of the sealed folder's own files; raises BundleError if the
            destination is no such folder.

    Raises:
        OutputError: The destination must not be replaced.
    """
    if not os.path.lexists(destination):
        return
    if not destination.is_dir():
        raise OutputError(f"{destination} is not a folder. Name a folder for the {what}.")
    if not any(destination.iterdir()):
        return
    try:
        ours = list_files()
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
