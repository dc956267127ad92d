"""Measure which texts are merged with a memory, and how fast memories are.

    python benchmarks/remembering.py BUNDLE

`SAME` are pairs of sentences with the same meaning, `DIFFERENT` similar pairs that must not be
merged. Both were written before the rule was chosen. Times use synthetic vectors, and sentences
made of 20 000 words whose frequencies are those of a language. `recalling.py` measures what is
found.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import numpy as np

from minnow.memory import Grouping, Memory, Observation
from minnow.memory.closeness import background, least_cosine
from minnow.memory.wording import say_the_same
from minnow.search import IndexSettings, make_store, open_model, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from minnow.search import BundleModel

    Floats = NDArray[np.float32]
    Pairs = Sequence[tuple[str, str]]

SIZES = (1_000, 10_000, 100_000)
ROUNDS = 15
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
SAME = (
    ("I like dark roast coffee.", "I like dark-roasted coffee."),
    ("My daughter's name is Emma.", "The name of my daughter is Emma."),
    ("The meeting is on Tuesday at 3 pm.", "Meeting: Tuesday at 3 pm."),
    ("She is allergic to peanuts.", "She has a peanut allergy."),
    ("I work as a nurse in Hamburg.", "I'm a nurse and I work in Hamburg."),
    ("The user prefers short answers.", "User prefers short answers."),
    ("Buy milk and eggs tomorrow.", "Tomorrow buy eggs and milk."),
    ("The car needs new tyres.", "The car needs new tires."),
    ("He moved to Berlin in 2019.", "In 2019 he moved to Berlin."),
    ("My flight to Oslo leaves at 6:40.", "The flight to Oslo leaves at 6:40."),
    ("We had dinner at Luigi's.", "We ate dinner at Luigi's."),
    ("The wifi password is on the fridge.", "The Wi-Fi password is on the fridge"),
    ("I run every morning before work.", "Every morning before work I go running."),
    ("Anna is my sister.", "My sister is Anna."),
    ("I don't eat meat.", "I do not eat meat."),
    ("The dog is called Rex.", "The dog's name is Rex."),
    ("I am learning Spanish.", "I'm learning Spanish."),
    ("The deadline is Friday.", "Friday is the deadline."),
    ("Grandma's birthday is 4 May.", "Grandma has her birthday on 4 May."),
    ("The printer in the office is broken.", "The office printer is broken."),
)
DIFFERENT = (
    ("I like coffee.", "I do not like coffee."),
    ("The meeting is on Tuesday at 3 pm.", "The meeting is on Tuesday at 4 pm."),
    ("The meeting is on Tuesday at 3 pm.", "The meeting is on Thursday at 3 pm."),
    ("My daughter's name is Emma.", "My daughter's name is Anna."),
    ("She is allergic to peanuts.", "She is not allergic to peanuts."),
    ("My favourite colour is blue.", "My favourite colour is green."),
    ("He moved to Berlin in 2019.", "He moved from Berlin in 2019."),
    ("Anna likes Bob.", "Bob likes Anna."),
    ("I paid 300 euros for the bike.", "I paid 350 euros for the bike."),
    ("I eat meat.", "I don't eat meat."),
    ("The car needs new tyres.", "The car got new tyres."),
    ("The train to Oslo leaves at 6:40.", "The train from Oslo leaves at 6:40."),
    ("I take the pill in the morning.", "I take the pill in the evening."),
    ("The door is open.", "The door is closed."),
    ("She passed the exam.", "She failed the exam."),
    ("My sister lives in Paris.", "My brother lives in Paris."),
    ("I am learning Spanish.", "I am learning Italian."),
    ("The deadline is Friday.", "The deadline was Friday."),
    ("Turn left at the church.", "Turn right at the church."),
    ("Remind me to call mum.", "Remind me to call dad."),
    ("The user prefers short answers.", "The user prefers long answers."),
    ("Room 12 is booked.", "Room 21 is booked."),
    ("Feed the cat at noon.", "Do not feed the cat at noon."),
    ("I always lock the door.", "I never lock the door."),
)


class Made:
    """The bundle's tokenizer and fingerprint, with random vectors."""

    def __init__(self, model: BundleModel) -> None:
        self.fingerprint, self.tokenizer, self.room = model.fingerprint, model.tokenizer, model.room
        self._chance = np.random.default_rng(0)

    def encode_documents(self, texts: Sequence[str]) -> Floats:
        """Return random rows of length 1."""
        rows = self._chance.normal(size=(len(texts), self.fingerprint.width)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)  # type: ignore[no-any-return]

    encode_queries = encode_documents


def show_merging(model: BundleModel) -> None:
    """Print how many pairs of each kind are merged at several thresholds, by vectors and words."""
    low = background(model)
    print(f"background {low:.3f}\n\n| closeness | cosine | | same, merged | different, merged |")
    print("|---|---|---|---|---|")
    for closeness in (0.8, 0.85, 0.9, 0.95):
        least = least_cosine(closeness, low)
        for name, rule in (("vectors", lambda *_: True), ("and words", say_the_same)):
            counts = [len(merged(model, pairs, least, rule)) for pairs in (SAME, DIFFERENT)]
            cells = (f"{n} of {len(p)}" for n, p in zip(counts, (SAME, DIFFERENT), strict=True))
            print(f"| {closeness} | {least:.3f} | {name} | {' | '.join(cells)} |")


def merged(
    model: BundleModel, pairs: Pairs, least: float, rule: Callable[[str, str], bool]
) -> list[tuple[str, str]]:
    """Return the pairs that are merged."""
    left, right = (model.encode_documents([pair[side] for pair in pairs]) for side in (0, 1))
    cosines = (left * right).sum(1)
    return [
        pair for pair, cosine in zip(pairs, cosines, strict=True) if cosine >= least and rule(*pair)
    ]


def made_texts(count: int) -> list[str]:
    """Return sentences of 5 to 25 words, the frequency of each word by Zipf's law."""
    chance = np.random.default_rng(1)
    odds = 1 / np.arange(1, 20_001)
    lengths = chance.integers(5, 26, count)
    words = chance.choice(20_000, lengths.sum(), p=odds / odds.sum())
    return [
        " ".join(f"w{word}" for word in some) for some in np.split(words, np.cumsum(lengths)[:-1])
    ]


def show_speed(model: BundleModel, folder: Path) -> None:
    """Print the milliseconds of each operation, of the processor and of the clock."""
    made = Made(model)
    texts = made_texts(SIZES[-1])
    question = "what about w40 and w700 or w9000, when did w3 say w120?"
    print(
        "\n| memories | first recall | recall | remember | list 10 | group 100 | group 5000 | MB |"
    )
    print("|---|---|---|---|---|---|---|---|")
    store = make_store(folder / "a.memory", model.fingerprint, IndexSettings(64))
    with Memory(store, made, clock=lambda: START, duplicate=1.1) as memory:
        count = 0
        for size in SIZES:
            memory.remember_many(
                Observation(texts[n], n % 10 / 10, START - timedelta(minutes=n))
                for n in range(count, size)
            )
            count = size
            with Memory(open_store(store.path), made, clock=lambda: START) as again:
                first = once(partial(again.recall, question, 10, touch=False))
            times = [
                first,
                timed(lambda: memory.recall(question, 10)),
                timed(lambda: memory.forget(memory.remember("one more").id)),
                timed(lambda: memory.items(limit=10)),
                timed(memory.clusters),
                once(lambda: memory.clusters(Grouping(last=5000))),
            ]
            store.checkpoint()
            megabytes = store.path.stat().st_size / 1e6
            cells = " | ".join(f"{1000 * cpu:.1f} / {1000 * clock:.1f}" for cpu, clock in times)
            print(f"| {size} | {cells} | {megabytes:.1f} |", flush=True)


def once(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that one run takes, of the processor and of the clock."""
    cpu, clock = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - clock


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the medians of several runs in seconds, without the first."""
    work()
    cpu, clock = zip(*(once(work) for _ in range(ROUNDS)), strict=True)
    return median(cpu), median(clock)


def main() -> None:
    """Print both."""
    with open_model(sys.argv[1]) as model, tempfile.TemporaryDirectory() as folder:
        show_merging(model)
        show_speed(model, Path(folder))


if __name__ == "__main__":
    main()
