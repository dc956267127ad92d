"""What minnow in Python and in C++ have to remember and recall alike, step by step in one file."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from io import BytesIO
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from fakes.core_cases import FOLDER, ShortestFirst, round_numbers
from minnow.errors import MinnowError
from minnow.indexfile.opening import make_store
from minnow.indexfile.settings import IndexSettings
from minnow.memory import Memory, Observation, Weights
from minnow.memory.scoring import WEIGHTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo
    from pathlib import Path

    from fakes.searching import FakeModel


DUPLICATE = 0.3
"""So that more texts may be alike, and their words decide."""

NOW = 1_764_374_400_000  # 2025-11-29
_DAY = 86_400_000
_HOUR = 3_600_000
BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"
"""A zone as POSIX writes it in TZ: summer from the last Sunday of March to October's."""

AFTER_SUMMER = 1_761_521_400_000
"""2025-10-27 00:30 in Berlin: the day before had 25 hours."""

IN_REPEATED_HOUR = AFTER_SUMMER - 22 * _HOUR
"""2025-10-26 02:30 in Berlin, for the second time."""

AFTER_WINTER = 1_743_373_800_000
"""2025-03-31 00:30 in Berlin: the day before had 23 hours."""


def _said(text: str, days: float, **fields: Any) -> dict[str, Any]:
    return {"text": text, "at": int(NOW - days * _DAY), **fields}


MEMORY_STEPS: tuple[dict[str, Any], ...] = (
    {"remember": [
        _said("Emma is allergic to peanuts.", 40, importance=0.9, tags=["family", "Food"]),
        _said("The car needs new tyres.", 30.5, tags=["car"]),
        _said("Tom: I sold the old car in spring.", 20),
        _said("Tom: My sister lives in Vienna now.", 20 - 0.02),
        _said("Tom said, \"We go fishing on Friday.\"", 19.99),
        _said("In 2019 he moved to Berlin.", 400, importance=0.2),
        _said("冷冻室里有鱼。", 3, tags=["厨房"]),
        _said("Die Straße nach Łódź ist gesperrt.", 2, importance=1),
    ]},
    {"remember": [
        _said("Where did you put the keys?", 10, speaker="Anna", session="call 1"),
        _said("I left them in the kitchen.", 10 - 0.001, speaker="Bob Miller", session="call 1"),
        _said("My key is on the table, too.", 10 - 0.002, speaker="Anna", session="call 1"),
        _said("The meeting moved to 3.5 o'clock.", 9, speaker="Will", session="call 2"),
        _said("I can't come on Monday.", 9 - 0.001, speaker="Bob Miller", session="call 2"),
    ]},
    {"remember": [_said("emma's allergic to the peanuts", 1, tags=["health"], importance=0.95)]},
    {"remember": [_said("Emma is not allergic to peanuts.", 1)]},
    {"remember": [_said("He moved to Berlin in 2019!", 0.5)]},
    {"remember": [_said("The  Car needs new tyre", 0.4)]},
    {"remember": [_said("I go there today.", 0.3), _said("I go there today", 3)]},
    {"remember": [_said("My sister is Ida.", 0.3), _said("Ida is my sister.", 0.2)]},
    {"remember": [_said("Eggs and milk", 0.2), _said("milk and eggs", 0.1)]},
    {"remember": [_said("The 35 bus", 0.1), _said("The 3.5 bus", 0.1)]},
    {"remember": [_said("Emma should avoid peanuts in Vienna.", 0, sources=[1, 4])]},
    {"remember": [_said("[3 May 2025] Tom: I lost my keys in Oslo.", 210),
                  _said("Tom keeps the keys of the car in the kitchen.", 5)]},
    *({"recall": query, "options": {"touch": False}} for query in (
        "what can I cook for Emma?", "Where does Tom live?", "what did Anna say about the keys",
        "Will the meeting move?", "When did Bob come?", "what happened two weeks ago",
        "what did he do in 2019", "who sold the car last May or in spring", "family food",
        "what was between March and May", "since 2025-11-20 what", "on 9 November", "last Friday",
        "yesterday or the day before yesterday", "in the past 3 days", "a few weeks ago", "鱼",
        "before 2020", "after November 20th", "last weekend", "this month", "31 February",
        "on 29 February",
        "STRASSE", "厨房", "the the", "", "until 2019-12", "a couple of months ago",
        "in winter 2024", "in April about 20 people", "May I come?", "last 2 years",
        "the year 2019 of Tom's life", "where are Tom's keys?", "Where does Anna put her keys?",
        "Today, who goes there?", 'who said "I go there today"', "today",
        "Tom's  car between last May and last June", "what did Tom sell 3 weeks ago and in 2019?",
    )),
    {"recall": "keys", "options": {"touch": False, "window": 2, "session": "call 1"}},
    {"recall": "car", "options": {"touch": False, "tags": ["car"]}},
    {"recall": "key", "options": {"touch": False, "speaker": "Anna"}},
    {"recall": "car", "options": {"touch": False, "where": "importance > ?", "params": [0.4]}},
    {"recall": "Emma", "options": {"touch": False, "weights": "park2023"}, "k": 20},
    {"recall": "Emma", "k": 20,
     "options": {"touch": False, "weights": {"relevance": 1, "context": 0, "half_life": 7}}},
    {"recall": "Emma", "k": 3, "reranked": True, "options": {"touch": False}},
    {"recall": "keys", "k": 2, "reranked": True,
     "options": {"touch": False, "candidates": 4, "window": 1}},
    {"recall": "Emma in Vienna", "k": 3},
    {"recall": "Emma in Vienna", "k": 3, "options": {"now": NOW + 5 * _DAY}},
    *({"recall": query, "zone": BERLIN, "options": {"touch": False, "now": now}}
      for now in (AFTER_SUMMER, IN_REPEATED_HOUR, AFTER_WINTER)
      for query in ("yesterday", "what was today", "in the past 3 days", "last weekend",
                    "a month ago", "since 26 October", "on 30 March", "last summer",
                    "before October")),
    {"forget": [2, 99]},
    {"recall": "the car", "k": 4, "options": {"touch": False}},
    {"items": {}},
    {"items": {"limit": 3, "tags": ["family"]}},
    {"refused": {"remember": [_said(" ", 0)]}},
    {"refused": {"remember": [_said("a", 0), _said("b", 0, importance=2)]}},
    {"refused": {"remember": [_said("a", 0, sources=[77])]}},
    {"refused": {"recall": "a", "k": 0}},
    {"refused": {"recall": "a", "options": {"candidates": 9}}},
    {"refused": {"recall": "a", "reranked": True, "options": {"candidates": 4}}},
    {"items": {}},
)  # fmt: skip


class PythonMemory:
    """Memories in Python, called by the steps."""

    def __init__(self, file: Path, model: FakeModel) -> None:
        self._now = NOW
        self._zone: tzinfo = timezone.utc
        store = make_store(file, model.fingerprint, IndexSettings(model.room))
        self.memory = Memory(store, model, clock=self._time, duplicate=DUPLICATE)

    def _time(self) -> datetime:
        return _time(self._now).astimezone(self._zone)

    def __enter__(self) -> PythonMemory:
        return self

    def __exit__(self, *_: object) -> None:
        self.memory.close()

    def take(self, step: Mapping[str, Any]) -> Any:
        """Take a step; return its answer as `essence_of` has it."""
        options = dict(step.get("options", {}))
        self._now = options.pop("now", NOW)
        self._zone = zone_of(step["zone"]) if "zone" in step else timezone.utc
        if isinstance(weights := options.get("weights"), str):
            options["weights"] = WEIGHTS[weights]
        elif weights is not None:
            days = timedelta(days=weights["half_life"])
            options["weights"] = replace(Weights(**{**weights, "half_life": days}))
        if "remember" in step:
            seen = [Observation(**{**o, "at": _time(o["at"])}) for o in step["remember"]]
            found = self.memory.remember_many(seen)
        elif "forget" in step:
            found = self.memory.forget(*step["forget"])
        elif "items" in step:
            found = self.memory.items(**step["items"])
        else:
            if step.get("reranked"):
                options["reranker"] = ShortestFirst()
            recalled = self.memory.recall(step["recall"], step.get("k", 5), **options)
            return essence_of([one.facts() for one in recalled])
        return essence_of([item.facts() for item in found])


def take(memory: Any, step: Mapping[str, Any], failure: type[Exception] = MinnowError) -> Any:
    """Take a step; return its answer, or that it was refused."""
    if "refused" not in step:
        return memory.take(step)
    try:
        return memory.take(step["refused"])
    except failure:
        return "refused"


def zone_of(rule: str) -> tzinfo:
    """Return the zone of a rule as POSIX writes it, in a file (RFC 9636) without other times."""
    head, types = b"TZif2" + bytes(15), bytes(6)
    counts = (struct.pack(">6L", *some) for some in ((0,) * 6, (0, 0, 0, 0, 1, 1)))
    first, second = (head + count for count in counts)
    return ZoneInfo.from_file(BytesIO(first + second + types + b"\0\n" + rule.encode() + b"\n"))


def essence_of(facts: list[dict[str, Any]]) -> Any:
    """Return what is compared of items and of what was recalled."""
    for one in facts:
        for name in ("before", "after"):
            if name in one:
                one[name] = [turn["id"] for turn in one[name]]
    return round_numbers(facts)


def read_steps() -> dict[str, Any]:
    """Return memory.json."""
    found: dict[str, Any] = json.loads((FOLDER / "memory.json").read_text(encoding="utf-8"))
    return found


def _time(milliseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=timezone.utc) + timedelta(milliseconds=milliseconds)
