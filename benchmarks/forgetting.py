"""Measure what memory still recalls after it forgot.

    python benchmarks/forgetting.py BUNDLE [SEED ...]

A conversation of `conversations.py` is remembered as turns with speaker and session; their
importance is random. Every eighth question is asked, which counts as a use of the ten memories that
it recalls. Then a share of all memories is forgotten: by `Retention(keep=)`, by chance, and the
newest. The figures are the share of the turns that answer a question among ten recalled, before and
after, for the questions that were asked and for the others.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from conversations import END, GROUP, PAIRS, make_conversation
from recalling import TEN, Once

from minnow.memory import Memory, Observation, Retention
from minnow.search import IndexSettings, make_store, open_model

if TYPE_CHECKING:
    from conversations import Conversation

SHARES = (0.25, 0.5, 0.75)


def measure(
    made: Conversation, model: Once, share: float, rule: str, seed: int
) -> list[list[float]]:
    """Return shares of evidence: asked questions before and after, then the others alike."""
    chance = random.Random(seed)
    seen = [
        Observation(turn.text, chance.random(), turn.at, speaker=turn.speaker, session=turn.session)
        for turn in made.turns
    ]
    asked = made.questions[::8]
    others = [one for one in made.questions if one not in asked]
    with tempfile.TemporaryDirectory() as folder:
        store = make_store(Path(folder, "a.memory"), model.fingerprint, IndexSettings(64))
        with Memory(store, model, clock=lambda: END) as memory:
            numbers: dict[int, int] = {}
            for number, item in enumerate(memory.remember_many(seen)):
                numbers.setdefault(item.id, number)

            def found(question: str, *, touch: bool = False) -> set[int]:
                recalled = memory.recall(question, TEN, touch=touch)
                return {numbers[one.item.id] for one in recalled}

            def shares(touch: bool = False) -> list[list[float]]:
                return [
                    [
                        len(one.evidence & found(one.text, touch=touch and some is asked))
                        / len(one.evidence)
                        for one in some
                    ]
                    for some in (others, asked)
                ]

            before = shares(touch=True)
            keep = round(len(numbers) * (1 - share))
            if rule == "Retention(keep=)":
                memory.forget_outdated(Retention(keep=keep))
            else:
                ids = sorted(numbers)  # in the order of time
                drawn = chance.sample(ids, len(ids) - keep)
                memory.forget(*(drawn if rule == "by chance" else ids[keep:]))
            after = shares()
    return [before[1], after[1], before[0], after[0]]


def main() -> None:
    """Print a table of all conversations together."""
    seeds = [int(seed) for seed in sys.argv[2:]] or [10, 11, 12]
    heads = ("forgotten", "rule", "asked, before", "after", "others, before", "after")
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    with open_model(sys.argv[1]) as bundle:
        model = Once(bundle)
        for share in SHARES:
            for rule in ("Retention(keep=)", "by chance", "the newest"):
                columns: list[list[float]] = [[], [], [], []]
                for number, seed in enumerate(seeds):
                    people = GROUP if number == len(seeds) - 1 else PAIRS[number % len(PAIRS)]
                    made = make_conversation(seed, people)
                    for column, some in zip(
                        columns, measure(made, model, share, rule, seed), strict=True
                    ):
                        column.extend(some)
                cells = " | ".join(f"{np.mean(column):.3f}" for column in columns)
                print(f"| {share:.0%} | {rule} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
