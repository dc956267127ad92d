"""Measure what memory recalls for questions that name a time relative to now.

    python benchmarks/recalling_dates.py BUNDLE [SEED ...]

The turns of conversations of `conversations.py` are remembered. A question is asked at nine in the
evening, a day to two months after its answer was said, with the words for that time ("yesterday",
"two weeks ago", "last May"); memory knows what was said until then. "what" asks for all that
somebody said in a session. Of the seeds from 30 on only the scenes of `conversations_long.txt`
count, which chose nothing in memory.

Figures are the share of what answers among ten recalled, by memory as it is and by one that looks
for the words of the time, too, and the difference with its paired interval of 95 % over scenes.
"""

from __future__ import annotations

import random
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from unittest.mock import patch

import numpy as np
from conversations import END, FILE, GROUP, LONG, PAIRS, make_conversation, read_scenes
from recalling import TEN, Once, interval

from minnow.memory import Memory, Observation
from minnow.memory.dates import Period, read_period
from minnow.memory.items import milliseconds_of
from minnow.search import IndexSettings, make_store, open_model

if TYPE_CHECKING:
    from datetime import datetime

    from conversations import Conversation, Turn

UNSEEN = 30
DAYS = (1, 1, 2, 3, 6, 14, 14, 21, 40, 60)
ABOUT = (
    "What did {who} say {when}?", "What did {who} note {when}?",
    "What did {who} talk about {when}?", "What was new with {who} {when}?",
)  # fmt: skip


class Asked(NamedTuple):
    """A question at a time, the numbers of the turns that answer it, and what it is about."""

    text: str
    at: datetime
    evidence: frozenset[int]
    kind: str
    scene: str


def ask(made: Conversation, chance: random.Random) -> list[Asked]:
    """Make the questions."""
    found = []
    for question in made.questions:
        turns = [made.turns[number] for number in question.evidence]
        if question.kind != "single" or len({turn.session for turn in turns}) > 1:
            continue
        when, now = _later(turns[0], chance.choice(DAYS), chance)
        text = f"{question.text[:-1]} {when}?"
        if chance.random() < 0.3:
            text = f"{when.capitalize()}, {question.text[0].lower()}{question.text[1:]}"
        found.append(Asked(text, now, question.evidence, "relative", question.scene))
    sessions: dict[str, list[Turn]] = {}
    for turn in made.turns:
        sessions.setdefault(turn.session, []).append(turn)
    for session, turns in sessions.items():
        who = turns[len(turns) // 2].speaker
        own = frozenset(turn.number for turn in turns if turn.speaker == who)
        for days in (1, 7, 14):
            when, now = _later(turns[0], days, chance)
            text = chance.choice(ABOUT).format(who=who, when=when)
            found.append(Asked(text, now, own, "what", session))
    return [one for one in found if one.at <= END]


def _later(turn: Turn, days: int, chance: random.Random) -> tuple[str, datetime]:
    """Return words for the time of a turn some days later, and that time."""
    now = (turn.at + timedelta(days=days)).replace(hour=21)
    said = {
        1: "yesterday",
        2: "the day before yesterday",
        14: "two weeks ago",
        21: "three weeks ago",
    }
    if days in said:
        return said[days], now
    if days > 21:
        months = [] if turn.at.month == now.month else [f"last {turn.at:%B}"]
        return chance.choice([f"{days // 7} weeks ago", *months]), now
    week = "this week" if now.isocalendar()[1] == turn.at.isocalendar()[1] else "last week"
    return chance.choice(
        [week, f"{days} days ago", f"last {turn.at:%A}"] if days < 7 else [week]
    ), now


def keep_words(question: str, now: datetime, latest: datetime | None) -> tuple[Period | None, str]:
    """Read the time of a question, and look for all of its words."""
    return read_period(question, now, latest)[0], question


def measure(made: Conversation, asked: list[Asked], model: Once) -> list[list[float]]:
    """Return the share of evidence of each question, by memory as it is and with all words."""
    seen = [Observation(turn.text, 0.5, turn.at, speaker=turn.speaker, session=turn.session)
            for turn in made.turns]  # fmt: skip
    now, shares = END, list[list[float]]()
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder, "a.memory"), model.fingerprint, IndexSettings(64))
        with Memory(store, model, clock=lambda: now, duplicate=1.1) as memory:
            ids = [item.id for item in memory.remember_many(seen)]
            for read in (read_period, keep_words):
                shares.append([])
                for text, now, evidence, *_ in asked:
                    until = [milliseconds_of(now)]
                    with patch("minnow.memory.memory.read_period", read):
                        found = memory.recall(
                            text, TEN, where="created <= ?", params=until, touch=False
                        )
                    hits = evidence.intersection(ids.index(one.item.id) for one in found)
                    shares[-1].append(len(hits) / min(TEN, len(evidence)))
    return shares


def main() -> None:
    """Print a table."""
    seeds = [int(seed) for seed in sys.argv[2:]] or [10]
    unseen = {scene.name for scene in read_scenes(LONG)}
    rows: dict[str, list[tuple[float, float, str]]] = {}
    with open_model(sys.argv[1]) as bundle:
        model = Once(bundle)
        for number, seed in enumerate(seeds):
            files = (FILE, LONG) if seed >= UNSEEN else (FILE,)
            made = make_conversation(
                seed, GROUP if seed == 12 else PAIRS[number % len(PAIRS)], files
            )
            if seed >= UNSEEN:
                made.questions = [one for one in made.questions if one.scene in unseen]
            asked = ask(made, random.Random(seed))
            shares = measure(made, asked, model)
            for one, now, before in zip(asked, *shares, strict=True):
                label = one.kind + (", unseen" if seed >= UNSEEN else "")
                rows.setdefault(label, []).append((now, before, f"{one.scene} {seed}"))
            print(f"{seed}: {len(made.turns)} turns, {len(asked)} questions", flush=True)
    heads = ("", "questions", "as it is", "with all words", "difference", "95 %")
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for label, some in rows.items():
        values = np.array([row[:2] for row in some])
        gaps = values[:, 0] - values[:, 1]
        low, high = interval(gaps, [row[2] for row in some])
        print(f"| {label} | {len(some)} | {values[:, 0].mean():.3f} | {values[:, 1].mean():.3f} "
              f"| {gaps.mean():+.3f} | {low:+.3f} to {high:+.3f} |")  # fmt: skip


if __name__ == "__main__":
    main()
