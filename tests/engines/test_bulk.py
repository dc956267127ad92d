"""The engine of two: what runs where, by the sizes of the calls alone."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from minnow.engines.bulk import ENOUGH, MANY, BulkEngine
from minnow.errors import EngineError
from minnow.model.spec import Interface

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass
class FakeEngine:
    """An engine of one lane, which counts what it was asked for."""

    name: str
    interface: Interface = Interface.LAST_HIDDEN_STATE
    asked: list[int] = field(default_factory=list)
    closed: bool = False

    def run(self, batch: Any) -> Any:
        return self.name, batch

    def lanes(self, batches: int) -> Sequence[Any]:
        if self.closed:
            raise EngineError("This engine is closed.")
        self.asked.append(batches)
        return (self,)

    def close(self) -> None:
        self.closed = True


class Rig:
    """An engine whose faster one is a fake, or missing."""

    def __init__(self, *, missing: bool = False) -> None:
        self.own, self.faster = FakeEngine("own"), FakeEngine("faster")
        self.openings = 0
        self._missing = missing
        self.engine = BulkEngine(self.own, self._open)

    def _open(self) -> tuple[FakeEngine | None, str, str]:
        self.openings += 1
        if self._missing:
            return None, "own", "Not faster: it is out of order."
        return self.faster, "faster", "In bulk faster: it agrees."

    def runs(self, *calls: int) -> list[str]:
        return [self.engine.lanes(batches)[0].name for batches in calls]


def test_few_batches_never_open_another_engine() -> None:
    rig = Rig()
    assert rig.runs(*[MANY - 1] * 100) == ["own"] * 100
    assert rig.engine.run("batch") == ("own", "batch")  # type: ignore[arg-type]
    assert (rig.openings, rig.engine.outcome, rig.engine.faster) == (0, None, None)


def test_one_large_call_opens_it_and_small_ones_stay() -> None:
    rig = Rig()
    assert rig.runs(ENOUGH, 1, MANY, MANY - 1) == ["faster", "own", "faster", "own"]
    assert rig.openings == 1
    assert (rig.engine.faster, rig.engine.outcome) == ("faster", "In bulk faster: it agrees.")


def test_calls_in_bulk_add_up() -> None:
    rig = Rig()
    calls = [MANY] * (ENOUGH // MANY + 1)
    assert rig.runs(*calls) == ["own"] * (ENOUGH // MANY - 1) + ["faster"] * 2


def test_without_a_faster_engine_it_is_asked_for_once() -> None:
    rig = Rig(missing=True)
    assert rig.runs(ENOUGH, ENOUGH) == ["own", "own"]
    assert rig.openings == 1
    assert (rig.engine.faster, rig.engine.outcome) == (None, "Not faster: it is out of order.")


def test_a_forked_child_keeps_to_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    rig = Rig()
    rig.runs(ENOUGH)
    monkeypatch.setattr(os, "getpid", lambda: -1)
    assert rig.runs(ENOUGH) == ["own"]


def test_both_are_closed() -> None:
    rig = Rig()
    rig.runs(ENOUGH)
    rig.engine.close()
    assert (rig.own.closed, rig.faster.closed) == (True, True)


def test_a_closed_engine_opens_no_other() -> None:
    rig = Rig()
    rig.engine.close()
    with pytest.raises(EngineError, match="closed"):
        rig.runs(ENOUGH)
    assert rig.openings == 0
