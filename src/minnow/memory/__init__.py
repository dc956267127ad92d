"""Memories in an index file: remembered, recalled, reflected on, forgotten.

`Memory` is the class that users open. `docs/memory.md` describes the scores, and
`docs/index-format.md` the tables, for readers in other languages.

Each name is loaded when it is first used, because every program that opens an index file imports
`minnow.memory.schema`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from minnow.memory.clusters import Grouping
    from minnow.memory.items import Item, MemoryKind, Observation, Recalled
    from minnow.memory.local_time import local_now
    from minnow.memory.memory import Memory
    from minnow.memory.retention import Retention
    from minnow.memory.scoring import PARK_2023, Weights

__all__ = [
    "PARK_2023", "Grouping", "Item", "Memory", "MemoryKind", "Observation", "Recalled", "Retention",
    "Weights", "local_now",
]  # fmt: skip

_HOMES = {
    "minnow.memory.clusters": ("Grouping",),
    "minnow.memory.items": ("Item", "MemoryKind", "Observation", "Recalled"),
    "minnow.memory.local_time": ("local_now",),
    "minnow.memory.memory": ("Memory",),
    "minnow.memory.retention": ("Retention",),
    "minnow.memory.scoring": ("PARK_2023", "Weights"),
}


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'minnow.memory' has no attribute {name!r}")
