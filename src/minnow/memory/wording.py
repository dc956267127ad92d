"""Whether two texts say the same in nearly the same words; vectors hardly show small words."""

from __future__ import annotations

import re
from contextlib import closing
from functools import lru_cache
from typing import TYPE_CHECKING

from minnow.indexfile.query_words import read_terms, words_table
from minnow.indexfile.words import divide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from minnow.memory.items import Item, Observation

_SHORT = (
    (re.compile(r"\bcan't\b"), "can not"), (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"n't\b"), " not"), (re.compile(r"'m\b"), " am"), (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ve\b"), " have"), (re.compile(r"'ll\b"), " will"),
)  # fmt: skip
_LIGHT = frozenset(("a", "an", "the", "and", "my", "of", "s", "is", "am", "are"))
_IS = frozenset(("is", "am", "are"))
_GENITIVE = frozenset(("of", "s"))
_RELATIVE = frozenset(
    """
    ago already currently friday just last monday next now recently saturday sunday thursday today
    tomorrow tonight tuesday wednesday yesterday yet
    """.split()  # noqa: SIM905
)
_SAME_TIME_MS = 12 * 3_600_000


def repeats(observation: Observation, at: int, item: Item, created: int) -> bool:
    """Return whether an observation says what a memory says, so that no answer is lost with it.

    A turn of a conversation repeats nothing: others answer it. Neither does what another speaker
    said, or a text with a word such as "today" at another time.

    Args:
        observation: The observation.
        at: Its time, in milliseconds since 1970.
        item: The memory.
        created: The time of the memory, in the same form.
    """
    if item.kind is not observation.kind or item.id in observation.sources:
        return False
    if observation.session or item.session or observation.speaker != item.speaker:
        return False
    if abs(at - created) > _SAME_TIME_MS and _RELATIVE.intersection(_words(observation.text)):
        return False
    return say_the_same(observation.text, item.text)


def say_the_same(first: str, second: str) -> bool:
    """Return whether two texts have the same words in an order that leaves the meaning.

    Endings, articles, "my", "of" and forms of "is" do not count. Parts may change places where that
    leaves the order of the others ("in 2019 he moved", "he moved in 2019"), on both sides of "and",
    and of "is". So "Anna likes Bob" is not "Bob likes Anna".
    """
    ours, theirs = (_content(_stems(text)) for text in (first, second))
    if "".join(ours) == "".join(theirs):  # "Wi-Fi" and "wifi", but not "3.5" and "35"
        return _numbers(ours) == _numbers(theirs)
    if sorted(ours) != sorted(theirs):
        return False
    turns = (theirs[i:] + theirs[:i] for i in range(max(1, len(theirs))))
    return any(ours == turn for turn in turns) or _are_equations(_stems(first), _stems(second))


def _numbers(words: Sequence[str]) -> list[str]:
    return [word for word in words if any(map(str.isdigit, word))]


def _content(stems: Sequence[str]) -> list[str]:
    """Return the words that count; two single words beside an "and" in the order of letters."""
    found = list(stems)
    for i in range(1, len(found) - 1):
        if found[i] == "and" and found[i - 1] > found[i + 1]:
            found[i - 1], found[i + 1] = found[i + 1], found[i - 1]
    return [word for word in found if word not in _LIGHT]


def _are_equations(first: Sequence[str], second: Sequence[str]) -> bool:
    """Return whether one text is "A is B", and the other that or "B is A"."""
    sides = [_sides(stems) for stems in (first, second)]
    if None in sides:
        return False
    (left, right), (other_left, other_right) = (side for side in sides if side is not None)
    straight = _alike(left, other_left) and _alike(right, other_right)
    return straight or (_alike(left, other_right) and _alike(right, other_left))


def _sides(stems: Sequence[str]) -> tuple[Sequence[str], Sequence[str]] | None:
    places = [i for i, stem in enumerate(stems) if stem in _IS]
    return (stems[: places[0]], stems[places[0] + 1 :]) if len(places) == 1 else None


def _alike(first: Sequence[str], second: Sequence[str]) -> bool:
    ours, theirs = _content(first), _content(second)
    if not _GENITIVE.isdisjoint({*first, *second}):  # "Emma's name", "the name of Emma"
        return sorted(ours) == sorted(theirs)
    return ours == theirs


def _words(text: str) -> list[str]:
    """Return the words of a text, folded, with short forms written out."""
    text = text.lower().replace("’", "'")
    for pattern, long in _SHORT:
        text = pattern.sub(long, text)
    return divide(text).split()


@lru_cache(maxsize=4096)
def _stems(text: str) -> tuple[str, ...]:
    """Return the words of a text without English endings, as FTS5 strips them; `_IS` stays."""
    words = _words(text)
    with closing(words_table(enumerate(words))) as table:
        stems = dict(read_terms(table))
    return tuple(word if word in _LIGHT else stems[i] for i, word in enumerate(words) if i in stems)
