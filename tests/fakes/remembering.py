"""Memories without a model, and with a clock that tests move."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from fakes.searching import FakeModel
from minnow.memory import Memory
from minnow.search import IndexSettings, make_store

if TYPE_CHECKING:
    from pathlib import Path

START = datetime(2026, 3, 1, 9, tzinfo=timezone.utc)


class Clock:
    """A clock that shows the same time until it is moved."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time

    def move(self, **span: float) -> None:
        self.time += timedelta(**span)


def open_memory(file: Path, *, clock: Clock | None = None, **options: Any) -> Memory:
    """Open a file of memories with the model of tests, or make it; options are the model's too."""
    model = FakeModel(**{k: options.pop(k) for k in list(options) if k != "duplicate"})
    store = make_store(file, model.fingerprint, IndexSettings(64))
    return Memory(store, model, clock=clock or Clock(), **options)
