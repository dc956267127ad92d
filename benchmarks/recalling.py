"""Measure what memory recalls, and what each part of its score brings.

    python benchmarks/recalling.py BUNDLE [SEED ...]

A conversation of `conversations.py` is remembered: as texts in a collection, as texts with dates,
and as turns with speaker and session. Their importance is random. The figures are the share of the
turns that answer a question among ten recalled, and the difference to memory's defaults with a
paired interval of 95 % (bootstrap over scenes).
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from conversations import END, GROUP, PAIRS, make_conversation

from minnow.memory import PARK_2023, Memory, Observation, Weights
from minnow.search import Collection, IndexSettings, Record, make_store, open_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from conversations import Conversation
    from numpy.typing import NDArray

    from minnow.memory import Recalled
    from minnow.search import BundleModel

    Floats = NDArray[np.float32]
    Answers = Callable[[str], list[int]]

TEN = 10
KINDS = ("single", "multi", "time", "update", "open", "dated")
WEIGHTS = {
    "turns, defaults": Weights(),
    "without recency": Weights(recency=0),
    "without importance": Weights(importance=0),
    "without context": Weights(context=0),
    "without speaker": Weights(speaker=0),
    "without time": Weights(time=0),
    "relevance alone": Weights(1, 0, 0, 0, 0, 0),
    "Park et al. 2023": PARK_2023,
}


class Once:
    """A model that embeds each text once."""

    def __init__(self, model: BundleModel) -> None:
        self._model = model
        self.fingerprint, self.tokenizer, self.room = model.fingerprint, model.tokenizer, model.room
        self._known: dict[tuple[str, str], Floats] = {}

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        """Embed texts."""
        new = [text for text in dict.fromkeys(texts) if ("document", text) not in self._known]
        vectors = self._model.encode_documents(new)
        self._known |= {("document", t): v for t, v in zip(new, vectors, strict=True)}
        return np.array([self._known["document", text] for text in texts])

    def encode_queries(self, texts: Sequence[str]) -> Floats:
        """Embed questions."""
        for text in texts:
            if ("query", text) not in self._known:
                self._known["query", text] = self._model.encode_queries([text])[0]
        return np.array([self._known["query", text] for text in texts])


def measure(made: Conversation, model: Once, folder: Path, seed: int) -> dict[str, list[float]]:
    """Return the share of evidence for each question, by what recalls."""
    texts = [f"{turn.speaker}: {turn.text}" for turn in made.turns]
    found: dict[str, list[float]] = {}
    with Collection(folder / "a.index", model) as collection:
        collection.put(Record(str(i), text) for i, text in enumerate(texts))
        for mode in ("vector", "keyword", "hybrid"):
            found[f"collection, {mode}"] = _shares(
                made, lambda question, mode=mode: [  # type: ignore[misc]
                    int(collection.id_of(hit))
                    for hit in collection.search(question, TEN, mode=mode)
                ],
            )  # fmt: skip
    chance = random.Random(seed)
    importance = [chance.random() for _ in texts]
    for name, seen in (
        ("texts", [Observation(text, importance[i], made.turns[i].at)
                   for i, text in enumerate(texts)]),
        ("turns", [Observation(turn.text, importance[i], turn.at, speaker=turn.speaker,
                               session=turn.session) for i, turn in enumerate(made.turns)]),
    ):  # fmt: skip
        store = make_store(folder / f"{name}.memory", model.fingerprint, IndexSettings(64))
        with Memory(store, model, clock=lambda: END) as memory:
            numbers: dict[int, int] = {}
            for number, item in enumerate(memory.remember_many(seen)):
                numbers.setdefault(item.id, number)

            def recall(question: str, weights: Weights, window: int = 0) -> list[int]:
                recalled = memory.recall(question, TEN, weights=weights, window=window, touch=False)
                return [numbers[id_] for id_ in _ids(recalled)]  # noqa: B023

            if name == "texts":
                found["texts, defaults"] = _shares(made, lambda q: recall(q, Weights()))
                continue
            for label, weights in WEIGHTS.items():
                found[label] = _shares(made, lambda q, w=weights: recall(q, w))  # type: ignore[misc]
            found["with window=1"] = _shares(made, lambda q: recall(q, Weights(), 1))
    return found


def _ids(recalled: list[Recalled]) -> list[int]:
    return [i.id for one in recalled for i in (*one.before, one.item, *one.after)]


def _shares(made: Conversation, answers: Answers) -> list[float]:
    return [
        len(question.evidence.intersection(answers(question.text))) / len(question.evidence)
        for question in made.questions
    ]


def interval(differences: Floats, scenes: Sequence[str]) -> tuple[float, float]:
    """Return the interval of 95 % of a mean difference, drawing whole scenes."""
    _, places = np.unique(scenes, return_inverse=True)
    sums, counts = np.bincount(places, differences), np.bincount(places)
    drawn = np.random.default_rng(0).integers(len(sums), size=(2000, len(sums)))
    means = sums[drawn].sum(1) / counts[drawn].sum(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def main() -> None:
    """Print a table of all conversations together."""
    seeds = [int(seed) for seed in sys.argv[2:]] or [10, 11, 12]
    shares: dict[str, list[float]] = {}
    kinds: list[str] = []
    scenes: list[str] = []
    with open_model(sys.argv[1]) as bundle:
        model = Once(bundle)
        for number, seed in enumerate(seeds):
            people = GROUP if number == len(seeds) - 1 else PAIRS[number % len(PAIRS)]
            made = make_conversation(seed, people)
            with tempfile.TemporaryDirectory() as folder:
                for name, some in measure(made, model, Path(folder), seed).items():
                    shares.setdefault(name, []).extend(some)
            kinds += [question.kind for question in made.questions]
            scenes += [question.scene for question in made.questions]
            print(f"{seed}: {len(made.turns)} turns, {len(made.questions)} questions", flush=True)
    heads = ("", "all", *(f"{kind} ({kinds.count(kind)})" for kind in KINDS), "difference", "95 %")
    print(f"\n| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    base = np.array(shares["turns, defaults"])
    for name, some in shares.items():
        values = np.array(some)
        cells = [f"{values.mean():.3f}"]
        cells += [f"{values[np.array(kinds) == kind].mean():.3f}" for kind in KINDS]
        low, high = interval(values - base, scenes)
        cells += [f"{(values - base).mean():+.3f}", f"{low:+.3f} to {high:+.3f}"]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
