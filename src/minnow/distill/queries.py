"""Queries made of texts: sentences, their key words, parts of them, and questions."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SENTENCE_ENDS = re.compile(r"(?<=[.!?。！？])\s*(?=\S)|\n+")
_FEWEST_LETTERS, _MOST_LETTERS = 20, 300
_ASKING = (
    "what is", "what are", "who", "when did", "where is", "how does", "how many", "which", "why",
    "what did", "what was", "in what",
)  # fmt: skip


def make_queries(texts: Sequence[str], most: int, seed: int = 0) -> list[tuple[int, str]]:
    """Make queries of texts: the place of the text, and the query.

    A fourth of them each are whole sentences, key words (some words of a sentence in their
    order), a part of a sentence, and a part behind the beginning of a question. Texts take turns,
    so that long ones do not outweigh others; the same seed gives the same queries.
    """
    chance = random.Random(seed)  # noqa: S311
    sentences = [_sentences(text, chance) for text in texts]
    made: list[tuple[int, str]] = []
    for depth in range(max(map(len, sentences), default=0)):
        for place, own in enumerate(sentences):
            if depth < len(own) and len(made) < most:
                made.append((place, _change(own[depth], len(made) % 4, chance)))
    return made


def _sentences(text: str, chance: random.Random) -> list[str]:
    parts = (part.strip() for part in _SENTENCE_ENDS.split(text))
    fit = [part for part in parts if _FEWEST_LETTERS <= len(part) <= _MOST_LETTERS]
    chance.shuffle(fit)
    return fit or [" ".join(text[:_MOST_LETTERS].split())]


def _change(sentence: str, way: int, chance: random.Random) -> str:
    words = sentence.split()
    if way == 0 or len(words) < 4:
        return sentence
    if way == 1:
        count = max(2, round(len(words) * chance.uniform(0.25, 0.6)))
        return " ".join(words[i] for i in sorted(chance.sample(range(len(words)), count)))
    count = max(3, round(len(words) * chance.uniform(0.3, 0.7)))
    start = chance.randint(0, max(0, len(words) - count))
    part = " ".join(words[start : start + count])
    return part if way == 2 else f"{chance.choice(_ASKING)} {part.rstrip('.,;')}?"


def split_texts(texts: Sequence[str], held_out: int) -> tuple[list[str], list[str]]:
    """Divide texts into those to fit on, and those that are kept for the proof."""
    order = list(range(len(texts)))
    random.Random(0).shuffle(order)  # noqa: S311
    kept = set(order[:held_out])
    return list(_without(texts, kept)), [texts[i] for i in sorted(kept)]


def _without(texts: Sequence[str], left_out: set[int]) -> Iterator[str]:
    return (text for i, text in enumerate(texts) if i not in left_out)
