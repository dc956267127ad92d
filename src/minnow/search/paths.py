"""The files that paths lead to, and their names in an index."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.chunks import find_documents
from minnow.errors import InputError
from minnow.indexfile.documents import COLLECTION
from minnow.search.reading import ALL_KINDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass
class FoundFiles:
    """The files that paths lead to.

    Attributes:
        files: Files to read by name, sorted.
        ignored: Files that are no documents, with the reason.
        hidden: Directories that cannot be read, so that their content is unknown.
        unreadable: A line for each of them, with the reason.
    """

    files: dict[str, Path] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    hidden: list[Path] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def find_files(paths: Iterable[Path]) -> FoundFiles:
    """Find documents in files, and in directories at any depth.

    Raises:
        InputError: A path does not exist, cannot be read, or is no kind of document.
    """
    result = FoundFiles()
    for path in paths:
        try:
            _add(path, result)
        except OSError as error:
            raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    result.files = dict(sorted(result.files.items()))
    return result


def _add(path: Path, result: FoundFiles) -> None:
    if path.is_dir():
        _add_folder(path, _name(path), result)
    elif not path.exists():
        raise InputError(
            f"There is no file or folder {path}. To drop what was indexed from it, use "
            "`remove_paths()`."
        )
    elif path.suffix.lower() not in ALL_KINDS:
        raise InputError(f"{path} should end in one of {', '.join(ALL_KINDS)}.")
    elif not path.is_file():
        raise InputError(f"{path} is not a file.")
    else:
        result.files[_name(path)] = path


def _add_folder(folder: Path, name: str, result: FoundFiles) -> None:
    found = find_documents(folder, ALL_KINDS, skip_unreadable=True)
    result.files |= {_join(name, inner): file for inner, file in found.files.items()}
    for inner, reason in found.skipped.items():
        if reason.startswith("Cannot read"):
            result.unreadable.append(f"{_join(name, inner)}: {reason}")
            result.hidden.append(Path(_join(name, inner)))
        else:
            result.ignored[_join(name, inner)] = reason


def find_lost(names: Iterable[str], found: FoundFiles, paths: Sequence[Path]) -> list[str]:
    """Return which names in an index are those of files that paths do not lead to any more.

    The files are looked for once more: another run may have indexed one that came later.

    Args:
        names: Names in the index.
        found: What the paths led to when the run began.
        paths: The paths.
    """

    def missing(names: Iterable[str], found: FoundFiles) -> list[str]:
        return [n for n in names if n not in found.files and not is_under(n, found.hidden)]

    lost = [name for name in missing(names, found) if is_under(name, paths)]
    return missing(lost, find_files(paths)) if lost else []


def is_under(name: str, paths: Iterable[Path]) -> bool:
    """Return whether a name in the index is one of these paths, or under one of them."""
    if name.startswith(COLLECTION):  # its records have no file that could be deleted
        return False
    for root in map(_name, paths):
        outer = "" if root == "." else f"{root.rstrip('/')}/"
        inner = name.removeprefix(outer)
        is_inside = name.startswith(outer) and not inner.startswith(("../", "/"))
        if name == root or is_inside:
            return True
    return False


def _name(path: Path) -> str:
    return Path(os.path.normpath(path)).as_posix()


def _join(folder: str, inner: str) -> str:
    return inner if folder == "." else f"{folder.rstrip('/')}/{inner}"
