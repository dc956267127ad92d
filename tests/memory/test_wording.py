"""Texts that say the same, and texts that nearly do."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from remembering import DIFFERENT

from minnow.memory import Item, MemoryKind, Observation
from minnow.memory.items import milliseconds_of
from minnow.memory.wording import repeats, say_the_same

SAME = (
    ("I like dark roast coffee.", "I like dark-roasted coffee."),
    ("My daughter's name is Emma.", "The name of my daughter is Emma."),
    ("The user prefers short answers.", "User prefers short answers"),
    ("Buy milk and eggs tomorrow.", "Tomorrow buy eggs and milk."),
    ("He moved to Berlin in 2019.", "In 2019 he moved to Berlin."),
    ("The wifi password is on the fridge.", "The Wi-Fi password is on the fridge"),
    ("Anna is my sister.", "My sister is Anna."),
    ("I don't eat meat.", "I do not eat meat."),
    ("We won’t come.", "We will not come."),
    ("遥控器上的童锁", "遥控器上的童锁。"),
)
MORE_DIFFERENT = (
    ("Anna is taller than Bob.", "Bob is taller than Anna."),
    ("The cat chased the dog.", "The dog chased the cat."),
    ("I can eat nuts.", "I can't eat nuts."),
    ("Your sister is a nurse.", "My sister is a nurse."),
    ("The bus is late.", "The bus was late."),
    ("Take the red pill before the blue one.", "Take the blue pill before the red one."),
    ("I owe Tom ten euros.", "Tom owes me ten euros."),
    ("The keys are in the car.", "The keys are under the car."),
    ("Version 2 is out.", "Version 3 is out."),
    ("It weighs 3.5 kg.", "It weighs 35 kg."),
    ("Press 3 or 4.", "Press 4 or 3 times."),
    ("The code is 12.", "The code is 1 2."),
)


@pytest.mark.parametrize("pair", SAME)
def test_the_same(pair: tuple[str, str]) -> None:
    assert say_the_same(*pair)
    assert say_the_same(*pair[::-1])


@pytest.mark.parametrize("pair", [*DIFFERENT, *MORE_DIFFERENT])
def test_nearly_the_same(pair: tuple[str, str]) -> None:
    assert not say_the_same(*pair)
    assert not say_the_same(*pair[::-1])


def test_who_said_it_where_and_when() -> None:
    at = datetime(2026, 3, 1, tzinfo=timezone.utc)
    now = milliseconds_of(at)
    day = 86_400_000

    def merged(
        text: str, days: int = 0, said: str = "", speaker: str = "", session: str = ""
    ) -> bool:
        item = Item(1, text, MemoryKind.OBSERVATION, 0.5, at, at + timedelta(days=1), speaker=said)
        seen = Observation(text, speaker=speaker, session=session)
        return repeats(seen, now + days * day, item, now)

    assert merged("I ran to the lake")
    assert merged("I ran to the lake", 30)
    assert merged("I ran to the lake today")
    assert not merged("I ran to the lake today", 30)
    assert merged("I ran", said="Tom", speaker="Tom")
    assert not merged("I ran", said="Tom", speaker="Eve")
    assert not merged("Yes!", session="1")
