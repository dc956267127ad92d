"""Memories in an index file: remembered, recalled, reflected on, forgotten.

`Memory` is what users open. `docs/memory.md` says how it scores; `docs/index-format.md` describes
the tables, for readers in other languages.
"""

from minnow.memory.clusters import Grouping
from minnow.memory.items import Item, Kind, Observation, Recalled
from minnow.memory.memory import Memory
from minnow.memory.retention import Retention
from minnow.memory.scoring import Weights

__all__ = ["Grouping", "Item", "Kind", "Memory", "Observation", "Recalled", "Retention", "Weights"]
