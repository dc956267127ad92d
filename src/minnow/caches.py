"""The folder in which minnow keeps what it can make again, what lies there, and its removal.

| name | what it is |
|---|---|
| `bundles/NAME-KEY` | a bundle that `Embedder` or `Reranker` converted from a model |
| `engines/KEY` | a bundle's model for other engines than MNN |
| `choices/KEY.json` | the backend that `backend="best"` chose on this device, and why |
| `machines/NAME` | Python and MNN of a processor that is emulated, for `minnow prove --arm` |
| `vectors-N-KEY.sqlite` | vectors of a system that was compared |
| `FORM-KEY` | a model in another library's form |

Nothing else in the folder is listed or removed.
"""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from minnow.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Iterator

BUNDLES, ENGINES, MACHINES, CHOICES = "bundles", "engines", "machines", "choices"
_VECTORS = re.compile(r"vectors-\d+-[0-9a-f]{32}\.sqlite")
_FORM = re.compile(r"[a-z-]+-[0-9a-f]{32}")
_BUNDLE = re.compile(r".+-[0-9a-f]{16}")
_MACHINE = re.compile(r"[a-z0-9]+-mnn-[\w.]+")
_CHOICE = re.compile(r"[0-9a-f]{32}\.json")
_ENGINE = re.compile(r"[0-9a-f]{32}")
_COMPANIONS = ("-wal", "-shm", "-journal")


KINDS = ("bundle", "choice", "engine", "machine", "vectors", "form")


class CacheEntry(Struct, frozen=True):
    """One thing that the cache holds.

    Attributes:
        kind: One of `KINDS`.
        path: The file or folder.
        size: Bytes.
        used: When it was last read or written, in seconds since 1970, as far as the file system
            tells.
    """

    kind: str
    path: Path
    size: int
    used: float

    @property
    def name(self) -> str:
        """Its name in the cache."""
        return self.path.name


def cache_folder() -> Path:
    """Return the folder of the cache: $MINNOW_CACHE, or one of the user's.

    Raises:
        OutputError: The user has no folder, as in some containers.
    """
    chosen = os.environ.get("MINNOW_CACHE")
    if chosen:
        return Path(chosen)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "minnow"
    except RuntimeError as error:
        raise OutputError(
            "There is no home folder to keep a cache in. Set MINNOW_CACHE to a folder."
        ) from error


def list_cache() -> list[CacheEntry]:
    """Return what the cache holds, bundles first, each kind by name."""
    root = cache_folder()
    found = [
        _entry(kind, path)
        for kind, folder, pattern, is_folder in (
            ("bundle", root / BUNDLES, _BUNDLE, True),
            ("engine", root / ENGINES, _ENGINE, True),
            ("choice", root / CHOICES, _CHOICE, False),
            ("machine", root / MACHINES, _MACHINE, True),
            ("vectors", root, _VECTORS, False),
            ("form", root, _FORM, True),
        )
        for path in _paths(folder)
        if pattern.fullmatch(path.name) and path.is_dir() == is_folder and not path.is_symlink()
    ]
    return sorted(found, key=lambda entry: (entry.kind, entry.name))


def remove_entry(entry: CacheEntry) -> None:
    """Remove an entry of the cache; whoever has it open keeps what is open.

    Raises:
        OutputError: It cannot be removed.
    """
    try:
        if entry.path.is_dir():
            hidden = entry.path.with_name(f".{entry.name}.removed")
            entry.path.rename(hidden)  # in one step, so that no half of it can be found
            shutil.rmtree(hidden)
        else:
            for path in (entry.path, *_companions(entry.path)):
                path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"Cannot remove {entry.path}: {error.strerror}.") from error


def _entry(kind: str, path: Path) -> CacheEntry:
    files = [path, *_companions(path)] if kind == "vectors" else files_below(path)
    states = [file.stat() for file in files if file.is_file()]
    used = max((max(state.st_atime, state.st_mtime) for state in states), default=0.0)
    return CacheEntry(kind, path, sum(state.st_size for state in states), used)


def _companions(path: Path) -> list[Path]:
    return [path.with_name(path.name + end) for end in _COMPANIONS]


def files_below(folder: Path) -> list[Path]:
    """Return the files in a folder and in those below it."""
    return [path for path in folder.rglob("*") if path.is_file()]


def _paths(folder: Path) -> Iterator[Path]:
    try:
        yield from folder.iterdir()
    except FileNotFoundError:
        return
    except OSError as error:
        raise OutputError(f"Cannot read the cache {folder}: {error.strerror}.") from error
