"""Which files some paths lead to, and what they are called in an index."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.chunks import find_documents
from minnow.errors import InputError
from minnow.search.reading import ALL_KINDS
from minnow.search.schema import COLLECTION

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass
class FoundFiles:
    """What paths lead to.

    Attributes:
        files: Files to read by name, sorted.
        ignored: Files that are no documents, with the reason.
        hidden: Folders that cannot be read; what is in them is not known.
        unreadable: The same for people, with the reason.
    """

    files: dict[str, Path] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    hidden: list[Path] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)


def find_files(paths: Iterable[Path]) -> FoundFiles:
    """Look for documents.

    Args:
        paths: Files, and folders, of which the documents in all folders are taken.

    Raises:
        InputError: A path does not exist, cannot be looked at, or is no kind of document.
    """
    all_ = FoundFiles()
    for path in paths:
        try:
            _add(path, all_)
        except OSError as error:
            raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    all_.files = dict(sorted(all_.files.items()))
    return all_


def _add(path: Path, all_: FoundFiles) -> None:
    if path.is_dir():
        _add_folder(path, _name(path), all_)
    elif not path.exists():
        raise InputError(
            f"There is no {path}. To drop what was indexed from it, use `remove_paths()`."
        )
    elif path.suffix.lower() not in ALL_KINDS:
        raise InputError(f"{path} should end in one of {', '.join(ALL_KINDS)}.")
    elif not path.is_file():
        raise InputError(f"{path} is not a file.")
    else:
        all_.files[_name(path)] = path


def _add_folder(folder: Path, name: str, all_: FoundFiles) -> None:
    found = find_documents(folder, ALL_KINDS, patient=True)
    all_.files |= {_join(name, inner): file for inner, file in found.files.items()}
    for inner, reason in found.skipped.items():
        if reason.startswith("Cannot read"):
            all_.unreadable.append(f"{_join(name, inner)}: {reason}")
            all_.hidden.append(Path(_join(name, inner)))
        else:
            all_.ignored[_join(name, inner)] = reason


def is_under(name: str, paths: Iterable[Path]) -> bool:
    """Whether a name in the index is that of one of these paths, or of what is in them.

    That of a collection never is: what a program put in is not a file that may be gone.
    """
    if name.startswith(COLLECTION):
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
