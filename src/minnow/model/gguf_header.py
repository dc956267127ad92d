"""Reader of the names in a GGUF file's header, to tell a user which model it was made from.

Source of the format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, versions 2 and 3.
"""

from __future__ import annotations

import struct
from typing import IO, TYPE_CHECKING

from minnow.files import open_regular

if TYPE_CHECKING:
    from pathlib import Path

_MAGIC = b"GGUF"
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Number of a value's type -> its bytes; a type that is not here has another length each time."""
_STRING = 8
_LONGEST = 4096
_MOST = 200

_ORIGINALS = (
    "general.base_model.0.repo_url",
    "general.source.repo_url",
    "general.source.huggingface.repository",
    "general.source.url",
    "general.repo_url",
    "general.name",
    "general.basename",
)


def original_of(path: Path) -> str | None:
    """Return the address or name of the model that a GGUF file was made from.

    Args:
        path: The file.

    Returns:
        The best that the header states; None if it states nothing, or is no such header.
    """
    try:
        with open_regular(path) as file:
            names = _read_names(file)
    except (OSError, ValueError, struct.error):
        return None
    return next((names[key] for key in _ORIGINALS if names.get(key)), None)


def _read_names(file: IO[bytes]) -> dict[str, str]:
    """Read the strings under `general.`; they come first, before the long arrays."""
    magic, version, _, count = struct.unpack("<4sIQQ", file.read(24))
    if magic != _MAGIC or version not in (2, 3):
        return {}
    names: dict[str, str] = {}
    for _ in range(min(count, _MOST)):
        key = _read_string(file)
        (kind,) = struct.unpack("<I", file.read(4))
        if kind == _STRING:
            value = _read_string(file)
            if key.startswith("general."):
                names[key] = " ".join(value.split())
        elif kind in _SIZES:
            file.seek(_SIZES[kind], 1)
        elif key.startswith("general."):
            _skip_array(file)
        else:
            break
    return names


def _skip_array(file: IO[bytes]) -> None:
    """Skip a short array, such as the tags or languages of a model."""
    kind, count = struct.unpack("<IQ", file.read(12))
    for _ in range(min(count, _LONGEST)):
        if kind == _STRING:
            _read_string(file)
        else:
            file.seek(_SIZES.get(kind, 0), 1)


def _read_string(file: IO[bytes]) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _LONGEST * 16:
        raise ValueError("not the length of a name")
    return file.read(length).decode("utf-8", "replace")
