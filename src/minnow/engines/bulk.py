"""An engine of two: few batches run on one, many on a faster one that is opened when it pays."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from minnow.engines.base import Engine, TokenBatch

MANY = 4
"""Batches of a call in bulk."""
ENOUGH = 16
"""Batches in bulk with which the faster engine is opened, about 16 000 tokens.

MNN takes about two seconds for as many of all-MiniLM-L6-v2's, in which the other engine is opened
for the first time; with a larger model both take longer.
"""


class BulkEngine:
    """Engine that gives calls of many batches to a faster engine.

    The sizes of the calls so far decide, never the time: a call of fewer than MANY batches runs on
    the engine's own, and so do larger ones until they have had ENOUGH batches together. A forked
    child keeps to its own engine.

    Attributes:
        faster: The name of the faster engine, once it is open.
        outcome: Why it was opened or not, as a sentence; None before that.
    """

    def __init__(
        self, own: Engine, open_faster: Callable[[], tuple[Engine | None, str, str]]
    ) -> None:
        """Take over an engine.

        Args:
            own: Runs single batches; it closes with this one.
            open_faster: Opens the faster engine, or returns None in its place; its name, and the
                reason, as a sentence.
        """
        self.name, self.interface = own.name, own.interface
        self.faster: str | None = None
        self.outcome: str | None = None
        self._own, self._open_faster = own, open_faster
        self._faster: Engine | None = None
        self._batches = 0
        self._lock, self._process = threading.Lock(), os.getpid()

    def run(self, batch: TokenBatch) -> NDArray[np.float32]:
        """Run one forward pass on the engine's own."""
        return self._own.run(batch)

    def lanes(self, batches: int) -> Sequence[Engine]:
        """Return lanes of the engine that runs a call of so many batches.

        Raises:
            EngineError: The engine is closed.
        """
        if batches < MANY or os.getpid() != self._process:
            return self._own.lanes(batches)
        with self._lock:
            self._batches += batches
            if self._batches >= ENOUGH and self.outcome is None:
                self._own.lanes(1)  # refuses where it is closed
                self._faster, name, self.outcome = self._open_faster()
                self.faster = name if self._faster else None
            engine = self._faster or self._own
        return engine.lanes(batches)

    def close(self) -> None:
        """Close both engines."""
        self._own.close()
        with self._lock:
            if self._faster is not None:
                self._faster.close()
