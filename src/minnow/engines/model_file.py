"""A model's file that an engine reads again later, kept as it was when it was first opened."""

from __future__ import annotations

import os
import weakref
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from minnow.errors import EngineError
from minnow.files import open_regular
from minnow.graph.mnn_file import numbers_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_DESCRIPTORS = Path("/proc/self/fd")
"""Linux opens the file behind a descriptor anew here, even when its path leads elsewhere now."""

_numbers = count()


class ModelFile:
    """An open file, read by a runtime that takes paths.

    Another file may take its place on the disk meanwhile: where the system offers a path to an
    open file, the runtime reads this one again; elsewhere, and where the file itself was
    overwritten, reading it again is an error. So one engine never mixes two models.

    Attributes:
        path: Its path.
        outside: The file beside it that holds its numbers, where it does not hold them itself.
    """

    def __init__(self, path: Path) -> None:
        """Open a file.

        Raises:
            EngineError: It is missing, or no regular file.
        """
        self.path = path
        try:
            with open_regular(path) as file:
                self._descriptor = os.dup(file.fileno())
        except OSError as error:
            missing = isinstance(error, FileNotFoundError)
            reason = "there is no such file" if missing else error.strerror
            raise EngineError(f"MNN cannot load {path}: {reason}.") from error
        self._close = weakref.finalize(self, os.close, self._descriptor)
        self._state = _state(os.fstat(self._descriptor))
        outside = numbers_file(path)
        self.outside = ModelFile(outside) if outside else None

    @property
    def size(self) -> int:
        """Bytes of the files when they were opened."""
        return self._state[0] + (self.outside.size if self.outside else 0)

    @contextmanager
    def reading(self) -> Iterator[str]:
        """Yield a path to the content, spelled differently each time.

        Interpreters that MNN opens on the same string share one object and one lock.

        Raises:
            EngineError: The content is not what it was; checked before and after.
        """
        self._check()
        bits = bin(next(_numbers))[2:].replace("0", "./").replace("1", ".//")
        if _DESCRIPTORS.is_dir():
            yield f"{_DESCRIPTORS}/{bits}{self._descriptor}"
        else:
            yield f"{self.path.parent}/{bits}{self.path.name}"
        self._check()

    def check_numbers(self) -> None:
        """Check that the file of the numbers is as it was; MNN reads some of them again later.

        Raises:
            EngineError: It was replaced or overwritten.
        """
        if self.outside:
            self.outside._check()

    def close(self) -> None:
        """Close the file; `reading` fails from then on."""
        self._close()
        if self.outside:
            self.outside.close()

    def _check(self) -> None:
        try:
            found = os.fstat(self._descriptor)
            same = _state(found) == self._state
            if not _DESCRIPTORS.is_dir():
                same = same and os.path.samestat(found, self.path.stat())
        except OSError:
            same = False
        if not same:
            raise EngineError(
                f"{self.path} was replaced or overwritten since it was opened. Open it again."
            )


def _state(status: os.stat_result) -> tuple[int, int]:
    return status.st_size, status.st_mtime_ns
