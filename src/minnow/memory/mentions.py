"""Speakers and tags that a question names.

A speaker says "I" and "my", and a question has the name in its place. So the name chooses
memories of that speaker, and among what was said it is no word to look for: other speakers address
each other by it. A memory without a speaker has the name as the question does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.indexfile.words import fold
from minnow.memory.word_index import QUESTION_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = re.compile(
    r"\s*(?:[\[(][^\])]{1,40}[\])]:?\s*)?"
    r"([^\W\d_][\w.'-]*(?: [^\W\d_][\w.'-]*){0,2}?)(?:: | said[,:]? [\"'“‘])"
)
"""The name at the beginning of a text that tells what somebody said, perhaps behind a date in
brackets."""

_FEW = 3
"""How many texts begin with a name before it is taken for that of a speaker."""


@dataclass(frozen=True)
class Speaker:
    """A speaker of memories.

    Attributes:
        name: The name.
        is_given: Whether it was given as `speaker=`, not read from the beginning of the text.
    """

    name: str
    is_given: bool

    def is_named(self, question: str) -> bool:
        """Return whether a question has the name, or its first word.

        A name that is also a common word ("Will", "May") counts in its own case only, and not at
        the beginning.
        """
        return re.search(self._pattern(), question) is not None

    def replace(self, question: str, subject: str, possessive: str) -> str:
        """Put a pronoun in the place of the name."""
        pattern = rf"{self._pattern()}(['’]s\b)?"
        return re.sub(pattern, lambda found: possessive if found[1] else subject, question)

    def _pattern(self) -> str:
        first = self.name.split()[0]
        either = "|".join(
            rf"(?<=\w\W){re.escape(name)}" if is_common(name) else rf"(?i:{re.escape(name)})"
            for name in dict.fromkeys((self.name, first))
        )
        return rf"\b(?:{either})\b"


@dataclass(frozen=True)
class Mentions:
    """A question, and what it names.

    Attributes:
        speakers: The speakers.
        tags: The tags, folded.
        asked: The question.
        words: Its words to look for in what was said: without the speakers.
        first_person: The text to compare with what was said: as the speaker would ask it.
    """

    speakers: frozenset[Speaker]
    tags: frozenset[str]
    asked: str
    words: str
    first_person: str


def find_mentions(
    question: str, counts: Iterable[tuple[Speaker, int]], tags: Iterable[str]
) -> Mentions:
    """Read what a question names.

    Args:
        question: The question.
        counts: The speakers, and how many memories each has.
        tags: All tags, folded.
    """
    folded = f" {' '.join(fold(question).split())} "
    named = [(one, count) for one, count in counts if one.is_named(question)]
    people = [
        one for one, count in named if one.is_given or (count >= _FEW and one.name in question)
    ]
    words = first_person = question
    for number, person in enumerate(people):
        words = person.replace(words, " ", " ")
        if not number:
            first_person = person.replace(question, "I", "my")
    if not re.search(r"\w", words):
        words = first_person = question
    return Mentions(
        frozenset(one for one, _ in named),
        frozenset(tag for tag in tags if f" {tag} " in folded),
        question,
        words,
        first_person,
    )


def is_common(name: str) -> bool:
    """Return whether a name is also a word that questions are built with, or one letter."""
    return len(name) == 1 or name.lower() in QUESTION_WORDS
