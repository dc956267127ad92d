"""Memories in an index file: remembered, recalled, reflected on, forgotten.

`Memory` is the class that users open. `docs/memory.md` describes the scores, and
`docs/index-format.md` the tables, for readers in other languages.
"""

from minnow.memory.clusters import Grouping
from minnow.memory.items import Item, MemoryKind, Observation, Recalled
from minnow.memory.memory import Memory
from minnow.memory.retention import Retention
from minnow.memory.scoring import Weights

__all__ = [
    "Grouping", "Item", "Memory", "MemoryKind", "Observation", "Recalled", "Retention", "Weights",
]  # fmt: skip
