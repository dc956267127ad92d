"""Files and folders that appear whole at their destination, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.errors import OutputError
from minnow.exchange import exchange
from minnow.signals import uninterrupted
from minnow.workfolder import REPLACED, restore_replaced, work_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedReader


_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading; never wait for the writer of a pipe in its place.

    Raises:
        OSError: It cannot be opened, or is something else; `strerror` says what.
    """
    descriptor = os.open(path, os.O_RDONLY | _WITHOUT_WAITING)
    try:
        kind = stat.S_IFMT(os.fstat(descriptor).st_mode)
        if kind == stat.S_IFDIR:
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if kind != stat.S_IFREG:
            raise OSError(errno.EINVAL, f"it is {_KINDS.get(kind, 'no file')}", str(path))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


LARGEST_JSON = 256 << 20
"""Bytes of the largest JSON file of a model that is read."""


def read_regular(path: Path, most: int = LARGEST_JSON) -> bytes:
    """Read a whole regular file that has at most so many bytes.

    Raises:
        OSError: As `open_regular`, or the file is larger.
    """
    with open_regular(path) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise OSError(errno.EFBIG, f"it is larger than {most >> 20} MB", str(path))
    return content


@contextmanager
def writing(destination: Path) -> Iterator[None]:
    """Turn the system's refusals to write into one-line errors.

    Raises:
        OutputError: In place of an OSError, naming the destination and the reason.
    """
    try:
        yield
    except OSError as error:
        name = str(error.filename or "")
        ours = not name or f".{destination.name}." in name
        raise OutputError(
            f"Cannot write {destination}: {error.strerror or error}"
            f"{'' if ours else f' ({name})'}. Nothing was written there."
        ) from error


def check_file(destination: Path) -> Path:
    """Check that a file can be written, before any long work starts.

    Returns:
        Its path without symbolic links.

    Raises:
        OutputError: The destination is a folder, or its parent is not, or cannot be written.
    """
    with writing(destination):
        target = Path(os.path.realpath(destination))  # `resolve` raises at a loop of links
        if target.is_dir():
            raise OutputError(f"{destination} is a folder.")
        if not target.parent.is_dir():
            raise OutputError(
                f"Cannot write {destination}: {destination.parent} is not a folder. Make it first."
            )
        if not target.exists() and not os.access(target.parent, os.W_OK | os.X_OK):
            raise OutputError(
                f"Cannot write {destination}: no file can be made in its folder. Name "
                "another place."
            )
    return target


@contextmanager
def whole_file(destination: Path) -> Iterator[Path]:
    """Yield a hidden path; the file written there replaces the destination at the end.

    Raises:
        OutputError: The file cannot be written; an older one is kept.
    """
    target = check_file(destination)
    with writing(destination), work_folder(target) as folder:
        staged = folder / target.name
        yield staged
        sync(staged)
        staged.replace(target)


@contextmanager
def staging_folder(destination: Path) -> Iterator[Path]:
    """Make a folder to build in, within a hidden one beside the destination.

    At the end both are removed, unless the inner one was renamed, and so are the parent directories
    that were made for it, if they are empty. The hidden folders of killed runs are removed first.

    Raises:
        OutputError: The folder cannot be made or written.
    """
    with writing(destination):
        place = destination.resolve()
        made = [parent for parent in place.parents if not parent.exists()]
        place.parent.mkdir(parents=True, exist_ok=True)
    try:
        with writing(destination), work_folder(place) as folder:
            staged = folder / place.name
            staged.mkdir()
            yield staged
    finally:
        for parent in made:
            with suppress(OSError):
                parent.rmdir()


def restore_if_missing(folder: Path) -> None:
    """Return a folder to its place if a run was killed between the two steps of replacing it."""
    with suppress(OSError, ValueError, RuntimeError):  # a name that no file can have
        if not os.path.lexists(folder):
            restore_replaced(folder.resolve())


def remove_folder(folder: Path) -> None:
    """Remove a folder and its contents; a second Ctrl-C does not interrupt that."""
    with uninterrupted():
        shutil.rmtree(folder, ignore_errors=True)


def sync(path: Path) -> None:
    """Flush a file to the disk, or a folder where the system can.

    Raises:
        OSError: A file could not be written.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError:
        if not path.is_dir():
            raise


def replace_folder(staged: Path, destination: Path) -> None:
    """Rename a folder of `staging_folder` to its destination, or exchange it with an older folder.

    Where the system cannot exchange two folders in one step, the older one is moved aside first,
    and back if the new one cannot take its place. If the process is killed between the two steps,
    `restore_replaced` of the next run or the next opening moves it back.

    Raises:
        OSError: The system refuses; the older folder is in place.
    """
    with uninterrupted():
        if not destination.exists():
            staged.rename(destination)
        elif exchange(staged, destination):
            remove_folder(staged)
        else:
            aside = staged.with_name(REPLACED)
            destination.rename(aside)
            try:
                staged.rename(destination)
            except BaseException:
                aside.rename(destination)
                raise
            remove_folder(aside)
