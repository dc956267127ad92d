"""Files and folders that come to be whole or not at all."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.errors import OutputError
from minnow.signals import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Iterator


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
    """Make sure that a file may be written, before long work begins.

    Returns:
        The place that it will have, behind all links.

    Raises:
        OutputError: It is a folder, or there is no folder to write it in.
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


def temporary_beside(path: Path) -> Path:
    """A hidden name in the same folder that nothing has yet."""
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}")


def remove_folder(folder: Path) -> None:
    """Remove a folder with all that is in it; a second Ctrl-C does not cut that short."""
    with uninterrupted():
        shutil.rmtree(folder, ignore_errors=True)


def sync(path: Path) -> None:
    """Have the system write a file to the disk, or a folder where it can.

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
    """Rename a folder to where nothing, or an older folder, is.

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


def cache_folder() -> Path:
    """Where vectors are kept: $MINNOW_CACHE, or minnow/ in the user's cache folder."""
    chosen = os.environ.get("MINNOW_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "minnow"
