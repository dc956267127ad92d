"""Exchange of two paths in one step, where the system can."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_HERE = -100
"""AT_FDCWD of Linux: relative paths are those of the working directory."""
_EXCHANGE = 2
"""RENAME_EXCHANGE of renameat2(2) on Linux, and RENAME_SWAP of renamex_np(2) on macOS."""


def exchange(first: Path, second: Path) -> bool:
    """Exchange what lies at two paths of one file system, so that neither is ever missing.

    Returns:
        Whether that was possible; if not, nothing has changed.
    """
    names = os.fsencode(first), os.fsencode(second)
    try:
        system = ctypes.CDLL(None)
        if sys.platform == "linux":
            code = system.renameat2(_HERE, names[0], _HERE, names[1], _EXCHANGE)
        elif sys.platform == "darwin":
            code = system.renamex_np(*names, _EXCHANGE)
        else:
            return False
    except (OSError, AttributeError, TypeError):  # a C library without the function
        return False
    return int(code) == 0
