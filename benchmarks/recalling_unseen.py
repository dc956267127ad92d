"""Measure what memory recalls of conversations that played no part in choosing its weights.

    python benchmarks/recalling_unseen.py BUNDLE [SEED ...]

The scenes of `conversations_long.txt` lie among those of `conversations.txt`, and only they are
asked about: with the name of the person who said the answer, and ("other") with that of the one who
did not. They are remembered as texts, as turns, and as turns among facts that nobody said
(`notes.txt`), which are asked about as well. A collection holds the same texts. Figures are the
share of what answers among ten found, with the difference to the collection.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from conversations import (
    END,
    FILE,
    LONG,
    PAIRS,
    Question,
    ask_the_other,
    make_conversation,
    read_notes,
    read_scenes,
)
from recalling import TEN, Once, interval

from minnow.memory import Memory, Observation
from minnow.search import Collection, IndexSettings, Record, make_store, open_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from conversations import Turn

KINDS = ("single", "multi", "time", "dated", "open", "other", "note")
HYBRID = "collection, hybrid"


def measure(
    turns: Sequence[Turn], notes: Sequence[str], questions: Sequence[Question], model: Once
) -> dict[str, list[float]]:
    """Return the share of evidence for each question, by what recalls; notes count behind turns."""
    texts = [f"{turn.speaker}: {turn.text}" for turn in turns]
    facts = [
        Observation(note, at=turns[number * 25 % len(turns)].at)
        for number, note in enumerate(notes)
    ]
    said = [Observation(turn.text, 0.5, turn.at, speaker=turn.speaker, session=turn.session)
            for turn in turns]  # fmt: skip
    dated = [Observation(text, 0.5, turn.at) for text, turn in zip(texts, turns, strict=True)]
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        with Collection(Path(folder, "a.index"), model) as collection:
            collection.put(Record(str(i), text) for i, text in enumerate([*texts, *notes]))
            found[HYBRID] = [
                [int(collection.id_of(hit)) for hit in collection.search(one.text, TEN)]
                for one in questions
            ]
        for name, seen in (("texts", [*dated, *facts]), ("turns", [*said, *facts])):
            store = make_store(Path(folder, name), model.fingerprint, IndexSettings(64))
            with Memory(store, model, clock=lambda: END) as memory:
                ids = [item.id for item in memory.remember_many(seen)]
                numbers = {id_: number for number, id_ in reversed(list(enumerate(ids)))}
                found[name] = [
                    [numbers[one.item.id] for one in memory.recall(q.text, TEN, touch=False)]
                    for q in questions
                ]
    return {
        name: [
            len(question.evidence.intersection(some)) / len(question.evidence)
            for question, some in zip(questions, answers, strict=True)
        ]
        for name, answers in found.items()
    }


def main() -> None:
    """Print a table, which grows with each conversation."""
    unseen = {scene.name for scene in read_scenes(LONG)}
    shares: dict[str, list[float]] = {}
    asked: dict[str, list[Question]] = {}
    with open_model(sys.argv[1]) as bundle:
        model = Once(bundle)
        for number, seed in enumerate([int(seed) for seed in sys.argv[2:]] or [31, 32, 33]):
            a, b = PAIRS[number % len(PAIRS)]
            made = make_conversation(seed, (a, b), (FILE, LONG))
            made.questions = [one for one in made.questions if one.scene in unseen]
            questions = made.questions + ask_the_other(made)
            notes = read_notes(a, b)
            about = [
                Question(text, "note", frozenset([len(made.turns) + place]), f"note {place // 2}")
                for place, (_, some) in enumerate(notes)
                for text in some
            ]
            for label, facts, those in (
                ("", [], questions),
                (", among notes", [fact for fact, _ in notes], questions + about),
            ):
                for name, some in measure(made.turns, facts, those, model).items():
                    shares.setdefault(name + label, []).extend(some)
                    asked.setdefault(name + label, []).extend(those)
            print(f"\n{seed}: {len(made.turns)} turns, {len(questions)} and {len(about)} questions")
            show(shares, asked)


def show(shares: dict[str, list[float]], asked: dict[str, list[Question]]) -> None:
    """Print the table."""
    heads = ("", *KINDS, "difference", "95 %")
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for name, some in shares.items():
        values, questions = np.array(some), asked[name]
        kinds = np.array([question.kind for question in questions])
        base = np.array(shares[HYBRID + name.removeprefix("texts").removeprefix("turns")]
                        if not name.startswith(HYBRID) else some)  # fmt: skip
        low, high = interval(values - base, [question.scene for question in questions])
        cells = [f"{values[kinds == kind].mean():.3f}" if (kinds == kind).any() else ""
                 for kind in KINDS]  # fmt: skip
        cells += [f"{(values - base).mean():+.3f}", f"{low:+.3f} to {high:+.3f}"]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
