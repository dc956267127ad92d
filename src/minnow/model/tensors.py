"""Tensors that are read when they are asked for: a large model need not be in memory as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Read = Callable[[], Floats]


class LazyTensors(Mapping[str, Floats]):
    """Tensors by name; each is read, or computed, anew whenever it is looked up."""

    def __init__(self, tensors: Mapping[str, Floats] | None = None) -> None:
        """Take tensors; lazy ones are not read."""
        self._reads: dict[str, Read] = {}
        self.update(tensors or {})

    def __getitem__(self, name: str) -> Floats:
        return self._reads[name]()

    def __contains__(self, name: object) -> bool:
        return name in self._reads

    def __iter__(self) -> Iterator[str]:
        return iter(self._reads)

    def __len__(self) -> int:
        return len(self._reads)

    def __or__(self, other: Mapping[str, Floats]) -> LazyTensors:
        """Return these tensors with those of another mapping in place of, or beside, them."""
        joined = LazyTensors(self)
        joined.update(other)
        return joined

    def update(self, other: Mapping[str, Floats]) -> None:
        """Take the tensors of another mapping; lazy ones are not read."""
        for name in other:
            read = partial(other.__getitem__, name)
            self.put(name, other._reads[name] if isinstance(other, LazyTensors) else read)

    def put(self, name: str, read: Read) -> None:
        """Have a function return a tensor from now on."""
        self._reads[name] = read
