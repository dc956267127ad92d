"""Import of MNN and its extension modules, also where Linux refuses to load them.

MNN's wheels for x86-64 are linked without saying that they need no executable stack, which an ELF
file then asks for. glibc refuses to load such a library into a running process from version 2.41
of 2025, which Debian 13, Ubuntu 25.04 and Fedora 42 have. MNN works without one.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import os
import struct
import sys
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from types import ModuleType

_MAGIC = b"\x7fELF\x02\x01"
"""Of a little-endian ELF file of 64 bits, whose layout follows: elf(5)."""
_HEADERS, _HEADER_SIZE, _FLAGS = 0x20, 0x36, 4
_STACK, _EXECUTABLE = 0x6474E551, 1
"""PT_GNU_STACK, and the flag PF_X."""


def import_mnn_package(name: Literal["MNN", "MNN.llm"] = "MNN") -> Any:
    """Import MNN, or its module for LLMs: `from MNN import llm` is another module, of C.

    Raises:
        ImportError: It is not installed, or not for this machine.
    """
    import_mnn_module("_mnncengine")
    return importlib.import_module(name)


def import_mnn_module(name: Literal["_mnncengine", "_tools"]) -> ModuleType:
    """Import an extension module of MNN: the one of the runtime, or of the converter.

    Where its file asks for an executable stack and cannot be loaded, a copy in memory that does not
    ask for one is loaded instead.

    Raises:
        ImportError: It is not installed, or not for this machine.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        found = importlib.util.find_spec(name)
        if sys.platform != "linux" or found is None or found.origin is None:
            raise
        path = Path(found.origin)
        content = without_executable_stack(path.read_bytes())
        if content is None:
            raise
        return _import_copy(name, path, content)


def without_executable_stack(library: bytes) -> bytes | None:
    """Return a library that asks for no executable stack, or None if this one asks for none.

    Args:
        library: The content of a file.
    """
    if library[: len(_MAGIC)] != _MAGIC or len(library) < 64:
        return None
    (start,) = struct.unpack_from("<Q", library, _HEADERS)
    size, count = struct.unpack_from("<HH", library, _HEADER_SIZE)
    for place in range(start, start + size * count, size or 1):
        if place + 8 > len(library):
            return None
        kind, flags = struct.unpack_from("<II", library, place)
        if kind == _STACK and flags & _EXECUTABLE:
            changed = bytearray(library)
            struct.pack_into("<I", changed, place + _FLAGS, flags & ~_EXECUTABLE)
            return bytes(changed)
    return None


def _import_copy(name: str, path: Path, content: bytes) -> ModuleType:
    for library in path.parent.glob("mnn.libs/*.so*"):  # which the copy would seek beside it
        ctypes.CDLL(str(library))
    file = os.memfd_create(path.name)  # stays open: glibc tells libraries apart by their paths
    with open(file, "wb", closefd=False) as memory:
        memory.write(content)
    copy = f"/proc/self/fd/{file}"
    loader = ExtensionFileLoader(name, copy)
    spec = importlib.util.spec_from_file_location(name, copy, loader=loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[name] = module
    return module
