"""Hidden working folders beside a destination, and what killed runs left in theirs.

A run builds in `.NAME.1f2e3d4c/NAME` beside NAME. The folder has a lock file, on which the run
holds a lock (`flock`) that ends with its process, however that ends; a process id would not do,
since it is used again, and other containers count theirs separately. The next run with the same
destination removes the folders whose lock is free. The lock file's name says which machine made
it, because a lock may not be seen from another machine on a shared disk: such a folder is only
removed once a week has passed.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import stat
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from minnow.errors import OutputError
from minnow.signals import uninterrupted

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows; nothing is removed there before a week has passed
    fcntl = None

if TYPE_CHECKING:
    from collections.abc import Iterator

REPLACED = "replaced"
"""What a working folder calls the older folder, while the newer one takes its place."""

_LOCK = "lock-"
_WEEK = 7 * 24 * 3600.0
_ATTEMPTS = 16
_DIGITS = 8


@contextmanager
def work_folder(target: Path, *, mode: int = 0o777) -> Iterator[Path]:
    """Make a hidden, locked folder beside a path; remove it at the end.

    Folders that killed runs left there are removed first.

    Args:
        target: The path, without symbolic links; its parent must exist.
        mode: The folder's permissions, from which the umask is taken.

    Raises:
        OSError: The folder cannot be made.
    """
    clear_leftovers(target)
    made: tuple[Path, int] | None = None
    try:
        with uninterrupted():  # a request raises after this block, when `made` is known
            made = _make(target, mode)
        yield made[0]
    finally:
        if made is not None:
            folder, lock = made
            with uninterrupted():
                os.close(lock)
                _restore(folder, target)
                _remove(folder)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """Make a folder for temporary files, and remove those of killed runs.

    Raises:
        OutputError: There is no place for one.
    """
    import tempfile  # it takes some milliseconds, and embedding needs none

    with ExitStack() as stack:
        try:
            target = Path(tempfile.gettempdir()).resolve() / "minnow"
            folder = stack.enter_context(work_folder(target, mode=0o700))
        except OSError as error:
            raise OutputError(
                f"No folder for temporary files can be made: {error.strerror}. Set TMPDIR to a "
                "folder that can be written."
            ) from error
        yield folder


def clear_leftovers(target: Path) -> None:
    """Remove the working folders that killed runs left beside a path.

    An older folder that was about to be replaced, and is not in its place, returns there first.
    """
    for folder in _folders(target):
        lock = _lock_of_dead(folder)
        if lock is None:
            continue
        with uninterrupted():
            _restore(folder, target)
            _remove(folder)
            os.close(lock)


def restore_replaced(target: Path) -> None:
    """Return a folder to its place, if a run was killed while it replaced the folder."""
    for folder in _folders(target):
        if (folder / REPLACED).exists():
            lock = _lock_of_dead(folder)
            if lock is not None:
                _restore(folder, target)
                os.close(lock)


def _make(target: Path, mode: int) -> tuple[Path, int]:
    """Make a folder and lock it; try again where another run took it for one of a dead run."""
    for _ in range(_ATTEMPTS):
        folder = target.with_name(f".{target.name}.{os.urandom(_DIGITS // 2).hex()}")
        try:
            folder.mkdir(mode)
        except FileExistsError:
            continue
        path = folder / f"{_LOCK}{'-'.join(_machine())}"
        with suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            if _take(lock) is not False and path.exists():
                return folder, lock
            os.close(lock)
    raise FileExistsError(17, "no working folder can be made beside it", str(target))


def _folders(target: Path) -> list[Path]:
    """Return the working folders beside a path, of this user."""
    start = f".{target.name}."
    found = []
    with suppress(OSError), os.scandir(target.parent) as entries:
        for entry in entries:
            digits = entry.name.removeprefix(start)
            if entry.name.startswith(start) and _are_digits(digits):
                with suppress(OSError):
                    status = entry.stat(follow_symlinks=False)
                    ours = not hasattr(os, "getuid") or status.st_uid == os.getuid()
                    if stat.S_ISDIR(status.st_mode) and ours:
                        found.append(Path(entry.path))
    return found


def _are_digits(text: str) -> bool:
    return len(text) == _DIGITS and not set(text) - set("0123456789abcdef")


def _lock_of_dead(folder: Path) -> int | None:
    """Lock the folder of a dead run; return the lock, or None if the run may be alive."""
    with suppress(OSError):
        folder.rmdir()  # a run was killed before it made its lock, or makes another folder now
    try:
        path = next(folder.glob(f"{_LOCK}*"))
        lock = os.open(path, os.O_RDWR)
    except (OSError, StopIteration):
        return None
    free = _take(lock)
    here = bool(set(path.name.removeprefix(_LOCK).split("-")) & set(_machine()))
    with suppress(OSError):
        old = time.time() - os.fstat(lock).st_mtime > _WEEK
        if free is not False and (old or (free and here)):
            return lock
    os.close(lock)
    return None


def _take(lock: int) -> bool | None:
    """Lock a file without waiting; return whether it was free, None where that is not known."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return None
    return True


def _machine() -> tuple[str, str]:
    """Return short hashes of this start of the machine, and of its name."""
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
    except OSError:
        start = "unknown, of " + platform.node()
    names = (start, "named " + platform.node())
    first, second = (hashlib.sha256(name.encode()).hexdigest()[:12] for name in names)
    return first, second


def _restore(folder: Path, target: Path) -> None:
    """Move the older folder back, if nothing is in its place."""
    if (folder / REPLACED).exists() and not os.path.lexists(target):
        with suppress(OSError):
            (folder / REPLACED).rename(target)


def _remove(folder: Path) -> None:
    """Remove a working folder, its lock last; keep an older folder that has no other place."""
    kept = (folder / REPLACED).exists() and not os.path.lexists(
        folder.with_name(folder.name[1 : -_DIGITS - 1])
    )
    if kept:
        return
    with suppress(OSError):
        for path in sorted(folder.iterdir(), key=lambda path: path.name.startswith(_LOCK)):
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    with suppress(OSError):
        folder.rmdir()
