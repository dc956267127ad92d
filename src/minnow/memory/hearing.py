"""What a question says about whom: the speakers and tags that it names.

A speaker says "I" and "my", and a question has the name in its place. So the name chooses
memories of that speaker, and is no word to look for: other speakers address each other by it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from minnow.indexfile.words import fold
from minnow.memory.word_index import QUESTION_WORDS

if TYPE_CHECKING:
    from collections.abc import Iterable

PREFIX = re.compile(r"\s*([^\W\d_][\w.'-]*(?: [^\W\d_][\w.'-]*){0,2}): ")
"""The name before a colon at the beginning of a text."""

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
        return any(
            re.search(rf"(?<=\w\W)\b{re.escape(name)}\b" if is_common(name)
                      else rf"(?i)\b{re.escape(name)}\b", question)
            for name in self._aliases()
        )  # fmt: skip

    def replace(self, question: str, subject: str, possessive: str) -> str:
        """Put a pronoun in the place of the name."""
        names = "|".join(map(re.escape, self._aliases()))
        flags = 0 if any(map(is_common, self._aliases())) else re.IGNORECASE
        return re.sub(
            rf"\b(?:{names})(?:(['’])s\b|\b)",
            lambda found: possessive if found[1] else subject,
            question,
            flags=flags,
        )

    def _aliases(self) -> tuple[str, ...]:
        first = self.name.split()[0]
        return (self.name,) if first == self.name else (self.name, first)


@dataclass(frozen=True)
class Heard:
    """A question, and what it names.

    Attributes:
        speakers: The speakers.
        tags: The tags, folded.
        words: The words to look for: without the speakers.
        voiced: The text to embed: as the speaker would ask it.
    """

    speakers: frozenset[Speaker]
    tags: frozenset[str]
    words: str
    voiced: str


def hear(question: str, counts: Iterable[tuple[Speaker, int]], tags: Iterable[str]) -> Heard:
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
    words = voiced = question
    for number, person in enumerate(people):
        words = person.replace(words, " ", " ")
        if not number:
            voiced = person.replace(question, "I", "my")
    if not re.search(r"\w", words):
        words = voiced = question
    return Heard(
        frozenset(one for one, _ in named),
        frozenset(tag for tag in tags if f" {tag} " in folded),
        words,
        voiced,
    )


def is_common(name: str) -> bool:
    """Return whether a name is also a word that questions are built with, or one letter."""
    return len(name) == 1 or name.lower() in QUESTION_WORDS
