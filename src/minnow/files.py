"""Files and folders that appear whole at their destination, or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from minnow.errors import OutputError
from minnow.signals import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Iterator


_KINDS = {
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
_WITHOUT_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_regular(path: Path) -> IO[bytes]:
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


def read_regular(path: Path, most: int) -> bytes:
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
        ours = not name or os.path.basename(name).startswith(f".{destination.name}.")  # noqa: PTH119
        raise OutputError(
            f"Cannot write {destination}: {error.strerror or error}"
            f"{'' if ours else f' ({name})'}. Nothing was written there."
        ) from error


def check_file(destination: Path) -> Path:
    """Check that a file can be written, before any long work starts.

    Returns:
        Its path without symbolic links.

    Raises:
        OutputError: The destination is a folder, or its parent is not.
    """
    with writing(destination):
        target = Path(os.path.realpath(destination))  # `resolve` raises at a loop of links
        if target.is_dir():
            raise OutputError(f"{destination} is a folder.")
        if not target.parent.is_dir():
            raise OutputError(
                f"Cannot write {destination}: {destination.parent} is not a folder. Make it first."
            )
    return target


@contextmanager
def whole_file(destination: Path) -> Iterator[Path]:
    """Yield a hidden path beside a file; the file written there replaces it at the end.

    Raises:
        OutputError: The file cannot be written; an older one is kept.
    """
    target = check_file(destination)
    staged = temporary_beside(target)
    try:
        with writing(destination):
            yield staged
            staged.replace(target)
    finally:
        with uninterrupted(), suppress(OSError):
            staged.unlink()


@contextmanager
def staging_folder(destination: Path) -> Iterator[Path]:
    """Make a hidden folder beside the destination to build in.

    At the end it is removed unless it was renamed, and so are the parent directories that were
    made for it, if they are empty.

    Raises:
        OutputError: The folder cannot be made or written.
    """
    with writing(destination):
        place = destination.resolve()
        made = [parent for parent in place.parents if not parent.exists()]
    staged = temporary_beside(place)
    try:
        with writing(destination):
            staged.mkdir(parents=True)
            yield staged
    finally:
        remove_folder(staged)
        for parent in made:
            with suppress(OSError):
                parent.rmdir()


def temporary_beside(path: Path) -> Path:
    """Return a hidden path in the same folder that does not exist yet."""
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}")


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
    """Rename a folder to a destination that does not exist, or that is an older folder.

    The older one is moved aside first, and back if the new one cannot take its place.

    Raises:
        OSError: The system refuses; the older folder is in place.
    """
    with uninterrupted():
        if not destination.exists():
            staged.rename(destination)
            return
        aside = temporary_beside(destination)
        destination.rename(aside)
        try:
            staged.rename(destination)
        except BaseException:
            aside.rename(destination)
            raise
        remove_folder(aside)
