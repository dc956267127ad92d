"""A token engine without a runtime: its states are known, and it records its calls."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import numpy as np

from minnow.engines.base import check_batch
from minnow.errors import EngineError
from minnow.model.spec import Interface

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from minnow.engines.base import TokenBatch
    from minnow.model.spec import EncoderSpec


class FakeEngine:
    """The state of a token is its word's row plus its position's row, in any batch.

    Attributes:
        shapes: The (batch, tokens) of every run, in order.
        lengths: The lengths, without padding, of the rows of every run.
        nan_at: The number of the run, counted from 0, whose states are NaN; none by default.
        interface: Token states, or vectors: the sums of a text's states.
    """

    name = "fake"

    def __init__(
        self,
        spec: EncoderSpec,
        *,
        nan_at: int | None = None,
        interface: Interface = Interface.LAST_HIDDEN_STATE,
    ) -> None:
        generator = np.random.default_rng(7)
        self._words = generator.normal(size=(spec.vocab_size, spec.width)).astype(np.float32)
        self._positions = generator.normal(size=(spec.positions, spec.width)).astype(np.float32)
        self._spec = spec
        self._closed = False
        self._lock = threading.Lock()
        self.nan_at = nan_at
        self.interface = interface
        self.shapes: list[tuple[int, int]] = []
        self.lengths: list[list[int]] = []

    def run(self, batch: TokenBatch) -> NDArray[np.float32]:
        check_batch(batch, self._spec)
        with self._lock:
            if self._closed:
                raise EngineError("This engine is closed.")
            broken = len(self.shapes) == self.nan_at
            self.shapes.append(batch.shape)
            self.lengths.append(batch.attention_mask.sum(1).tolist())
        states: NDArray[np.float32] = (
            self._words[batch.input_ids] + self._positions[: batch.shape[1]]
        )
        if self.interface is Interface.SENTENCE_EMBEDDING:
            states = (states * batch.attention_mask[:, :, None]).sum(1, dtype=np.float32)
        return states * np.float32(np.nan) if broken else states

    def lanes(self, batches: int) -> Sequence[FakeEngine]:
        del batches
        return (self,)

    def states(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Return the states of one text's tokens: float32 of shape (tokens, width)."""
        return self._words[list(ids)] + self._positions[: len(ids)]

    def close(self) -> None:
        self._closed = True

    @property
    def padding(self) -> float:
        """Return the share of all tokens run so far that were padding."""
        run = sum(batch * tokens for batch, tokens in self.shapes)
        return 1 - sum(map(sum, self.lengths)) / run
